"""Weights in the files of others: safetensors, and PyTorch's where PyTorch is installed."""
import contextlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from types import ModuleType

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from src.common.errors import CheckpointError
from src.common.files import replacing, write_bytes

SAFETENSORS = (".safetensors",)
TORCH = (".pt", ".pth")
_FACTS = "crnn"  # entry of a safetensors file's metadata, which is text only
_STATE, _TORCH_FACTS = "state_dict", "facts"

Facts = dict[str, object]


def read_safetensors(path: str) -> tuple[dict[str, np.ndarray], Facts]:
    """The arrays of a file, float32, and what it says about them.

    Raises:
        CheckpointError: no such file, or not one of that kind.
    """
    # Numbers beyond float32 become infinite, which whoever takes the weights looks for.
    with _named(path, "safetensors"), safe_open(path, "numpy") as file, np.errstate(over="ignore", invalid="ignore"):
        arrays = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
        facts = json.loads((file.metadata() or {}).get(_FACTS, "{}"))
        if not isinstance(facts, dict):
            raise ValueError("facts that are no object")
    return arrays, facts


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> None:
    """Writes arrays with facts beside them, as a whole or not at all."""
    whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_bytes(path, save(whole, {_FACTS: json.dumps(dict(facts)), "format": "pt"}))


def read_torch(path: str) -> tuple[dict[str, np.ndarray], Facts]:
    """The arrays of a file of ``torch.save``, float32, and what it says about them.

    A ``state_dict`` alone is taken, and one under the key ``state_dict``. Nothing in the file is executed.

    Raises:
        CheckpointError: no such file, not one of that kind, or PyTorch is not installed.
    """
    torch = _torch(path)
    with _named(path, "PyTorch"):
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content.get(_STATE, content)
        facts = content.get(_TORCH_FACTS, {}) if state is not content else {}
        arrays = {name: value.detach().float().numpy() for name, value in state.items()}
    return arrays, dict(facts)


def write_torch(path: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> None:
    """Writes ``{"state_dict": ..., "facts": ...}`` with ``torch.save``, as a whole or not at all.

    Raises:
        CheckpointError: PyTorch is not installed.
    """
    torch = _torch(path)
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    with replacing(path) as partial:
        torch.save({_STATE: state, _TORCH_FACTS: dict(facts)}, partial)


def _torch(path: str) -> ModuleType:
    """PyTorch, which only these files need."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise CheckpointError(f"{path}: files of PyTorch need it: `pip install torch`; or take a .safetensors file, "
                              "which PyTorch reads, too") from error


@contextlib.contextmanager
def _named(path: str, kind: str) -> Iterator[None]:
    """Turns what the readers raise into one error that names the file."""
    if not os.path.isfile(path):
        raise CheckpointError(f"{path} {'is a folder' if os.path.isdir(path) else 'does not exist'}; give a file of "
                              "weights")
    try:
        yield
    except Exception as error:  # PyTorch raises all kinds on damaged files, AssertionError and IndexError among them
        if isinstance(error, OSError) and error.filename is not None:  # it may not be read; the name is in the error
            raise
        raise CheckpointError(f"{path} is not a file of {kind} with a network's weights, or it is damaged") from error
