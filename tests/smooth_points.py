"""Inputs and parameters of the VGG at which rounding decides nothing: no value near a kink or a tie.

Two correct float32 implementations may differ in the sign of a value that is 0 but for rounding, and then their
gradients differ by whole per cents. Here a float64 forward pass in numpy goes through the layers: each channel's `beta`
is moved to where the values before the ReLU leave the widest gap around 0, and images are drawn anew until every
pooling window has a clear winner.
"""
from dataclasses import dataclass

import numpy as np

STAGES = ((3, "same", (2, 2)), (3, "same", (2, 2)), (3, "same", (1, 1)), (3, "same", (2, 1)), (3, "same", (1, 1)),
          (3, "same", (2, 1)), (2, "valid", (1, 1)))
"""Kernel, border and pooling window of each convolution of the network."""
EPSILON = 1e-4
SHIFT = 0.1  # how far a `beta` may move


@dataclass
class SmoothPoint:
    """Where to compare gradients.

    Attributes:
        images: (N, 3, 32, W) float32.
        parameters: the parameters by name, with the moved `beta` of the batch norms.
        features: (N, 512, 1, T) float64, what the VGG makes of the images in training mode.
        kink: smallest distance of a value before a ReLU from 0.
        tie: smallest lead of the largest value of a pooling window over the next, where the largest is above 0.
    """

    images: np.ndarray
    parameters: dict[str, np.ndarray]
    features: np.ndarray
    kink: float
    tie: float


def smooth_point(parameters: dict[str, np.ndarray], shape: tuple[int, int, int, int], seed: int, kink: float,
                 tie: float) -> SmoothPoint:
    """Draws images and moves `beta` until all margins are kept.

    Args:
        parameters: those of the network, by name.
        shape: of the images.
        seed: of the images.
        kink: least distance of a value before a ReLU from 0.
        tie: least lead within a pooling window.
    """
    random = np.random.default_rng(seed)
    for _ in range(50):
        point = _forward(parameters, random.standard_normal(shape).astype(np.float32))
        if point.kink > kink and point.tie > tie:
            return point
    raise AssertionError(f"no images of shape {shape} keep the margins {kink} and {tie}")


def _forward(parameters: dict[str, np.ndarray], images: np.ndarray) -> SmoothPoint:
    parameters, x, kinks, ties = dict(parameters), images.astype(np.float64), [], []
    for number, (size, border, window) in enumerate(STAGES, 1):
        name = f"vgg.conv{number}"
        x = _convolve(x, parameters[f"{name}.conv.weight"].astype(np.float64), size, border)
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        gamma = parameters[f"{name}.bn.gamma"].astype(np.float64)
        x = (x - mean) / np.sqrt(variance + EPSILON) * gamma[:, None, None]
        beta = parameters[f"{name}.bn.beta"]
        moved = [_beta(channel, float(b)) for channel, b in zip(x.swapaxes(0, 1), beta, strict=True)]
        parameters[f"{name}.bn.beta"] = np.array(moved, np.float32)
        x += parameters[f"{name}.bn.beta"].astype(np.float64)[:, None, None]
        kinks.append(np.abs(x).min())
        x = np.maximum(x, 0)
        if window != (1, 1):
            x, lead = _pool(x, window)
            ties.append(lead)
    return SmoothPoint(images, parameters, x, min(kinks), min(ties))


def _convolve(x: np.ndarray, weight: np.ndarray, size: int, border: str) -> np.ndarray:
    """Convolution with stride 1 of (N, C, H, W); border "same" adds zeros on all sides."""
    if border == "same":
        x = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))  # (N, C, H, W, size, size)
    return np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def _beta(values: np.ndarray, beta: float) -> float:
    """The `beta` within SHIFT of the given one that leaves the widest gap between 0 and the nearest of the values."""
    kinks = np.sort(-values.ravel())  # where a value would become 0
    low, high = beta - SHIFT, beta + SHIFT
    edges = np.concatenate([[low], kinks[(kinks > low) & (kinks < high)], [high]])
    widest = np.diff(edges).argmax()
    return float(edges[widest] + edges[widest + 1]) / 2


def _pool(x: np.ndarray, window: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Max pooling whose border windows are cut, and the smallest lead of a winner above 0."""
    rows, columns = window
    n, c, h, w = x.shape
    x = np.pad(x, ((0, 0), (0, 0), (0, -h % rows), (0, -w % columns)))  # 0 never beats a value after the ReLU
    n, c, h, w = x.shape
    x = np.sort(x.reshape(n, c, h // rows, rows, w // columns, columns).swapaxes(3, 4).reshape(
        n, c, h // rows, w // columns, rows * columns))
    first, second = x[..., -1], x[..., -2]
    return first, float((first - second)[first > 0].min())
