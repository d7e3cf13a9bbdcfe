"""Checkpoint files: what is in one, whether it fits the network, and where a run's checkpoints go."""
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from src.common.charset import Charset
from src.common.errors import CheckpointError
from src.model_utils.config import Config

BEST_NAME = "best_acc.ckpt"
# How images are fitted: taken over, but the user may read with something else.
_INPUT = ("image_width", "keep_ratio", "bucket_widths")
_LAST_LAYERS = ("rnn.1.embedding.", "fc.")
_WEIGHTS = ("vgg.", "rnn.", "rnn1.", "rnn2.", "fc.")
# What the model zoo's files hold besides: an unused batch norm.
_UNUSED = ("vgg.bn1.",)
# The state of a training run that a resumed run can do without: AdamW keeps it for its AMSGrad variant only, and the
# train cell's copies of batch norm's statistics last for a step.
_NOT_SAVED = ("max_exp_avg_sq.", "kept.")

# With a moving average the train cell holds it under the names of the weights, AVERAGE before them. The file has the
# average under the plain names, as it is what reads best, and what is trained on under TRAINED.
AVERAGE, TRAINED = "average.", "trained."


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
    info: dict[str, object] = field(default_factory=dict)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The parameters of the network alone."""
        return {name: value for name, value in self.values.items()
                if name.startswith(_WEIGHTS) and not name.startswith(_UNUSED)}

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
        for version, name in (("V2", "rnn.0.rnn.weight_ih_l0"), ("V1", "rnn1.weight_ih_l0")):
            if name in self.values:
                return version
        if "w1_bw" in self.values:
            raise CheckpointError(f"{self.path} is a V1 checkpoint of the model zoo, whose second LSTM ran in one "
                                  "direction only; it cannot be loaded here, train V1 anew or use a V2 checkpoint")
        raise CheckpointError(f"{self.path} holds no CRNN: neither {name} nor its V2 equal is in it")

    @property
    def class_num(self) -> int:
        """Number of classes of the last layer."""
        return len(self._first(f"{layer}bias" for layer in _LAST_LAYERS))

    @property
    def hidden_size(self) -> int:
        """Units of each LSTM direction."""
        return self._first(("rnn.0.rnn.weight_hh_l0", "rnn1.weight_hh_l0")).shape[1]

    def _first(self, names) -> np.ndarray:
        for name in names:
            if name in self.values:
                return self.values[name]
        raise CheckpointError(f"{self.path} holds no complete CRNN; give a checkpoint of train.py")


def read_checkpoint(path: str) -> Checkpoint:
    """Reads a checkpoint of this project or of the model zoo, or weights in a numpy ``.npz`` file.

    Raises:
        CheckpointError: no such file, or not a checkpoint.
    """
    if not path:
        raise CheckpointError("no checkpoint given; add --checkpoint_path=FILE")
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist" if not os.path.isdir(path) else
                              f"checkpoint {path} is a folder; give the .ckpt file")
    try:
        if path.endswith(".npz"):
            with np.load(path) as arrays:
                return Checkpoint(path, {name: arrays[name] for name in arrays})
        content = ms.load_checkpoint(path)
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, TokenError, zipfile.BadZipFile,
            zlib.error) as error:
        if getattr(error, "filename", None):  # the file cannot be opened, and the error says why
            raise
        raise CheckpointError(f"{path} is not a checkpoint, or it is damaged; give a file that train.py "
                              "wrote") from error
    values, info = {}, {}
    for name, value in content.items():
        if not isinstance(value, Parameter | Tensor):
            info[name] = value
        elif value.ndim == 0:
            info[name] = value.asnumpy().item()
        else:
            values[name] = value.asnumpy()
    return Checkpoint(path, values, info)


def wants_new_charset(config: Config, checkpoint: Checkpoint) -> bool:
    """Whether the user explicitly gave other characters than the checkpoint was trained with (fine-tuning)."""
    if config.origin("label_dict") in ("default", "derived", "program"):
        return False
    trained = checkpoint.info.get("label_dict")
    if trained is None:  # the model zoo's files do not tell
        return checkpoint.class_num != config.class_num
    return trained != Charset.from_config(config.label_dict).characters


def adopt(config: Config, checkpoint: Checkpoint, keep_charset: bool = False) -> None:
    """Sets the network's configuration to what the checkpoint was trained with.

    Args:
        config: the options, changed in place.
        checkpoint: the checkpoint.
        keep_charset: leave the characters as they are configured; see :func:`wants_new_charset`.

    Raises:
        CheckpointError: the user asked for something else, or the charset has another number of classes.
    """
    found = {"model_version": checkpoint.model_version, "hidden_size": checkpoint.hidden_size}
    keys = _INPUT if keep_charset else ("label_dict", *_INPUT)
    found.update({key: checkpoint.info[key] for key in keys if key in checkpoint.info})
    for key, value in found.items():
        current = getattr(config, key)
        if key == "label_dict":
            current = Charset.from_config(current).characters
        if current == value:
            continue
        if key not in _INPUT and config.origin(key) not in ("default", "derived", "program"):
            raise CheckpointError(f"{checkpoint.path} was trained with {key} {value!r}, but the {config.origin(key)} "
                                  f"says {getattr(config, key)!r}; leave {key} out, or give another checkpoint")
        if config.origin(key) in ("default", "derived", "program"):
            setattr(config, key, value)
        else:
            print(f"note: {checkpoint.path} was trained with {key} {value}, now it is {current}", file=sys.stderr)
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
        if but_last and parameter.name.startswith(_LAST_LAYERS):
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
    everything = {**checkpoint.values, **checkpoint.info}
    adapted = getattr(cell, "dynamic", False) and checkpoint.info.get("dynamic_loss_scale", True)
    options = {"momentum"} if adapted else {"momentum", "loss_scale", "good_steps"}
    wanted = [p for p in cell.get_parameters()
              if not p.name.startswith((*_WEIGHTS, *_NOT_SAVED, AVERAGE)) and p.name not in options]
    if but_last:
        wanted = [p for p in wanted if not any(f".{layer}" in f".{p.name}" for layer in (*_LAST_LAYERS, "head."))]
    fits = all(np.shape(everything.get(p.name)) == tuple(p.shape) and p.name in everything for p in wanted)
    for parameter in wanted if fits else []:
        parameter.set_data(Tensor(np.asarray(everything[parameter.name]), parameter.dtype))
    return fits


def write_checkpoint(path: str | os.PathLike, cell: nn.Cell, info: Mapping[str, int | float | str]) -> None:
    """Writes the parameters of a network or of a whole train cell; the file appears only when it is complete.

    Args:
        path: file to write.
        cell: where the parameters are.
        info: facts to write beside them, see :class:`Checkpoint`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = [p for p in cell.get_parameters() if not p.name.startswith(_NOT_SAVED)]
    averaged = {p.name.removeprefix(AVERAGE) for p in saved if p.name.startswith(AVERAGE)}
    parameters = [{"name": TRAINED + p.name if p.name in averaged else p.name.removeprefix(AVERAGE), "data": p}
                  for p in saved]
    partial = path.with_name(f".{path.stem}.{os.getpid()}.ckpt")
    try:
        ms.save_checkpoint(parameters, str(partial), append_dict=dict(info))
        partial.chmod(0o644)  # MindSpore makes it readable for its owner alone
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class CheckpointKeeper:
    """Writes ``crnn-{epoch}_{step}.ckpt`` files and keeps the newest ones.

    Args:
        folder: where they go.
        keep_max: how many stay.
        earlier: what the run has written there before, oldest first; all other files are another run's and stay.
        writes: False only follows what the process that writes them does (ranks of a distributed run but the first).
    """

    def __init__(self, folder: str | os.PathLike, keep_max: int, earlier: Iterable[Path] = (),
                 writes: bool = True) -> None:
        self.folder = Path(folder)
        self.keep_max = keep_max
        self.writes = writes
        self.written = [path for path in earlier if path.is_file()]

    def save(self, cell: nn.Cell, epoch: int, step: int, info: Mapping[str, int | float | str]) -> Path:
        """Writes the checkpoint of a step (both counted from 1) and removes the oldest of this run beyond the limit."""
        path = self.folder / f"crnn-{epoch}_{step}.ckpt"
        self.written = [old for old in self.written if old != path] + [path]
        if self.writes:
            write_checkpoint(path, cell, {**info, "run_files": "/".join(kept.name for kept in self.written)})
        while len(self.written) > self.keep_max:
            oldest = self.written.pop(0)
            if self.writes:
                oldest.unlink(missing_ok=True)
        return path
