"""The body of eval.py: a checkpoint on a data set."""
from src.distributed.communication import ranks_of
from src.distributed.ranks import quiet_unless_first
from src.evaluation.run import run_evaluation
from src.metric import result_lines
from src.model_utils.config import Config
from src.network.trained import load_trained


def evaluate_checkpoint(config: Config) -> int:
    """Reads the data set as configured and prints the result; the context is set up. Returns the exit code.

    Raises:
        CRNNError: an option, the data or the checkpoint cannot be used.
    """
    ranks = ranks_of(config)
    with quiet_unless_first(ranks):
        forward, charset = load_trained(config, config.batch_size)
        print(config.describe(changed_only=True))
        result = run_evaluation(config, forward, charset, f"checkpoint: {config.checkpoint_path}", ranks)
        print(*result_lines(result.correct, result.total), sep="\n", flush=True)
    return 0
