"""ONNX with 8-bit integers: convolutions and poolings static, from calibration images; the LSTMs dynamic.

Measured on one CPU core at batch 16 with a trained network: 3.4 times the speed of float32, a quarter of its file size,
word accuracy unchanged within 0.2 points. LSTMs left in float32 cost up to a third of that speed, the more the fewer
images there are in a batch; quantising the dense layers as well gained nothing, nor did other schemes of calibration.
Weights use 7 bits: with 8 the sums of two products overflow on CPUs without VNNI instructions, and the accuracy is the
same.

One image has one reading, in any company: the ranges of the LSTMs are fixed by guards (see ``graph.py``). The first
convolution stays in float32: where it is in 8 bits, too, OpenVINO 2026.4 gives class scores up to 14 away from
onnxruntime's and from those of the same graph computed operator by operator; without it they agree up to the LSTMs.
These OpenVINO computes in float with their 8-bit weights, so that class scores differ by up to 6.6 all the same
(``findings/openvino_quantised_lstm.sh``). The first ReLU comes behind its pooling, which gives the same numbers:
onnxruntime 1.32 would otherwise round to 8 bits before the pooling, and pool what the convolution left in an order that
takes it ten times as long (8 % of the whole).
"""
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from src.common.errors import DataError
from src.common.system import muted
from src.deploy.metadata import GUARDS, ModelInfo
from src.deploy.onnx.graph import INPUT, Ranges, lstm_inputs, set_info

Build = Callable[[Ranges | None], onnx.ModelProto]
"""Builds the float32 graph; with guards where ranges are given."""


class _Reader(quantization.CalibrationDataReader):
    """Hands batches of images to the calibration."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch by the name of the input; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def measure_ranges(model: onnx.ModelProto, info: ModelInfo, batches: Iterable[np.ndarray]) -> Ranges:
    """Least and greatest values of the inputs of the LSTMs over the calibration images.

    A batch of no images is left out: onnxruntime 1.32 would end the process where a network has an LSTM.
    """
    names = lstm_inputs(info.model_version)
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ends: dict[str, tuple[float, float]] = {}
    for batch in filter(len, batches):
        for name, value in zip(names, session.run(list(names), {INPUT: batch}), strict=True):
            least, most = ends.get(name, (0.0, 0.0))
            ends[name] = min(least, float(value.min())), max(most, float(value.max()))
    return ends


def quantise(build: Build, info: ModelInfo, batches: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Makes the 8-bit form of a float32 model.

    Args:
        build: the model, its batch free or that of the batches.
        info: its facts.
        batches: images to calibrate on, (N, 3, H, W) float32 each; those of no images are left out.

    Returns:
        The quantised model, with its facts.

    Raises:
        DataError: there is no image.
    """
    batches = [*filter(len, batches)]
    if not batches:
        raise DataError("no image to calibrate on: name images that can be read with --calibration_path")
    model = build(measure_ranges(build(None), info, batches))
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    with tempfile.TemporaryDirectory(prefix="crnn-int8-") as folder, muted():
        # Muted: the advice to run optimisations first; batch norm is folded in already.
        plain, static, both = (Path(folder, f"{name}.onnx") for name in ("plain", "static", "both"))
        onnx.save(model, plain)  # a model in memory would be changed
        quantization.quantize_static(
            plain, static, _Reader(batches), quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "MaxPool"], nodes_to_exclude=[first], per_channel=True,
            reduce_range=True, activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8, calibrate_method=quantization.CalibrationMethod.MinMax)
        _saturate_guard(static)
        quantization.quantize_dynamic(static, both, op_types_to_quantize=["LSTM"], reduce_range=True,
                                      weight_type=quantization.QuantType.QInt8)
        result = onnx.load(both)
    set_info(result, replace(info, weights="int8"))
    result.metadata_props.add(key=GUARDS, value="one image, one reading")
    return result


def _saturate_guard(path: Path) -> None:
    """Doubles the guard of the last convolution in a file: it becomes the largest number of 8 bits, however rounded.

    The weights of its channel are 0, so its scale is coarse, and rounded it can lie below what other channels reach.
    """
    model = onnx.load(path)
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    stored = next(item for item in model.graph.initializer if item.name == f"{last.input[2]}_quantized")
    values = numpy_helper.to_array(stored).copy()
    values[-1] *= 2
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))
    onnx.save(model, path)
