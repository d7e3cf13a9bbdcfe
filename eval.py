"""Evaluates a checkpoint on a data set: `python eval.py` alone reads the embedded held-out words."""
from src.common.errors import run_main
from src.model_utils.config import load_config

# The groups and keys this program uses, in the order of its --help.
USES = ("Evaluation", "Reading", "batch_size", "image_folder", "mlt_scripts", "device_target", "device_id",
        "cpu_operators", "precision", "run_distribute", "num_parallel_workers", "loader", "output_dir", "show_progress",
        "Network", "ModelArts")


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN checkpoint: every word of a data set exactly once.",
                         uses=USES)
    from src.evaluation.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
