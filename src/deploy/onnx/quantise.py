"""ONNX with 8-bit integers, all ranges fixed: convolutions and poolings by calibration, LSTMs in ``integer_lstm.py``.

One image has one reading, in any company and in any runtime: of 2,000 words none has another best path in OpenVINO
2026.4 than in onnxruntime 1.32. Beside the float16 file it takes a quarter of the time and half of the disk; word
accuracy is unchanged within 0.2 points.

Weights use 7 bits: with 8 the sums of two products overflow on CPUs without VNNI instructions, and the accuracy is the
same. The first convolution stays in float32: where it is in 8 bits, too, OpenVINO 2026.4 gives class scores up to 14
away from onnxruntime's and from those of the same graph computed operator by operator. The first ReLU comes behind its
pooling, which gives the same numbers: onnxruntime 1.32 would otherwise round to 8 bits before the pooling, and pool
what the convolution left in an order that takes it ten times as long (8 % of the whole).
"""
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime import quantization

from src.common.errors import DataError
from src.common.system import muted
from src.deploy.metadata import ALIKE, ModelInfo
from src.deploy.onnx.graph import INPUT, SEQUENCE, Graph, build_onnx, output_of, to_model
from src.deploy.onnx.integer_lstm import IntegerGraph
from src.network.description import VERSIONS


class _Reader(quantization.CalibrationDataReader):
    """Hands batches of images to the calibration."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch by the name of the input; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def quantise(weights: Mapping[str, np.ndarray], info: ModelInfo, epsilon: float, batches: Sequence[np.ndarray],
             batch: int | None = None, width: int | None = None) -> onnx.ModelProto:
    """Builds the 8-bit ONNX model of a checkpoint.

    Args:
        weights: the network's parameters by name, as in its checkpoints.
        info: its facts.
        epsilon: of the batch norm.
        batches: images to calibrate on, (N, 3, H, W) float32 each; those of no images are left out.
        batch: images per call; None leaves it free.
        width: of the images in pixels; None leaves it free.

    Returns:
        The model with its facts.

    Raises:
        CheckpointError: a weight is missing.
        DataError: there is no image to calibrate on.
    """
    batches = [some for some in batches if len(some)]
    if not batches:
        raise DataError("no image to calibrate on: name images that can be read with --calibration_path")
    float32 = replace(info, weights="float32")
    graph = IntegerGraph(weights, begun=_integer_features(weights, float32, epsilon, batches, batch, width))
    back = next(node for node in graph.nodes if node.output[0] == _columns(graph))
    x = graph.quantised(SEQUENCE, *back.input[1:])
    version = VERSIONS[info.model_version]
    for lstm, dense in zip(version.lstms, version.denses, strict=True):
        x = graph.integer_lstm(lstm, x)
        if dense == version.last:
            x = graph.dense(dense, x, output_of(dense, version))
        elif dense:
            x = graph.integer_dense(dense, x, output_of(dense, version))
            ends = _measure_range(build_onnx(weights, float32, epsilon, batch, width), x, batches)
            x = graph.quantised(x, *graph.range_constants(x, *ends))
    result = to_model(graph, replace(info, weights="int8"), batch, width)
    result.metadata_props.add(key=ALIKE, value="one image, one reading")
    return result


def _integer_features(weights: Mapping[str, np.ndarray], info: ModelInfo, epsilon: float,
                      batches: Sequence[np.ndarray], batch: int | None, width: int | None) -> onnx.ModelProto:
    """The convolutions in 8 bits, from the images to SEQUENCE."""
    graph = Graph(weights)
    graph.features(epsilon, late=True)
    model = to_model(graph, info, batch, width, output=SEQUENCE)
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    with tempfile.TemporaryDirectory(prefix="crnn-int8-") as folder, muted():
        # Muted: the advice to run optimisations first; batch norm is folded in already.
        plain, static = (Path(folder, f"{name}.onnx") for name in ("plain", "static"))
        onnx.save(model, plain)  # a model in memory would be changed
        quantization.quantize_static(
            plain, static, _Reader(batches), quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "MaxPool"], nodes_to_exclude=[first], per_channel=True,
            reduce_range=True, activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8, calibrate_method=quantization.CalibrationMethod.MinMax)
        return onnx.load(static)


def _columns(graph: Graph) -> str:
    """The tensor of features before its dimensions are moved, which comes out of 8 bits."""
    made_by = {node.output[0]: node for node in graph.nodes}
    return made_by[made_by[SEQUENCE].input[0]].input[0]


def _measure_range(model: onnx.ModelProto, name: str, batches: Iterable[np.ndarray]) -> tuple[float, float]:
    """Least and greatest value of a tensor over the calibration images."""
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = [session.run([name], {INPUT: batch})[0] for batch in batches]
    return min(float(value.min()) for value in values), max(float(value.max()) for value in values)
