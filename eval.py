"""Evaluates a checkpoint on a data set: `python eval.py` alone reads the embedded held-out words."""
from src.common.errors import run_main
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN checkpoint: every word of a data set exactly once.")
    # Not at the top: --help waits for none of these, and the context must be set up before MindSpore is imported.
    from src.model_utils.context import set_up_context
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, "eval_dataset_path", "checkpoint_path"):
        print(set_up_context(config, own_operators=True), flush=True)
        from src.evaluation.checkpoint_run import evaluate_checkpoint
        return evaluate_checkpoint(config)


if __name__ == "__main__":
    run_main(main)
