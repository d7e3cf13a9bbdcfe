"""A trained network ready to read: built from a checkpoint, which says its version, charset and width."""
from src.charset import Charset
from src.evaluation import Forward, network_forward
from src.model_utils.config import ROOT, Config

QUICKSTART_CHECKPOINT = ROOT / "output" / "quickstart" / "ckpt" / "best_acc.ckpt"


def load_recogniser(config: Config, batch_size: int, one_by_one: bool = False) -> tuple[Forward, Charset]:
    """Builds the network of ``config.checkpoint_path`` and loads its weights.

    The configuration takes over what the checkpoint was trained with. Without a path the checkpoint of
    ``python train.py`` without arguments is taken.

    Args:
        config: the options.
        batch_size: images of a full batch.
        one_by_one: the program reads images one at a time when they keep their ratio.

    Raises:
        CheckpointError: none there, not a checkpoint, or not the one the configuration describes.
    """
    from src.crnn import crnn
    from src.errors import CheckpointError
    from src.model_utils.checkpoint import adopt, load_weights, read_checkpoint
    from src.model_utils.context import speed_up

    if not config.checkpoint_path:
        if not QUICKSTART_CHECKPOINT.is_file():
            raise CheckpointError("no checkpoint given and none trained yet: run `python train.py` first, or add "
                                  "--checkpoint_path=FILE")
        config.checkpoint_path = str(QUICKSTART_CHECKPOINT)
    checkpoint = read_checkpoint(config.checkpoint_path)
    adopt(config, checkpoint)
    network = crnn(config, full_precision=config.device_target != "Ascend")
    load_weights(network, checkpoint)
    speed_up(network, config)
    # Images that keep their ratio have widths of their own and are read one at a time.
    forward = network_forward(network, 1 if one_by_one and config.keep_ratio else batch_size)
    return forward, Charset.from_config(config.label_dict)
