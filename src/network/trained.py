"""A trained network ready to read: built from a checkpoint, which says its version, charset and width."""
import sys

from mindspore import nn

from src.common.charset import Charset
from src.common.errors import CheckpointError
from src.crnn import crnn
from src.model_utils.config import ROOT, Config
from src.model_utils.context import speed_up
from src.network.checkpoint import Checkpoint, load_weights, read_checkpoint, take_over
from src.network.forward import network_forward
from src.network.precision import reading_precision
from src.reading.reading import Forward
from src.reading.selection import adopt_temperature

QUICKSTART_CHECKPOINT = ROOT / "output" / "quickstart" / "ckpt" / "best_acc.ckpt"
PRETRAINED_CHECKPOINT = ROOT / "pretrained" / "crnn_v2.ckpt"


def open_checkpoint(config: Config, option: str = "checkpoint_path", pretrained: bool = False) -> Checkpoint:
    """Reads the checkpoint of ``config.checkpoint_path``; the configuration takes over what it was trained with.

    Without a path the checkpoint of ``python train.py`` without arguments is taken, or the one that comes with the
    program where there is none.

    Args:
        config: the options.
        option: the one the user gives the path with, for the message.
        pretrained: the one that comes with the program goes first.

    Raises:
        CheckpointError: none there, not a checkpoint, or not the one the configuration describes.
    """
    if not config.checkpoint_path:
        default = (QUICKSTART_CHECKPOINT, PRETRAINED_CHECKPOINT)
        found = [path for path in (reversed(default) if pretrained else default) if path.is_file()]
        if not found:
            raise CheckpointError("no checkpoint given and none trained yet: run `python train.py` first, or add "
                                  f"--{option}=FILE")
        config.checkpoint_path = str(found[0])
        print(f"no {option} given: using {found[0]}", file=sys.stderr, flush=True)
    checkpoint = read_checkpoint(config.checkpoint_path)
    take_over(config, checkpoint)
    if "temperature" in checkpoint.info:
        adopt_temperature(config, checkpoint.info["temperature"], checkpoint.path)
    return checkpoint


def load_network(config: Config, checkpoint: Checkpoint, full_precision: bool) -> nn.Cell:
    """Builds the network of a checkpoint with its weights, in evaluation mode.

    Args:
        config: has taken over what the checkpoint was trained with, see :func:`open_checkpoint`.
        checkpoint: the weights.
        full_precision: False computes in float16 (Ascend).

    Raises:
        CheckpointError: a weight is missing or has another shape.
    """
    network = crnn(config, full_precision)
    load_weights(network, checkpoint)
    return network.set_train(False)


def load_trained(config: Config, batch_size: int, pretrained: bool = False,
                 singly: bool = False) -> tuple[Forward, Charset]:
    """Builds the network of ``config.checkpoint_path`` and loads its weights, see :func:`open_checkpoint`.

    Args:
        config: the options.
        batch_size: images of a full batch.
        pretrained: without a path, the checkpoint that comes with the program goes first.
        singly: an image alone is read alone, see :func:`src.network.forward.network_forward`.

    Raises:
        CheckpointError: none there, not a checkpoint, or not the one the configuration describes.
    """
    checkpoint = open_checkpoint(config, pretrained=pretrained)
    network = load_network(config, checkpoint, full_precision=True)
    speed_up(network, config, reading_precision(config), frozen=True)
    return network_forward(network, batch_size, singly), Charset.from_config(config.label_dict)
