"""Loads freshly compiled operators in a process of its own and checks them on tiny numbers.

A library whose interface is not the expected one may crash rather than fail, hence the separate process.
"""
import ctypes
import sys
from typing import Any

import numpy as np


def call(function: Any, *arrays: np.ndarray) -> None:
    """Calls an operator the way MindSpore does: inputs, then outputs.

    Raises:
        SystemExit: the operator reported an error.
    """
    count = len(arrays)
    data = (ctypes.c_void_p * count)(*(a.ctypes.data for a in arrays))
    ndims = (ctypes.c_int * count)(*(a.ndim for a in arrays))
    shapes = [(ctypes.c_int64 * a.ndim)(*a.shape) for a in arrays]
    pointers = (ctypes.POINTER(ctypes.c_int64) * count)(
        *(ctypes.cast(s, ctypes.POINTER(ctypes.c_int64)) for s in shapes))
    types = (ctypes.c_char_p * count)(*(a.dtype.name.encode() for a in arrays))
    if function(count, data, ndims, pointers, types, None, None) != 0:
        raise SystemExit("error: an operator failed")


def _convolution(padded: np.ndarray, weights: np.ndarray) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", views, weights)


def _check_extractor(library: ctypes.CDLL, random: np.random.Generator, bf16: bool) -> None:
    """Two stages against float64: their features, and the gradient's share in the change along it."""
    x = random.standard_normal((2, 3, 6, 9)).astype(np.float32)
    settings = np.array([bf16, 0, 1e-4, 0.9, 0, 2, 2, 1, 1, 1, 1], np.float32)
    stages, channels = [], 3
    for outputs in (32, 64):
        weights = random.standard_normal((outputs, channels, 3, 3)) / np.sqrt(9 * channels)
        values = (weights, random.uniform(0.5, 1.5, outputs), random.standard_normal(outputs), np.zeros(outputs),
                  np.ones(outputs))
        stages.append([value.astype(np.float32) for value in values])
        channels = outputs

    def features(first: np.ndarray) -> np.ndarray:
        y = x.astype(np.float64)
        for number, (weights, gamma, beta, *_) in enumerate(stages):
            padded = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
            y = _convolution(padded, (first if number == 0 else weights).astype(np.float64))
            axes = (0, 2, 3)
            y = (y - y.mean(axes, keepdims=True)) / np.sqrt(y.var(axes, keepdims=True) + 1e-4)
            y = np.maximum(y * gamma[:, None, None] + beta[:, None, None], 0)
            if number == 0:  # 2x2 windows, the last of a row cut
                y = np.pad(y, ((0, 0), (0, 0), (0, 0), (0, 1))).reshape(2, -1, 3, 2, 5, 2).max((3, 5))
        return y

    inputs = [x, *(part for stage in stages for part in stage), settings]
    shapes: tuple[tuple[int, ...], ...] = x.shape, (32, 64), (3, 3)
    size = [np.array(part, np.int64) for part in shapes]
    library.crnn_vgg_memory.restype = ctypes.c_int64
    parts: list[np.ndarray] = [*size, settings]
    pointers = [ctypes.c_void_p(part.ctypes.data) for part in parts]
    memory = np.zeros(library.crnn_vgg_memory(pointers[0], ctypes.c_int64(2), *pointers[1:]), np.uint8)
    y = np.zeros((2, 64, 3, 5), np.float32)
    call(library.crnn_vgg_training, *inputs, y, memory, *(np.zeros(o, np.float32) for o in (32, 32, 64, 64)))
    expected = features(stages[0][0])
    tolerance = 0.05 if bf16 else 1e-4
    if not np.allclose(y, expected, rtol=tolerance, atol=tolerance * expected.max()):
        raise SystemExit("error: the feature extractor gave wrong numbers")
    weight = random.standard_normal(y.shape).astype(np.float32)
    gradients = [np.zeros_like(part) for stage in stages for part in stage[:3]]
    call(library.crnn_vgg_gradient, *inputs, memory, weight, *gradients)
    along = gradients[0] / np.linalg.norm(gradients[0])
    ahead, behind = (float((features(stages[0][0] + step * along) * weight).sum()) for step in (1e-5, -1e-5))
    slope = (ahead - behind) / 2e-5
    if not abs(slope - np.linalg.norm(gradients[0])) <= (0.2 if bf16 else 0.02) * abs(slope):
        raise SystemExit("error: the feature extractor gave wrong gradients")


