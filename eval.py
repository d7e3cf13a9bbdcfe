"""Evaluates a checkpoint on a data set: `python eval.py` alone reads the embedded held-out words."""
from src.common.errors import run_main
from src.model_utils.config import Config, load_config


def main(argv: list[str] | None = None) -> int:
    """Evaluates as configured and returns the exit code."""
    config = load_config(argv, description="Evaluate a CRNN checkpoint: every word of a data set exactly once.")
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, "eval_dataset_path", "checkpoint_path"):
        return run(config)


def run(config: Config) -> int:
    """Evaluates as configured, with all data in place."""
    from src.model_utils.context import set_up_context  # decides on the CPU cap before MindSpore is imported
    print(set_up_context(config, own_operators=True), flush=True)
    from src.distributed.ranks import quiet_unless_first, ranks_of
    from src.evaluation.run import run_evaluation
    from src.metric import result_lines
    from src.recogniser import load_recogniser

    ranks = ranks_of(config)
    with quiet_unless_first(ranks):
        forward, charset = load_recogniser(config, config.batch_size)
        print(config.describe(changed_only=True))
        result = run_evaluation(config, forward, charset, f"checkpoint: {config.checkpoint_path}", ranks)
        print(*result_lines(result.correct, result.total), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    run_main(main)
