"""Fits the temperature of the confidence on training words: then a confidence of 0.9 is right nine times in ten."""
from src.common.errors import run_main
from src.model_utils.config import load_config

_DESCRIPTION = """Read training words (train_dataset, train_dataset_path) with a checkpoint, find the temperature at
which the confidence tells right from wrong readings best, and write it into output_dir/temperature.yaml for eval.py,
predict.py, benchmark.py and eval_onnx.py: --config_path=output/temperature.yaml. Texts stay the same. Better than the
words the network was trained on are others of the same kind, such as a validation set."""


# The groups and keys this program uses, in the order of its --help.
USES = ("Fitting the temperature", "train_dataset", "train_dataset_path", "image_folder", "mlt_scripts", "train_mix",
        "max_text_length", "batch_size", "checkpoint_path", "temperature", "seed", "device_target", "device_id",
        "cpu_operators", "precision", "num_parallel_workers", "loader", "output_dir", "show_progress", "Network")


def main(argv: list[str] | None = None) -> int:
    """Fits as configured; returns the exit code."""
    config = load_config(argv, description=" ".join(_DESCRIPTION.split()), uses=USES)
    from src.evaluation.temperature import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
