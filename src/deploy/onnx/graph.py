"""The CRNN as an ONNX graph, made from the weights alone with the `onnx` package; MindSpore is not needed.

Opset 17 (onnxruntime 1.12 and later). One input, ``images`` (batch, 3, 32, width) float32; one output, ``logits``
(steps, batch, classes) float32, steps = ceil(ceil(width / 2) / 2) - 1. ``batch``, ``width`` and ``steps`` are free
unless they are given. Batch norm is folded into the convolutions. Weights may be stored as float16; a Cast, which
onnxruntime does once when it loads the file, brings them back.
"""
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from src.common.errors import CheckpointError
from src.deploy import checksum
from src.deploy.metadata import ModelInfo
from src.network.description import FEATURES, STAGES, VERSIONS, Recurrent, num_steps

OPSET = 17
INPUT = "images"
OUTPUT = "logits"
SEQUENCE = "sequence"
# Smaller tensors (biases, shapes) stay float32: they save nothing.
_MIN_HALF_SIZE = 1024


class Graph:
    """Nodes and initialisers as they are added; each method returns the name of the tensor it makes.

    Args:
        weights: the network's parameters by name.
        half: large tensors are stored in float16.
        begun: a model whose nodes and initialisers come first.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], half: bool = False,
                 begun: onnx.ModelProto | None = None) -> None:
        self.weights = weights
        self.half = half
        self.nodes: list[onnx.NodeProto] = list(begun.graph.node) if begun else []
        self.initialisers: list[onnx.TensorProto] = list(begun.graph.initializer) if begun else []

    def weight(self, name: str) -> np.ndarray:
        """A weight of the checkpoint as float32."""
        if name not in self.weights:
            raise CheckpointError(f"the checkpoint has no {name}; it belongs to another network")
        return np.asarray(self.weights[name], np.float32)

    def constant(self, name: str, value: np.ndarray) -> str:
        """A stored tensor, by way of float16 where that was asked for."""
        if self.half and value.dtype == np.float32 and value.size >= _MIN_HALF_SIZE:
            with np.errstate(over="ignore"):
                small = value.astype(np.float16)
            if not np.isfinite(small).all():
                raise CheckpointError(f"{name} holds values beyond float16; export with --onnx_weights=float32")
            self.initialisers.append(numpy_helper.from_array(small, f"{name}.float16"))
            return self.node("Cast", [f"{name}.float16"], name, to=TensorProto.FLOAT)
        self.initialisers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes) -> str:
        """An operator with one output that is used."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **attributes))
        return output

    def features(self, epsilon: float, late: bool = False) -> str:
        """All convolutions, from the images to (steps, batch, features).

        Args:
            epsilon: of the batch norm.
            late: the first ReLU stands behind its pooling, which gives the same numbers; see quantise.py.
        """
        x = INPUT
        for number in range(1, len(STAGES) + 1):
            x = self.convolution(number, x, epsilon, late and number == 1)
        x = self.node("Transpose", [x], "columns", perm=[3, 0, 1, 2])
        return self.node("Squeeze", [x, self.constant("rows", np.array([3], np.int64))], SEQUENCE)

    def convolution(self, number: int, x: str, epsilon: float, late: bool) -> str:
        """Convolution with its batch norm folded in, ReLU, and the pooling behind it if there is one."""
        name = f"vgg.conv{number}"
        kernel = self.weight(f"{name}.conv.weight")
        variance = self.weight(f"{name}.bn.moving_variance").astype(np.float64)
        gain = self.weight(f"{name}.bn.gamma") / np.sqrt(variance + epsilon)
        bias = self.weight(f"{name}.bn.beta") - self.weight(f"{name}.bn.moving_mean") * gain
        kernel = (kernel * gain[:, None, None, None]).astype(np.float32)
        size = list(kernel.shape[2:])
        x = self.node("Conv", [x, self.constant(f"{name}.weight", kernel),
                               self.constant(f"{name}.bias", bias.astype(np.float32))], f"{name}.sum",
                      kernel_shape=size, pads=[1, 1, 1, 1] if size == [3, 3] else [0, 0, 0, 0])
        window = STAGES[number - 1].pool
        if not late:
            x = self.node("Relu", [x], name)
        if window:
            # Rounding up equals the network's 'same' padding: a last odd column is pooled with nothing.
            x = self.node("MaxPool", [x], f"{name}.sum.pool" if late else f"{name}.pool", kernel_shape=list(window),
                          strides=list(window), ceil_mode=1)
        return self.node("Relu", [x], f"{name}.pool") if late else x

    def lstm_weights(self, name: str) -> dict[str, np.ndarray]:
        """Weights and biases of a bidirectional LSTM by their kind, (2, 4 * hidden, ...) each, gates i, o, f, c."""
        return {kind: np.stack([_onnx_gates(self.weight(f"{name}.{kind}_l0{end}")) for end in ("", "_reverse")])
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}

    def lstm(self, name: str, x: str) -> str:
        """A bidirectional LSTM over (steps, batch, features); returns (steps, batch, 2 * hidden)."""
        kinds = self.lstm_weights(name)
        hidden = kinds["weight_hh"].shape[2]
        bias = np.concatenate([kinds["bias_ih"], kinds["bias_hh"]], 1)
        tensors = [self.constant(f"{name}.{kind}", kinds[kind]) for kind in ("weight_ih", "weight_hh")]
        tensors.append(self.constant(f"{name}.bias", bias))
        x = self.node("LSTM", [x, *tensors], f"{name}.directions", hidden_size=hidden, direction="bidirectional")
        x = self.node("Transpose", [x], f"{name}.by_step", perm=[0, 2, 1, 3])  # from (steps, 2, batch, hidden)
        # 0 keeps a dimension, so that batch and steps stay free.
        return self.node("Reshape", [x, self.constant(f"{name}.shape", np.array([0, 0, 2 * hidden], np.int64))], name)

    def dense(self, name: str, x: str, output: str) -> str:
        """A linear map of the last dimension."""
        kernel, bias = self.weight(f"{name}.weight").T, self.weight(f"{name}.bias")
        factor = self.constant(f"{name}.weight.transposed", np.ascontiguousarray(kernel))
        x = self.node("MatMul", [x, factor], f"{output}.product")
        return self.node("Add", [x, self.constant(f"{name}.bias", bias)], output)