def _check_lstm(library: ctypes.CDLL, random: np.random.Generator) -> None:
    """A layer against float64: its outputs, and the gradient's share in the change along it."""
    x = random.standard_normal((3, 2, 32)).astype(np.float32)
    weights = [(random.standard_normal(shape) * 0.2).astype(np.float32)
               for shape in ((128, 32), (128, 32), (128,), (128,)) * 2]

    def outputs(first: np.ndarray) -> np.ndarray:
        both = []
        for w_ih, w_hh, b_ih, b_hh in ((first, *weights[1:4]), weights[4:]):
            h, c, y = np.zeros((2, 32)), np.zeros((2, 32)), []
            for step in x if not both else x[::-1]:
                gates = step.astype(np.float64) @ w_ih.T + b_ih + h @ w_hh.T.astype(np.float64) + b_hh
                i, f, u, o = np.split(gates, 4, axis=1)
                c = c / (1 + np.exp(-f)) + np.tanh(u) / (1 + np.exp(-i))
                h = np.tanh(c) / (1 + np.exp(-o))
                y.append(h)
            both.append(y if not both else y[::-1])
        return np.concatenate(both, axis=2)

    y, h, c = (np.zeros(shape, np.float32) for shape in ((3, 2, 64), (2, 2, 32), (2, 2, 32)))
    library.crnn_lstm_memory.restype = ctypes.c_int64
    memory = np.zeros(library.crnn_lstm_memory(*(ctypes.c_int64(size) for size in (3, 2, 32, 32))), np.uint8)
    call(library.crnn_lstm_training, x, *weights, y, h, c, memory)
    if not np.allclose(y, outputs(weights[0]), rtol=1e-4, atol=1e-5):
        raise SystemExit("error: an LSTM gave wrong numbers")
    weight = random.standard_normal(y.shape).astype(np.float32)
    gradients = [np.zeros_like(part) for part in (x, *weights[:3], *weights[4:7])]
    call(library.crnn_lstm_gradient, x, *weights, y, memory, weight, np.zeros_like(h), np.zeros_like(c), *gradients)
    length = np.linalg.norm(gradients[1])
    ahead, behind = (float((outputs(weights[0] + step * gradients[1] / length) * weight).sum())
                     for step in (1e-4, -1e-4))
    if not abs((ahead - behind) / 2e-4 - length) <= 0.01 * length:
        raise SystemExit("error: an LSTM gave wrong gradients")


def main(path: str) -> None:
    """Checks the library at `path`; exits with a message when something is wrong."""
    library = ctypes.CDLL(path)
    version = library.crnn_onednn_version()
    if not 30400 <= version < 40000:
        raise SystemExit(f"error: oneDNN {version // 10000}.{version // 100 % 100} has another interface")
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 5, 7), np.float32)
    w = random.standard_normal((4, 3, 3, 3), np.float32)
    y = np.zeros((2, 4, 5, 7), np.float32)
    settings = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0], np.float32)
    call(library.crnn_conv_forward, x, w, settings, y)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(np.float64)
    if not np.allclose(y, _convolution(padded, w), rtol=1e-4, atol=1e-4):
        raise SystemExit("error: a convolution gave wrong numbers")
    _check_extractor(library, random, bf16=False)
    if library.crnn_onednn_bf16():
        _check_extractor(library, random, bf16=True)
    _check_lstm(library, random)


if __name__ == "__main__":
    main(sys.argv[1])
