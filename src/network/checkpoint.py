"""Checkpoint files: what is in one, whether it is sound, and whether it fits the network."""
import contextlib
import logging
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from src.common.charset import Charset
from src.common.errors import CheckpointError
from src.common.files import check_unpacked, replacing
from src.common.system import muted
from src.model_utils.config import Config
from src.network.adopt import adopt, adopt_long_width
from src.network.checkpoint_format import check_structure
from src.network.checksum import KEY, METHOD_KEY, checksum_entries, find_fault, has_checksums
from src.network.description import LAST_LAYERS, UNUSED, VERSIONS, WEIGHTS

# How images get their size. The network can read images of another size than it was trained with, so the user may
# choose another one.
_INPUT = ("image_width", "keep_ratio", "bucket_widths")
KEPT = "kept."
"""Begins the names of the train cell's parameters that hold others as they were before the step."""
BAD_IN_A_ROW = "skipped_in_a_row"
"""The train cell's count of the last steps that were bad without a break."""
_COUNTS = ("epoch_num", "step_in_epoch", "steps_per_epoch", "step_num", "seed", "accuracy")
# Not saved, because a resumed run does not need it: the state of AMSGrad, which AdamW has but does not use, and the
# train cell's copies, which are made anew in every step.
_NOT_SAVED = ("max_exp_avg_sq.", KEPT)

# With a moving average the train cell holds it under the names of the weights, AVERAGE before them. The file has the
# average under the plain names, as it is what reads best, and what is trained on under TRAINED.
AVERAGE, TRAINED = "average.", "trained."


class DamagedCheckpointError(CheckpointError):
    """A file that is cut off or altered."""


@dataclass
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        path: where it was read.
        values: arrays by parameter name: the weights, and the training state if the file has one.
        info: facts written beside them: label_dict (the characters), model_version, image_width, epoch_num (epochs
            that are done), step_in_epoch, run (an identifier of the run and its later parts), run_files (its
            checkpoints at that time, "/" between them), ...; empty in files of the model zoo but for epoch_num.
    """

    path: str
    values: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The parameters of the network alone."""
        return {name: value for name, value in self.values.items()
                if name.startswith(WEIGHTS) and not name.startswith(UNUSED)}

    @property
    def trained(self) -> "Checkpoint | None":
        """The weights that training goes on with, where ``weights`` are their moving average; otherwise None."""
        own = {name.removeprefix(TRAINED): value for name, value in self.values.items() if name.startswith(TRAINED)}
        return Checkpoint(self.path, own) if own else None

    @property
    def model_version(self) -> str:
        """V1 or V2, told from the names of the weights.

        Raises:
            CheckpointError: the weights are not those of a CRNN.
        """
        for version, layers in VERSIONS.items():
            name = f"{layers.lstms[0]}.weight_ih_l0"
            if name in self.values:
                return version
        if "w1_bw" in self.values:
            raise CheckpointError(f"{self.path} is a V1 checkpoint of the model zoo, whose second LSTM ran in one "
                                  "direction only; it cannot be loaded here, train V1 anew or use a V2 checkpoint")
        raise CheckpointError(f"{self.path} holds no CRNN: neither {name} nor its V2 equal is in it")

    @property
    def class_num(self) -> int:
        """Number of classes of the last layer."""
        return len(self._first((f"{layer}bias" for layer in LAST_LAYERS), 1))

    @property
    def hidden_size(self) -> int:
        """Units of each LSTM direction."""
        return self._first((f"{version.lstms[0]}.weight_hh_l0" for version in VERSIONS.values()), 2).shape[1]

    def _first(self, names: Iterable[str], dimensions: int) -> np.ndarray:
        for name in names:
            if name in self.values:
                value = self.values[name]
                if np.ndim(value) != dimensions or not value.size:
                    raise CheckpointError(f"{self.path}: {name} has shape {np.shape(value)}, not one of "
                                          f"{dimensions} dimensions; it belongs to another network")
                return value
        raise CheckpointError(f"{self.path} holds no complete CRNN; give a checkpoint of train.py")