def _onnx_gates(value: np.ndarray) -> np.ndarray:
    """Reorders the gates of an LSTM weight or bias: MindSpore has i, f, g, o; ONNX has i, o, f, c (c = g)."""
    i, f, g, o = np.split(value, 4)
    return np.concatenate([i, o, f, g])


def output_of(dense: str, version: Recurrent) -> str:
    """The name of the tensor that a linear map makes."""
    return OUTPUT if dense == version.last else dense.rpartition(".")[0]


def build_onnx(weights: Mapping[str, np.ndarray], info: ModelInfo, epsilon: float, batch: int | None = None,
               width: int | None = None) -> onnx.ModelProto:
    """Builds the ONNX model of a checkpoint.

    Args:
        weights: the network's parameters by name, as in its checkpoints.
        info: goes into the metadata; its ``model_version`` and ``weights`` say what is built.
        epsilon: of the batch norm.
        batch: images per call; None leaves it free.
        width: of the images in pixels; None leaves it free.

    Raises:
        CheckpointError: a weight is missing, or cannot be stored as float16.
    """
    graph = Graph(weights, half=info.weights == "float16")
    x = graph.features(epsilon)
    version = VERSIONS[info.model_version]
    for lstm, dense in zip(version.lstms, version.denses, strict=True):
        x = graph.lstm(lstm, x)
        if dense:
            x = graph.dense(dense, x, output_of(dense, version))
    return to_model(graph, info, batch, width)


def to_model(graph: Graph, info: ModelInfo, batch: int | None, width: int | None,
             output: str = OUTPUT) -> onnx.ModelProto:
    """The model of a graph, checked, with its facts; ``output`` is OUTPUT or SEQUENCE."""
    sizes = [batch or "batch", 3, info.image_height, width or "width"]
    steps = num_steps(width) if width else "steps"
    columns = info.class_num if output == OUTPUT else FEATURES
    proto = helper.make_graph(
        graph.nodes, f"CRNN {info.model_version}", [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [steps, sizes[0], columns])], graph.initialisers)
    model = helper.make_model(proto, producer_name="crnn", producer_version=info.project_version, ir_version=8,
                              opset_imports=[helper.make_opsetid("", OPSET)])
    set_info(model, info)
    onnx.checker.check_model(model, full_check=True)
    return model


def set_info(model: onnx.ModelProto, info: ModelInfo) -> None:
    """Writes the facts about a network into the metadata of its ONNX model."""
    helper.set_model_props(model, {name: str(value) for name, value in info.to_dict().items()})


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The ONNX file of a model, with a checksum among its metadata."""
    for name, value in checksum.ONNX.entries.items():
        model.metadata_props.add(key=name, value=value)
    return checksum.ONNX.close(model.SerializeToString())
