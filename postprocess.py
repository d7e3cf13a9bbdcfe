"""Scores the result files of the C++ program in ascend310_infer/ against the true words."""
from src.common.errors import run_main
from src.model_utils.config import load_config

# The groups and keys this program uses, in the order of its --help.
USES = ("Accuracy of an inference run on Ascend 310", "eval_protocol", "print_predictions", "label_dict", "image_width",
        "class_num", "blank", "num_step")


def main(argv: list[str] | None = None) -> int:
    """Scores as configured; returns 1 when words have no result."""
    config = load_config(argv, description="Compare the result files of the C++ program with the true words.",
                         uses=USES)
    from src.evaluation.result_files import score  # after the options, so that --help is quick

    return score(config)


if __name__ == "__main__":
    run_main(main)
