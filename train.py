"""Trains a CRNN: `python train.py` alone trains on embedded synthetic words, `python train.py --help` lists options."""
from src.common.errors import run_main
from src.model_utils.config import load_config

# The groups and keys this program uses, in the order of its --help.
USES = ("Training data", "Optimisation", "Log, checkpoints and resuming", "Evaluation while training", "eval_protocol",
        "Device and run", "Network", "ModelArts")


def main(argv: list[str] | None = None) -> int:
    """Trains as configured and returns the exit code."""
    config = load_config(argv, description="Train a CRNN scene-text recogniser.", uses=USES,
                         fallback_overlay="configs/quickstart.yaml",
                         fallback_unless=("train_dataset_path", "data_url"))
    from src.training.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
