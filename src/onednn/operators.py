"""The C++ operators as MindSpore primitives with their gradients.

The gradient functions below find their operators in this module and not in a closure, and each backward operator takes
its output types from its inputs: MindSpore's graph mode mixes up closures that share their code.
"""
import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

_conv_data = _conv_weights = _norm_gradient = _lstm_gradient = None
_library: ctypes.CDLL | None = None
_path = ""


def load(path: Path) -> None:
    """Makes the operators of a compiled library usable; later calls do nothing."""
    global _conv_data, _conv_weights, _norm_gradient, _lstm_gradient, _library, _path
    if _library is not None:
        return
    library = ctypes.CDLL(str(path))
    library.crnn_lstm_workspace.restype = ctypes.c_int64
    library.crnn_lstm_workspace.argtypes = [ctypes.c_int64] * 4
    # os.environ still holds what the user set; MindSpore overwrites the variable behind Python's back when it starts.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    library.crnn_set_threads(int(asked) if asked.isdecimal() else 0)
    _path = str(path)
    _conv_data = _custom("crnn_conv_backward_data", lambda dy, w, x, s: x, lambda dy, w, x, s: x)
    _conv_weights = _custom("crnn_conv_backward_weights", lambda x, dy, w, s: w, lambda x, dy, w, s: w)
    _norm_gradient = _custom("crnn_norm_backward", lambda *a: (a[0], a[1], a[2]), lambda *a: (a[0], a[1], a[2]))
    _lstm_gradient = _custom("crnn_lstm_backward", lambda *a: (a[0], a[1], a[2], a[3], a[5], a[6], a[7]),
                             lambda *a: (a[0], a[1], a[2], a[3], a[5], a[6], a[7]))
    _library = library


def describe() -> tuple[str, bool]:
    """The library's version, and whether it computes in bfloat16 on this CPU."""
    version, isa = _library.crnn_onednn_version(), _library.crnn_onednn_isa()
    bf16 = (isa & 0xE7) == 0xE7 or (isa & 0x1F) == 0x1F  # AVX-512 with bfloat16, or AVX2 with VNNI 2
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}", bf16


def _custom(name: str, shape: Callable, dtype: Callable | Sequence, bprop: Callable | None = None,
            variant: str = "") -> ops.Custom:
    primitive = ops.Custom(f"{_path}:{name}", out_shape=shape, out_dtype=dtype, func_type="aot", bprop=bprop)
    # PyNative mode keeps output shapes per operator and input shapes: what else they depend on must be an attribute.
    primitive.add_prim_attr("variant", variant)
    return primitive


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


def normalisation(pool: Sequence[int], y_plain: bool, epsilon: float, momentum: float,
                  bf16: bool) -> tuple[ops.Custom, Tensor, Tensor]:
    """The primitive of batch norm, ReLU and max pooling, and its settings for training and for inference.

    `norm(x, gamma, beta, running mean, running variance, settings)` gives y, the mean and the reciprocal deviation that
    were used, and the new running mean and variance.

    Args:
        pool: window and step, vertical and horizontal, 1 or 2; a window over the border is cut.
        y_plain: y is float32 (N, C, H, W); otherwise (N, H, W, C) like x.
        epsilon: added to the variance.
        momentum: share of the old running value.
        bf16: x, and y where it is not plain, are bfloat16.
    """
    def shape(x: Sequence[int], *_: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        size = [-1 if x[1 + axis] < 0 else -(-x[1 + axis] // pool[axis]) for axis in (0, 1)]
        y = (x[0], x[3], *size) if y_plain else (x[0], *size, x[3])
        return (y, *[(x[3],)] * 4)

    dtype = ms.bfloat16 if bf16 and not y_plain else ms.float32
    types = (dtype, *[ms.float32] * 4)
    primitive = _custom("crnn_norm_forward", shape, types, _normalisation_gradient, f"{pool} {y_plain}")
    training, inference = (_floats(*pool, mode, y_plain, epsilon, momentum) for mode in (1, 0))
    return primitive, training, inference


def _normalisation_gradient(x, gamma, beta, mean, variance, settings, out, dout):
    dx, dgamma, dbeta = _norm_gradient(x, gamma, beta, out[1], out[2], dout[0], settings)
    return dx, dgamma, dbeta, ops.zeros_like(mean), ops.zeros_like(variance), ops.zeros_like(settings)


def lstm() -> ops.Custom:
    """The primitive of one bidirectional LSTM layer, float32.

    `lstm(x, w_ih, w_hh, b_ih, b_hh, the same of the other direction)` gives y (T, N, 2 H), the last hidden and cell
    states (2, N, H), and memory for the gradient.
    """
    def shape(x: Sequence[int], w_ih: Sequence[int], w_hh: Sequence[int],
              *_: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        hidden = w_hh[1]
        memory = -1 if min(x) < 0 else _library.crnn_lstm_workspace(x[0], x[1], x[2], hidden)
        state = (2, x[1], hidden)
        return (x[0], x[1], 2 * hidden), state, state, (memory,)

    return _custom("crnn_lstm_forward", shape, (ms.float32, ms.float32, ms.float32, ms.uint8), _lstm_bprop)


def _lstm_bprop(x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out, dout):
    dx, dw_ih, dw_hh, db, dw_ih_r, dw_hh_r, db_r = _lstm_gradient(
        x, w_ih, w_hh, b_ih, b_hh, w_ih_r, w_hh_r, b_ih_r, b_hh_r, out[0], out[1], out[2], out[3],
        dout[0], dout[1], dout[2])
    return dx, dw_ih, dw_hh, db, db, dw_ih_r, dw_hh_r, db_r, db_r
