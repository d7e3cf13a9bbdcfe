"""The run of eval.py: sets MindSpore up, then reads a data set with a checkpoint."""
from src.model_utils.config import Config
from src.model_utils.context import set_up_context
from src.model_utils.moxing_adapter import modelarts


def run(config: Config) -> int:
    """Evaluates as configured; returns the exit code.

    Raises:
        CRNNError: an option, the data or the checkpoint cannot be used.
    """
    with modelarts(config, "eval_dataset_path", "checkpoint_path"):
        print(set_up_context(config, own_operators=True), flush=True)
        from src.evaluation.checkpoint_run import evaluate_checkpoint  # MindSpore comes after the context
        return evaluate_checkpoint(config)
