"""The C++ operators as MindSpore primitives with their gradients.

The gradient functions below find their operators in this module and not in a closure, and each backward operator takes
its output types from its inputs: MindSpore's graph mode mixes up closures that share their code.
"""
import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

_conv_data = _conv_weights = _extractor_gradient = _image_gradient = _lstm_gradient = _lstm_gradient_bf16 = None
_library: ctypes.CDLL | None = None
_path = ""
_PER_STAGE = 5
"""Parameters of a stage of the feature extractor."""


def load(path: Path) -> None:
    """Makes the operators of a compiled library usable; later calls do nothing."""
    global _conv_data, _conv_weights, _extractor_gradient, _image_gradient, _lstm_gradient, _lstm_gradient_bf16
    global _library, _path
    if _library is not None:
        return
    library = ctypes.CDLL(str(path))
    library.crnn_lstm_memory.restype = ctypes.c_int64
    library.crnn_lstm_memory.argtypes = [ctypes.c_int64] * 4
    library.crnn_vgg_memory.restype = ctypes.c_int64
    library.crnn_vgg_memory.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 3]
    # os.environ still holds what the user set; MindSpore overwrites the variable behind Python's back when it starts.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    library.crnn_set_threads(int(asked) if asked.isdecimal() else 0)
    _path = str(path)
    _conv_data = _custom("crnn_conv_backward_data", lambda dy, w, x, s: x, lambda dy, w, x, s: x)
    _conv_weights = _custom("crnn_conv_backward_weights", lambda x, dy, w, s: w, lambda x, dy, w, s: w)
    _extractor_gradient = _custom("crnn_vgg_gradient", _stage_parameters, _stage_parameters)
    _image_gradient = _custom("crnn_vgg_image_gradient", lambda *a: a[0], lambda *a: a[0])
    _lstm_gradient = _custom("crnn_lstm_gradient", _lstm_parameters, _lstm_parameters)
    _lstm_gradient_bf16 = _custom("crnn_lstm_gradient_bf16", _lstm_parameters, _lstm_parameters)
    _library = library


def describe() -> tuple[str, bool]:
    """The library's version, and whether it computes in bfloat16 on this CPU."""
    version = _library.crnn_onednn_version()
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}", bool(_library.crnn_onednn_bf16())


def _custom(name: str, shape: Callable, dtype: Callable | Sequence, bprop: Callable | None = None,
            variant: str = "") -> ops.Custom:
    primitive = ops.Custom(f"{_path}:{name}", out_shape=shape, out_dtype=dtype, func_type="aot", bprop=bprop)
    # PyNative mode keeps output shapes per operator and input shapes: what else they depend on must be an attribute.
    primitive.add_prim_attr("variant", variant)
    return primitive


def _stage_parameters(*inputs: Any) -> tuple[Any, ...]:
    """What belongs to weights, gamma and beta of every stage, of the inputs of the extractor's gradient."""
    stages = (len(inputs) - 4) // _PER_STAGE  # beside them: images, settings, memory, gradient of the features
    return tuple(inputs[1 + number * _PER_STAGE + part] for number in range(stages) for part in range(3))


def _lstm_parameters(*inputs: Any) -> tuple[Any, ...]:
    """What belongs to x, and to the weights and the bias of both directions, of the inputs of an LSTM's gradient."""
    return tuple(inputs[number] for number in (0, 1, 2, 3, 5, 6, 7))


def _floats(*values: float) -> Tensor:
    return Tensor(np.array(values, np.float32))


