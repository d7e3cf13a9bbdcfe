"""The CRNN as an ONNX graph, made from the weights alone with the `onnx` package; MindSpore is not needed.

Opset 17 (onnxruntime 1.12 and later). One input, ``images`` (batch, 3, 32, width) float32; one output, ``logits``
(steps, batch, classes) float32, steps = ceil(ceil(width / 2) / 2) - 1. ``batch``, ``width`` and ``steps`` are free
unless they are given. Batch norm is folded into the convolutions. Weights may be stored as float16; a Cast, which
onnxruntime does once when it loads the file, brings them back.

**Guards.** onnxruntime's 8-bit LSTM takes the range of its input, and at every step that of its state, from whatever
is in the batch: an image would be read differently in other company. A graph that is to be quantised therefore gets,
beside the real values, constants that lie at the ends of the range: a channel of the last convolution, two columns of
the dense layer between the LSTMs, and two units of each LSTM whose state is always 1 and -1. Nothing reads them.
"""
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from src.common.errors import CheckpointError
from src.deploy import checksum
from src.deploy.metadata import ModelInfo
from src.network.description import FEATURES, STAGES, VERSIONS, num_steps

OPSET = 17
INPUT = "images"
OUTPUT = "logits"
SEQUENCE = "sequence"
# Smaller tensors (biases, shapes) stay float32: they save nothing.
_MIN_HALF_SIZE = 1024
# Units that each LSTM gets where it is guarded: two guards, filled up to the width of vector instructions.
_GUARD_UNITS = 8
_SATURATED = 30.0  # opens a gate fully

Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest value of what goes into an LSTM, by the name of that tensor."""


class _Graph:
    """Nodes and initialisers as they are added; each method returns the name of the tensor it makes."""

    def __init__(self, weights: Mapping[str, np.ndarray], half: bool, ranges: Ranges | None) -> None:
        self.weights = weights
        self.half = half
        self.ranges = ranges
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

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

    def convolution(self, number: int, x: str, epsilon: float) -> str:
        """Convolution with its batch norm folded in, ReLU, and the pooling behind it if there is one."""
        name = f"vgg.conv{number}"
        kernel = self.weight(f"{name}.conv.weight")
        variance = self.weight(f"{name}.bn.moving_variance").astype(np.float64)
        gain = self.weight(f"{name}.bn.gamma") / np.sqrt(variance + epsilon)
        bias = self.weight(f"{name}.bn.beta") - self.weight(f"{name}.bn.moving_mean") * gain
        kernel = (kernel * gain[:, None, None, None]).astype(np.float32)
        if number == len(STAGES) and self.ranges:
            kernel = np.concatenate([kernel, np.zeros_like(kernel[:1])])
            bias = np.append(bias, self.ranges[SEQUENCE][1])
        size = list(kernel.shape[2:])
        x = self.node("Conv", [x, self.constant(f"{name}.weight", kernel),
                               self.constant(f"{name}.bias", bias.astype(np.float32))], f"{name}.sum",
                      kernel_shape=size, pads=[1, 1, 1, 1] if size == [3, 3] else [0, 0, 0, 0])
        window = STAGES[number - 1].pool
        late = bool(window and number == 1 and self.ranges)  # see quantise.py
        if not late:
            x = self.node("Relu", [x], name)
        if window:
            # Rounding up equals the network's 'same' padding: a last odd column is pooled with nothing.
            x = self.node("MaxPool", [x], f"{name}.sum.pool" if late else f"{name}.pool", kernel_shape=list(window),
                          strides=list(window), ceil_mode=1)
        return self.node("Relu", [x], f"{name}.pool") if late else x

    def lstm(self, name: str, x: str, keep_guards: bool = False) -> str:
        """A bidirectional LSTM over (steps, batch, features); returns (steps, batch, 2 * hidden).

        Args:
            name: of its weights.
            x: its input.
            keep_guards: leave the two guards of each direction in the result, behind its real units.
        """
        kinds = {kind: np.stack([_onnx_gates(self.weight(f"{name}.{kind}_l0{end}")) for end in ("", "_reverse")])
                 for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        hidden = width = kinds["weight_hh"].shape[2]
        start = []
        if self.ranges:
            width = hidden + _GUARD_UNITS
            kinds = _guarded(kinds, self._guard_columns(x))
            start = ["", "", self._start(name, x, width)]
        bias = np.concatenate([kinds["bias_ih"], kinds["bias_hh"]], 1)
        tensors = [self.constant(f"{name}.{kind}", kinds[kind]) for kind in ("weight_ih", "weight_hh")]
        tensors.append(self.constant(f"{name}.bias", bias))
        x = self.node("LSTM", [x, *tensors, *start], f"{name}.directions", hidden_size=width, direction="bidirectional")
        if self.ranges:
            hidden += 2 * keep_guards
            cut = [self.constant(f"{name}.{word}", np.array([value], np.int64))
                   for word, value in (("first", 0), ("last", hidden), ("axis", 3))]
            x = self.node("Slice", [x, *cut], f"{name}.units")
        x = self.node("Transpose", [x], f"{name}.by_step", perm=[0, 2, 1, 3])  # from (steps, 2, batch, hidden)
        # 0 keeps a dimension, so that batch and steps stay free.
        return self.node("Reshape", [x, self.constant(f"{name}.shape", np.array([0, 0, 2 * hidden], np.int64))], name)

    def _guard_columns(self, x: str) -> list[int]:
        """Which columns of the input of an LSTM are guards, counted in the input with them."""
        if x == SEQUENCE:
            return [FEATURES]
        if self.ranges and x in self.ranges:
            return [self.weight(f"{x}.embedding.weight").shape[0] + k for k in (0, 1)]
        hidden = self.weight(f"{x}.weight_hh_l0").shape[1]  # another LSTM with its guards kept, two directions
        return [hidden, hidden + 1, 2 * hidden + 2, 2 * hidden + 3]

    def _start(self, name: str, x: str, width: int) -> str:
        """The first cell state of a guarded LSTM, (2, batch, units): 20 and -20 in the guards, tanh 1 and -1."""
        cells = np.zeros((2, 1, width), np.float32)
        cells[..., width - _GUARD_UNITS:width - _GUARD_UNITS + 2] = 20, -20
        cut = [self.constant(f"{name}.batch.{word}", np.array([value], np.int64))
               for word, value in (("first", 1), ("last", 2))]
        batch = self.node("Slice", [self.node("Shape", [x], f"{name}.input_shape"), *cut], f"{name}.batch")
        ends = [self.constant(f"{name}.{word}", np.array([value], np.int64))
                for word, value in (("two", 2), ("width", width))]
        shape = self.node("Concat", [ends[0], batch, ends[1]], f"{name}.start_shape", axis=0)
        return self.node("Expand", [self.constant(f"{name}.cells", cells), shape], f"{name}.start")

    def dense(self, name: str, x: str, output: str) -> str:
        """A linear map of the last dimension."""
        kernel, bias = self.weight(f"{name}.weight").T, self.weight(f"{name}.bias")
        guards = self.ranges.get(output) if self.ranges else None
        if guards:
            kernel = np.pad(kernel, ((0, 0), (0, 2)))
            bias = np.append(bias, np.array(guards, np.float32))
        factor = self.constant(f"{name}.weight.transposed", np.ascontiguousarray(kernel))
        x = self.node("MatMul", [x, factor], f"{output}.product")
        x = self.node("Add", [x, self.constant(f"{name}.bias", bias)], f"{output}.sum" if guards else output)
        if guards:
            ends = [self.constant(f"{output}.{word}", np.array(value, np.float32))
                    for word, value in zip(("least", "most"), guards, strict=True)]
            x = self.node("Clip", [x, *ends], output)
        return x


def _onnx_gates(value: np.ndarray) -> np.ndarray:
    """Reorders the gates of an LSTM weight or bias: MindSpore has i, f, g, o; ONNX has i, o, f, c (c = g)."""
    i, f, g, o = np.split(value, 4)
    return np.concatenate([i, o, f, g])


def _guarded(kinds: dict[str, np.ndarray], columns: list[int]) -> dict[str, np.ndarray]:
    """LSTM weights, (2, 4 * hidden, ...) each, with guard units behind the real ones and guard columns in the input."""
    result = {}
    for kind, value in kinds.items():
        directions, rows, *rest = value.shape
        gates = value.reshape(directions, 4, rows // 4, *rest)
        extra = np.zeros((directions, 4, _GUARD_UNITS, *rest), np.float32)
        if kind == "bias_ih":
            extra[:, :3, :2] = _SATURATED  # input, output and forget gate
            extra[:, 3, :2] = _SATURATED, -_SATURATED
        value = np.concatenate([gates, extra], 2).reshape(directions, -1, *rest)
        if kind == "weight_hh":
            value = np.pad(value, ((0, 0), (0, 0), (0, _GUARD_UNITS)))
        if kind == "weight_ih":
            wide = np.zeros((*value.shape[:2], value.shape[2] + len(columns)), np.float32)
            wide[..., [k for k in range(wide.shape[2]) if k not in columns]] = value
            value = wide
        result[kind] = value
    return result


def lstm_inputs(model_version: str) -> tuple[str, ...]:
    """The tensors whose ranges ``build_onnx`` has to know for a graph that is to be quantised."""
    between = VERSIONS[model_version].denses[0]
    return (SEQUENCE, between.rpartition(".")[0]) if between else (SEQUENCE,)


def build_onnx(weights: Mapping[str, np.ndarray], info: ModelInfo, epsilon: float, batch: int | None = None,
               width: int | None = None, ranges: Ranges | None = None) -> onnx.ModelProto:
    """Builds the ONNX model of a checkpoint.

    Args:
        weights: the network's parameters by name, as in its checkpoints.
        info: goes into the metadata; its ``model_version`` and ``weights`` say what is built.
        epsilon: of the batch norm.
        batch: images per call; None leaves it free.
        width: of the images in pixels; None leaves it free.
        ranges: of ``lstm_inputs``, for a graph that is to be quantised; it computes the same with guards in it.

    Raises:
        CheckpointError: a weight is missing, or cannot be stored as float16.
    """
    graph = _Graph(weights, half=info.weights == "float16", ranges=ranges)
    x = INPUT
    for number in range(1, len(STAGES) + 1):
        x = graph.convolution(number, x, epsilon)
    x = graph.node("Squeeze", [x, graph.constant("rows", np.array([2], np.int64))], "columns")
    x = graph.node("Transpose", [x], SEQUENCE, perm=[2, 0, 1])
    version = VERSIONS[info.model_version]
    for lstm, dense in zip(version.lstms, version.denses, strict=True):
        x = graph.lstm(lstm, x, keep_guards=dense is None)
        if dense:
            x = graph.dense(dense, x, OUTPUT if dense == version.last else dense.rpartition(".")[0])

    sizes = [batch or "batch", 3, info.image_height, width or "width"]
    steps = num_steps(width) if width else "steps"
    proto = helper.make_graph(
        graph.nodes, f"CRNN {info.model_version}", [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [steps, sizes[0], info.class_num])],
        graph.initialisers)
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
