"""Evaluates a checkpoint on a data set: `python eval.py` alone reads the embedded held-out words."""
from src.common.errors import run_main
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN checkpoint: every word of a data set exactly once.")
    from src.evaluation.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