def read_checkpoint(path: str) -> Checkpoint:
    """Reads a checkpoint of this project or of the model zoo, or weights in a numpy ``.npz`` file.

    The checksums of our own files are verified. For a file that has none, such as one of the model zoo, a note on
    standard error says so. Files of numpy have checksums of their own.

    Raises:
        CheckpointError: no such file.
        DamagedCheckpointError: not a checkpoint, or one that is cut off or altered.
    """
    if not path:
        raise CheckpointError("no checkpoint given; add --checkpoint_path=FILE")
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist" if not os.path.isdir(path) else
                              f"checkpoint {path} is a folder; give the .ckpt file")
    if path.endswith(".npz"):
        with _unreadable_as_damaged(path):
            check_unpacked(path)
        with _unreadable_as_damaged(path), np.load(path) as arrays:
            return _checked(Checkpoint(path, {name: arrays[name] for name in arrays}))
    with _unreadable_as_damaged(path), muted(logging.CRITICAL):
        check_structure(Path(path).read_bytes())
        content = {name: _as_array_or_text(value) for name, value in ms.load_checkpoint(path).items()}
    if has_checksums(content):
        fault = find_fault(content)
        if fault:
            raise DamagedCheckpointError(f"{path} was altered since it was written: {fault}; take another copy of it, "
                                         "or another checkpoint")
        del content[KEY], content[METHOD_KEY]
    else:
        print(f"note: {path} carries no checksums, so that damage to it cannot be found out", file=sys.stderr)
    values: dict[str, Any] = {name: value for name, value in content.items() if np.ndim(value)}
    info = {name: value.item() if isinstance(value, np.ndarray) else value for name, value in content.items()
            if not np.ndim(value)}
    return _checked(Checkpoint(path, values, info))


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint; CheckpointError where a weight or the place of its run is no number."""
    for name, value in checkpoint.weights.items():
        if value.dtype.kind not in "fiu" and value.dtype.name != "bfloat16":
            raise CheckpointError(f"{checkpoint.path}: {name} holds values of type {value.dtype}, where numbers "
                                  "belong; give a file that train.py wrote")
    for name in _COUNTS:
        value = checkpoint.info.get(name, 0)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise CheckpointError(f"{checkpoint.path}: its {name} is {value!r}, where a number belongs; give a file "
                                  "that train.py wrote")
    return checkpoint


def _as_array_or_text(value: object) -> np.ndarray | str:
    """An entry of a checkpoint; ValueError for the kinds that MindSpore knows besides and that no CRNN has."""
    if isinstance(value, Parameter | Tensor):
        return value.asnumpy()
    if isinstance(value, str):
        return value
    raise ValueError(f"an entry of type {type(value).__name__}")


@contextlib.contextmanager
def _unreadable_as_damaged(path: str) -> Iterator[None]:
    """Turns what the readers of checkpoints raise on files that are none into one error."""
    try:
        yield
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, KeyError, IndexError, OverflowError, MemoryError,
            TokenError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if getattr(error, "filename", None):  # the file cannot be opened, and the error says why
            raise
        raise DamagedCheckpointError(f"{path} is not a checkpoint, or it is damaged; give a file that train.py "
                                     "wrote") from error


def wants_new_charset(config: Config, checkpoint: Checkpoint) -> bool:
    """Whether the user explicitly gave other characters than the checkpoint was trained with (fine-tuning)."""
    if not config.is_given("label_dict"):
        return False
    trained = checkpoint.info.get("label_dict")
    if trained is None:  # the model zoo's files do not tell
        return checkpoint.class_num != config.class_num
    return trained != Charset.from_config(config.label_dict).characters


def take_over(config: Config, checkpoint: Checkpoint, keep_charset: bool = False) -> None:
    """Sets the network's configuration to what the checkpoint was trained with.

    Args:
        config: the options, changed in place.
        checkpoint: the checkpoint.
        keep_charset: leave the characters as they are configured; see :func:`wants_new_charset`.

    Raises:
        CheckpointError: the user asked for something else, or the charset has another number of classes.
    """
    needed = {"model_version": checkpoint.model_version, "hidden_size": checkpoint.hidden_size}
    if not keep_charset and "label_dict" in checkpoint.info:
        needed["label_dict"] = checkpoint.info["label_dict"]
    adopt(config, checkpoint.path, needed, {key: checkpoint.info[key] for key in _INPUT if key in checkpoint.info})
    if "long_width" in checkpoint.info:
        adopt_long_width(config, checkpoint.info["long_width"], checkpoint.path)
    if not keep_charset and checkpoint.class_num != config.class_num:
        raise CheckpointError(f"{checkpoint.path} has {checkpoint.class_num} classes, but label_dict makes "
                              f"{config.class_num} (its characters and the blank); give the label_dict it was trained "
                              "with")


def load_weights(net: nn.Cell, checkpoint: Checkpoint, but_last: bool = False) -> None:
    """Puts a checkpoint's weights into a network.

    Args:
        net: the network.
        checkpoint: the weights.
        but_last: leave the last layer as it is: the network has another charset.

    Raises:
        CheckpointError: a weight is missing or has another shape.
    """
    weights = checkpoint.weights
    for parameter in net.get_parameters():
        if but_last and parameter.name.startswith(LAST_LAYERS):
            continue
        value = weights.get(parameter.name)
        if value is None:
            raise CheckpointError(f"{checkpoint.path} has no {parameter.name}; it belongs to another network")
        if value.shape != tuple(parameter.shape):
            raise CheckpointError(f"{checkpoint.path}: {parameter.name} has shape {value.shape}, the network needs "
                                  f"{tuple(parameter.shape)}; it belongs to another network or charset")
        if not np.isfinite(value).all():
            raise CheckpointError(f"{checkpoint.path}: {parameter.name} holds values that are not finite")
        parameter.set_data(Tensor(value.astype(np.float32)))


def load_state(cell: nn.Cell, checkpoint: Checkpoint, but_last: bool = False) -> bool:
    """Puts a checkpoint's training state (optimizer, loss scale) into a train cell whose weights are already set.

    Args:
        cell: the train cell.
        checkpoint: the state.
        but_last: leave out what belongs to the last layer and to the helper loss's, because of another charset.

    Momentum and a fixed loss scale are options, not state: the configuration's count.

    Returns:
        Whether the file held all of it; if not, nothing but the weights is resumed.
    """
    everything = {BAD_IN_A_ROW: 0, **checkpoint.values, **checkpoint.info}  # the oldest files do not count
    adapted = getattr(cell, "dynamic", False) and checkpoint.info.get("dynamic_loss_scale", True)
    options = {"momentum"} if adapted else {"momentum", "loss_scale", "good_steps"}
    wanted = [p for p in cell.get_parameters()
              if not p.name.startswith((*WEIGHTS, *_NOT_SAVED, AVERAGE)) and p.name not in options]
    if but_last:
        wanted = [p for p in wanted if not any(f".{layer}" in f".{p.name}" for layer in (*LAST_LAYERS, "head."))]
    fits = all(p.name in everything and not isinstance(everything[p.name], str)
               and np.shape(everything[p.name]) == tuple(p.shape) for p in wanted)
    for parameter in wanted if fits else []:
        parameter.set_data(Tensor(np.asarray(everything[parameter.name]), parameter.dtype))
    return fits


def write_checkpoint(path: str | os.PathLike, cell: nn.Cell, info: Mapping[str, int | float | str]) -> None:
    """Writes the parameters of a network or of a whole train cell, with checksums.

    The file is written beside its place, brought to the disk, and then renamed: at any moment the place holds the
    earlier file or the whole new one.

    Args:
        path: file to write.
        cell: where the parameters are.
        info: facts to write beside them, see :class:`Checkpoint`.

    Raises:
        OSError: it cannot be written; the earlier file is untouched and nothing else is left.
    """
    saved = [p for p in cell.get_parameters() if not p.name.startswith(_NOT_SAVED)]
    averaged = {p.name.removeprefix(AVERAGE) for p in saved if p.name.startswith(AVERAGE)}
    parameters = {TRAINED + p.name if p.name in averaged else p.name.removeprefix(AVERAGE): p for p in saved}
    _write(path, parameters, {name: p.asnumpy() for name, p in parameters.items()}, info)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray],
                 info: Mapping[str, int | float | str]) -> None:
    """Writes weights that are in no network as :func:`write_checkpoint` does; arrays by parameter name."""
    _write(path, {name: Tensor(value) for name, value in arrays.items()}, arrays, info)


def _write(path: str | os.PathLike, data: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray],
           info: Mapping[str, int | float | str]) -> None:
    # A number becomes a tensor in the file, and it is that which is read again.
    content = {**arrays, **{name: value if isinstance(value, str) else Tensor(value).asnumpy()
                            for name, value in info.items()}}
    with replacing(path) as partial:
        try:
            with muted(logging.CRITICAL):  # MindSpore reports a full disk in several lines; the caller says it in one
                ms.save_checkpoint([{"name": name, "data": value} for name, value in data.items()], partial,
                                   append_dict={**info, **checksum_entries(content)})
        finally:
            Path(partial).with_suffix(".tmp").unlink(missing_ok=True)  # MindSpore's own, where it fails
