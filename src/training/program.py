"""The run of train.py: sets MindSpore up, then trains; with ``show_batch`` it draws images instead."""
from src.model_utils.config import Config
from src.model_utils.context import set_up_context
from src.model_utils.moxing_adapter import modelarts
from src.training.preview import draw_first_batch


def run(config: Config) -> int:
    """Trains as configured; returns the exit code.

    Raises:
        CRNNError: an option, the data or a checkpoint cannot be used, or training cannot go on.
    """
    with modelarts(config, "train_dataset_path", "resume_ckpt"):
        if config.show_batch:
            return draw_first_batch(config)
        print(set_up_context(config, own_operators=True), flush=True)
        from src.training.run import run as train  # MindSpore comes after the context
        return train(config)
