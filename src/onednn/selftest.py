"""Loads freshly compiled operators in a process of its own and checks them on tiny numbers.

A library whose interface is not the expected one may crash rather than fail, hence the separate process.
"""
import ctypes
import sys

import numpy as np


def call(function: ctypes._CFuncPtr, *arrays: np.ndarray) -> None:
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
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    if not np.allclose(y, np.einsum("nchwij,ocij->nohw", views, w), rtol=1e-4, atol=1e-4):
        raise SystemExit("error: a convolution gave wrong numbers")
    library.crnn_lstm_workspace.restype = ctypes.c_int64
    library.crnn_lstm_workspace.argtypes = [ctypes.c_int64] * 4
    if library.crnn_lstm_workspace(3, 2, 4, 8) <= 0:
        raise SystemExit("error: no LSTM workspace")


if __name__ == "__main__":
    main(sys.argv[1])