def convolution(stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], x_plain: bool, y_plain: bool,
                bf16: bool) -> tuple[ops.Custom, Tensor]:
    """The primitive `conv(x, w, settings)` and its settings.

    Args:
        stride: vertical, horizontal.
        padding: top, left, bottom, right.
        dilation: vertical, horizontal.
        x_plain: x is float32 (N, C, H, W); otherwise (N, H, W, C) in the compute type.
        y_plain: the same for the output.
        bf16: compute in bfloat16.
    """
    def shape(x: Sequence[int], w: Sequence[int], _: Sequence[int]) -> tuple[int, ...]:
        size = []
        for axis in (0, 1):
            length = x[(2 if x_plain else 1) + axis]
            reach = (w[2 + axis] - 1) * dilation[axis] + 1
            free = length + padding[axis] + padding[2 + axis] - reach
            size.append(-1 if length < 0 else free // stride[axis] + 1)
        return (x[0], w[0], *size) if y_plain else (x[0], *size, w[0])

    dtype = ms.bfloat16 if bf16 and not y_plain else ms.float32
    settings = _floats(*stride, *padding, *dilation, x_plain, y_plain, bf16)
    variant = f"{stride} {padding} {dilation} {x_plain} {y_plain} {bf16}"
    return _custom("crnn_conv_forward", shape, dtype, _convolution_gradient, variant), settings


def _convolution_gradient(x, w, settings, out, dout):
    return _conv_data(dout, w, x, settings), _conv_weights(x, dout, w, settings), ops.zeros_like(settings)


def extractor(stages: Sequence[tuple[int, int, int]], epsilon: float, momentum: float, bf16: bool, direct: bool,
              frozen: int) -> tuple[ops.Custom, ops.Custom, Tensor]:
    """The primitives of a feature extractor of seven stages, for training and for evaluation, and their settings.

    Both take images (N, C, H, W), then weights, gamma, beta, running mean and running variance of each stage, then the
    settings. `evaluation` gives the features (N, O, 1, T); `training` gives these, memory for the gradient, and the new
    running mean and variance of each stage.

    Args:
        stages: pooling window (vertical, horizontal; also its step, 1 or 2) and the convolution's border of each.
        epsilon: added to the variance.
        momentum: share of the old running value.
        bf16: compute in bfloat16.
        direct: use oneDNN's convolutions in float32 too.
        frozen: 0, or a number that stands for a network whose parameters do not change any more.
    """
    def feature_shape(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
        size = list(shapes[0][2:])
        for number, (*pool, border) in enumerate(stages):
            for axis in (0, 1):
                if size[axis] >= 0:
                    length = size[axis] + 2 * border - shapes[1 + number * _PER_STAGE][2 + axis] + 1
                    size[axis] = -(-length // pool[axis])
        return shapes[0][0], shapes[1 + (len(stages) - 1) * _PER_STAGE][0], *size

    def training_shape(*shapes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        memory = -1 if min(shapes[0]) < 0 else _extractor_memory(shapes, len(stages), values)
        moving = [tuple(shapes[2 + number * _PER_STAGE]) for number in range(len(stages)) for _ in range(2)]
        return (feature_shape(shapes), (memory,), *moving)

    values = np.array([bf16, direct, epsilon, momentum, frozen, *(value for stage in stages for value in stage)],
                      np.float32)
    variant = f"{stages} {bf16}"
    types = (ms.float32, ms.uint8, *[ms.float32] * (2 * len(stages)))
    training = _custom("crnn_vgg_training", training_shape, types, _extractor_bprop, variant)
    evaluation = _custom("crnn_vgg_evaluation", lambda *shapes: feature_shape(shapes), ms.float32, None, variant)
    return training, evaluation, Tensor(values)


def _extractor_memory(shapes: Sequence[Sequence[int]], stages: int, settings: np.ndarray) -> int:
    weights = [shapes[1 + number * _PER_STAGE] for number in range(stages)]
    arrays = [np.array(part, np.int64) for part in (shapes[0], [w[0] for w in weights], [w[2] for w in weights])]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, settings)]
    return _library.crnn_vgg_memory(pointers[0], stages, *pointers[1:])


def _extractor_bprop(x, w1, g1, b1, m1, v1, w2, g2, b2, m2, v2, w3, g3, b3, m3, v3, w4, g4, b4, m4, v4, w5, g5, b5,
                     m5, v5, w6, g6, b6, m6, v6, w7, g7, b7, m7, v7, settings, out, dout):
    # MindSpore wants every input of a gradient function by name: weights, gamma, beta, mean and variance of 7 stages.
    inputs = (x, w1, g1, b1, m1, v1, w2, g2, b2, m2, v2, w3, g3, b3, m3, v3, w4, g4, b4, m4, v4, w5, g5, b5, m5, v5,
              w6, g6, b6, m6, v6, w7, g7, b7, m7, v7, settings)
    found = _extractor_gradient(*inputs, out[1], dout[0])
    gradients = (_image_gradient(*inputs, out[1], dout[0]),)
    for number in range(7):
        gradients += found[3 * number:3 * number + 3]
        gradients += (ops.zeros_like(inputs[5 * number + 4]), ops.zeros_like(inputs[5 * number + 5]))
    return gradients + (ops.zeros_like(settings),)


def clipping(clip_norm: float) -> tuple[ops.Custom, Tensor]:
    """The primitive `clip(*gradients, factor, largest)` and its largest norm; gradients are float32, factor is (1,).

    It gives the gradients times the factor, clipped by their global norm, and, last, their norm before that, (1,).

    Args:
        clip_norm: the largest norm, 0 for none.
    """
    return _custom("crnn_clip", lambda *shapes: (*shapes[:-2], (1,)), lambda *types: types[:-1]), _floats(clip_norm)


def lstm(frozen: int, bf16: bool) -> tuple[ops.Custom, ops.Custom, Tensor]:
    """The primitives of a bidirectional LSTM layer, float32, for training and for evaluation, and the latter's setting.

    `training(x, w_ih, w_hh, b_ih, b_hh, the same of the other direction)` gives y (T, N, 2 H), the last hidden and cell
    states (2, N, H), and memory for the gradient; `evaluation`, which also takes the setting, all but the memory.

    Args:
        frozen: 0, or a number that stands for a layer whose weights do not change any more.
        bf16: the products of training are of values rounded to bfloat16; all sums and states stay float32.
    """
    def evaluation_shape(x: Sequence[int], w_ih: Sequence[int], w_hh: Sequence[int],
                         *_: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        state = (2, x[1], w_hh[1])
        return (x[0], x[1], 2 * w_hh[1]), state, state

    def training_shape(*shapes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        x, hidden = shapes[0], shapes[2][1]
        memory = -1 if min(x) < 0 else _library.crnn_lstm_memory(x[0], x[1], x[2], hidden)
        return (*evaluation_shape(*shapes), (memory,))

    floats = (ms.float32, ms.float32, ms.float32)
    name, bprop = ("crnn_lstm_training_bf16", _lstm_bprop_bf16) if bf16 else ("crnn_lstm_training", _lstm_bprop)
    return (_custom(name, training_shape, (*floats, ms.uint8), bprop),
            _custom("crnn_lstm_evaluation", evaluation_shape, floats), _floats(frozen))


def _lstm_bprop_bf16(x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out, dout):
    dx, dw_ih, dw_hh, db, dw_ih_r, dw_hh_r, db_r = _lstm_gradient_bf16(
        x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out[0], out[3], dout[0], dout[1], dout[2])
    return dx, dw_ih, dw_hh, db, db, dw_ih_r, dw_hh_r, db_r, db_r


def _lstm_bprop(x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out, dout):
    dx, dw_ih, dw_hh, db, dw_ih_r, dw_hh_r, db_r = _lstm_gradient(
        x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out[0], out[3], dout[0], dout[1], dout[2])
    return dx, dw_ih, dw_hh, db, db, dw_ih_r, dw_hh_r, db_r, db_r
