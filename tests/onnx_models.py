"""Networks with weights drawn from a seed, as ONNX files and as checkpoints; MindSpore is not needed."""
import sys
from pathlib import Path

import numpy as np

from src.common.charset import Charset
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo
from src.deploy.onnx.graph import build_onnx
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "tools"))
from seeded_weights import seeded_weights  # noqa: E402

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
EPSILON = 1e-4  # of the network's batch norm
CHANNELS = (3, 64, 128, 256, 256, 512, 512, 512)


def network_shapes(version: str, classes: int = 37, hidden: int = 256):
    """Names and shapes of the parameters, as the model zoo's checkpoints have them."""
    for number in range(1, 8):
        size = 2 if number == 7 else 3
        yield f"vgg.conv{number}.conv.weight", (CHANNELS[number], CHANNELS[number - 1], size, size)
        for name in ("moving_mean", "moving_variance", "gamma", "beta"):
            yield f"vgg.conv{number}.bn.{name}", (CHANNELS[number],)
    names = {"V2": ("rnn.0.rnn", "rnn.1.rnn"), "V1": ("rnn1", "rnn2")}[version]
    for name, inputs in zip(names, (512, hidden if version == "V2" else 2 * hidden), strict=True):
        for end in ("", "_reverse"):
            yield f"{name}.weight_ih_l0{end}", (4 * hidden, inputs)
            yield f"{name}.weight_hh_l0{end}", (4 * hidden, hidden)
            yield f"{name}.bias_ih_l0{end}", (4 * hidden,)
            yield f"{name}.bias_hh_l0{end}", (4 * hidden,)
    layers = {"V2": (("rnn.0.embedding", hidden), ("rnn.1.embedding", classes)), "V1": (("fc", classes),)}[version]
    for name, outputs in layers:
        yield f"{name}.weight", (outputs, 2 * hidden)
        yield f"{name}.bias", (outputs,)


def network_weights(version: str = "V2", characters: str = CHARACTERS, hidden: int = 256) -> dict[str, np.ndarray]:
    """Weights by name."""
    return seeded_weights(network_shapes(version, len(characters) + 1, hidden))


def write_checkpoint(path: Path, version: str = "V2", hidden: int = 256) -> Path:
    """Weights as a numpy file, which counts as a checkpoint."""
    np.savez(path, **network_weights(version, hidden=hidden))
    return path


def images(count: int, width: int = 100, seed: int = 0) -> np.ndarray:
    """Random input of the network, (count, 3, 32, width) float32 from -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 32, width)).astype(np.float32)


def make_onnx(version: str = "V2", characters: str = CHARACTERS, hidden: int = 256, **sizes):
    """The ONNX model of these weights."""
    info = ModelInfo.of(Charset(characters), version, InputSpec())
    return build_onnx(network_weights(version, characters, hidden), info, EPSILON, **sizes)


def write_onnx(path: Path, model) -> Path:
    """Saves an ONNX model."""
    path.write_bytes(model.SerializeToString())
    return path
