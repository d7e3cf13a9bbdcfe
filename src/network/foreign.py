"""Weights of other programs' CRNNs, brought to the names, shapes and colours of this one."""
from collections.abc import Mapping

import numpy as np

from src.common.errors import CheckpointError
from src.network.description import FEATURES, STAGES, VERSIONS
from src.network.names import from_torch

MINDOCR_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""The classes of MindOCR's networks that were trained without a dictionary."""
_EPSILON = 1e-4  # of the batch norms, here and there
_FLAT = tuple(f"{lstm}.weight" for lstm in VERSIONS["V2"].lstms)

Weights = dict[str, np.ndarray]


def translate(values: Mapping[str, np.ndarray], rgb: bool = True) -> tuple[Weights, str]:
    """Brings the arrays of a file to this project's names.

    Args:
        values: arrays by name, as the file has them.
        rgb: a network of MindOCR takes red, green, blue, as its configurations say; False: blue, green, red.

    Returns:
        The weights, and a line about what was done; '' where the names are this project's own.

    Raises:
        CheckpointError: a network of a kind that is not known here.
    """
    if is_mindocr(values):
        order = "red and blue exchanged" if rgb else "colours as they were"
        return from_mindocr(values, rgb), f"MindOCR's crnn_vgg7: biases as batch norms, {order}"
    if any(name in values for name in _FLAT):
        return from_flat_lstms(values), "an old V2 of the model zoo: the array of each LSTM taken apart"
    if any(name.removeprefix("module.").startswith("stages.") for name in values):
        return from_torch(values), "names of PyTorch"
    return dict(values), ""


def is_mindocr(values: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays have the names of MindOCR's networks."""
    return any(name.startswith("backbone.conv1.") for name in values)


def from_mindocr(values: Mapping[str, np.ndarray], rgb: bool = True) -> Weights:
    """The weights of MindOCR's ``crnn_vgg7`` as V1, the same class scores.

    There every convolution has a bias, and only the third, fifth and seventh a batch norm. A bias ``b`` becomes the
    mean ``-b`` of a batch norm that is there, or the shift of one that does nothing else. The scores are those before
    its softmax, time first.

    Args:
        values: the file's arrays by name; the state of an optimizer does not count.
        rgb: the network takes red, green, blue, while the one here takes blue, green, red.

    Raises:
        CheckpointError: an array is missing: another of MindOCR's networks.
    """
    found: Weights = {}

    def take(name: str) -> np.ndarray:
        if name not in values:
            raise CheckpointError(f"the weights have no {name}: of MindOCR's networks only crnn_vgg7 can be converted")
        return np.asarray(values[name], np.float32)

    for number in range(1, len(STAGES) + 1):
        old, new = f"backbone.conv{number}", f"vgg.conv{number}"
        kernel, bias = take(f"{old}.conv.weight"), take(f"{old}.conv.bias")
        found[f"{new}.conv.weight"] = kernel[:, ::-1].copy() if rgb and number == 1 else kernel
        if f"{old}.bn.gamma" in values:
            found |= {f"{new}.bn.{leaf}": take(f"{old}.bn.{leaf}") for leaf in ("gamma", "beta", "moving_variance")}
            found[f"{new}.bn.moving_mean"] = take(f"{old}.bn.moving_mean") - bias
        else:
            ones = np.ones_like(bias)
            found |= {f"{new}.bn.gamma": ones * np.float32(np.sqrt(1 + _EPSILON)), f"{new}.bn.beta": bias,
                      f"{new}.bn.moving_mean": 0 * ones, f"{new}.bn.moving_variance": ones}
    for layer, lstm in enumerate(VERSIONS["V1"].lstms):
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            for direction in ("", "_reverse"):
                found[f"{lstm}.{kind}_l0{direction}"] = take(f"neck.seq_encoder.{kind}_l{layer}{direction}")
    return found | {f"{VERSIONS['V1'].last}.{leaf}": take(f"head.dense1.{leaf}") for leaf in ("weight", "bias")}


def from_flat_lstms(values: Mapping[str, np.ndarray]) -> Weights:
    """The model zoo's V2 from before MindSpore 1.6, or from its CPU version: each LSTM was a single array.

    Written on a CPU it holds, for both directions each, the weights of the input, those of the state, and one bias.
    Written on a GPU it is cuDNN's: the two weights of one direction, those of the other, then two biases of each.
    They are told apart by their length.

    Args:
        values: the file's arrays by name.

    Raises:
        CheckpointError: an array is missing or has another length.
    """
    found = {name: value for name, value in values.items() if name not in _FLAT}
    inputs = FEATURES
    for lstm, dense, flat in zip(VERSIONS["V2"].lstms, VERSIONS["V2"].denses, _FLAT, strict=True):
        if flat not in values or f"{dense}.weight" not in values:
            raise CheckpointError(f"the weights have {flat} or {dense}.weight missing: not a whole V2")
        hidden = values[f"{dense}.weight"].shape[1] // 2
        array, gates = np.asarray(values[flat], np.float32).ravel(), 4 * hidden
        ih, hh, bias = (gates, inputs), (gates, hidden), (gates,)
        layouts = {2 * gates * (inputs + hidden + 1): (ih, ih, hh, hh, bias, bias),
                   2 * gates * (inputs + hidden + 2): (ih, hh, ih, hh, bias, bias, bias, bias)}
        if len(array) not in layouts:
            lengths = " or ".join(map(str, layouts))
            raise CheckpointError(f"{flat} holds {len(array)} numbers, an LSTM of {hidden} units needs {lengths}")
        shapes = layouts[len(array)]
        parts = np.split(array, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        parts = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        if len(parts) == 6:
            order = (parts[0], parts[2], parts[4], 0 * parts[4], parts[1], parts[3], parts[5], 0 * parts[5])
        else:
            order = (parts[0], parts[1], parts[4], parts[5], parts[2], parts[3], parts[6], parts[7])
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        names = [f"{lstm}.{kind}_l0{direction}" for direction in ("", "_reverse") for kind in kinds]
        found |= dict(zip(names, order, strict=True))
        inputs = hidden
    return found
