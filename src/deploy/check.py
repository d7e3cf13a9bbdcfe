"""Compares an exported file with the checkpoint it came from, on drawn word images."""
import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np

from src.common.errors import CRNNError
from src.data.preprocess import InputSpec, to_batch
from src.deploy.targets import Sizes

TOLERANCE = 1e-3
"""Largest difference of a logit where both sides compute in float32."""

# Measured on a trained network: 0.16 % of the largest logit with float16 weights; with 8 bits a root mean square
# difference of 0.8 % of the logits' standard deviation. A broken file is off by some 100 %.
HALF_SHARE = 0.01
INT8_SHARE = 0.25

_PROBES = 6  # images a file is compared on

_WORDS = ("lighthouse", "7 days", "Bakery", "il", "WAVE", "open24", "quartz", "Fjord")


@dataclass(frozen=True)
class Difference:
    """How far logits are from the checkpoint's.

    Attributes:
        largest: largest absolute difference.
        share: root mean square difference over the standard deviation of the checkpoint's logits.
        scale: largest absolute logit of the checkpoint.
        images: number of images compared.
    """

    largest: float
    share: float
    scale: float
    images: int


def probe_batch(count: int, spec: InputSpec, seed: int = 0) -> np.ndarray:
    """Drawn words of mixed sizes and colours, stretched, the same for a seed; (count, 3, height, width)."""
    images = []
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        text = _WORDS[number % len(_WORDS)]
        size = (int(rng.integers(24, 70)), int(rng.integers(40, 220)))
        image = np.full((*size, 3), rng.integers(130, 256, 3), np.uint8)
        colour = [int(c) for c in rng.integers(0, 110, 3)]
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1, 2)
        scale = min(0.9 * size[1] / wide, 0.8 * size[0] / high)
        origin = (int(0.04 * size[1]), int(0.5 * (size[0] + scale * high)))
        cv2.putText(image, text, origin, cv2.FONT_HERSHEY_DUPLEX, scale, colour, 2, cv2.LINE_AA)
        images.append(np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8))
    return to_batch(images, replace(spec, widths=(), long_width=0))


def probes(spec: InputSpec, sizes: Sizes) -> list[np.ndarray]:
    """Drawn images in batches a file of these sizes takes; several batch sizes and widths where they are free."""
    widths = [sizes.width] if sizes.width else [spec.width, spec.width + 53]
    counts = [sizes.batch] * -(-_PROBES // sizes.batch) if sizes.batch else [1, _PROBES - 1]
    return [probe_batch(count, replace(spec, width=width, long_width=0), seed=number)
            for number, (count, width) in enumerate(zip(counts, itertools.cycle(widths), strict=False))]


def measure(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Difference:
    """Measures how far logits are from those of the checkpoint.

    Args:
        pairs: for each batch the checkpoint's logits and the file's, both (T, N, C).

    Raises:
        CRNNError: the shapes differ, or the file gives numbers that are not finite.
    """
    for expected, actual in pairs:
        if expected.shape != actual.shape:
            raise CRNNError(f"the exported network gives logits of shape {actual.shape}, the checkpoint "
                            f"{expected.shape}; this is a fault of export.py, please report it")
        if not np.isfinite(actual).all():
            raise CRNNError("the exported network gives values that are not finite; check the checkpoint with eval.py")
    expected = np.concatenate([pair[0].ravel() for pair in pairs]).astype(np.float64)
    gap = np.concatenate([pair[1].ravel() for pair in pairs]) - expected
    return Difference(float(np.abs(gap).max()), float(np.sqrt((gap**2).mean()) / max(expected.std(), 1e-12)),
                      float(np.abs(expected).max()), sum(pair[0].shape[1] for pair in pairs))


def require_close(difference: Difference, weights: str, name: str) -> str:
    """Checks a difference against what the kind of weights allows, and says how large it is.

    Args:
        difference: what was measured.
        weights: "float32", "float16" or "int8".
        name: of the file, for the message.

    Raises:
        CRNNError: it is too large.
    """
    if weights == "int8":
        value, limit = difference.share, INT8_SHARE
        what = "root mean square difference, as a share of the logits' spread,"
    else:
        value, what = difference.largest, "max abs difference"
        limit = TOLERANCE if weights == "float32" else max(TOLERANCE, HALF_SHARE * difference.scale)
    if not value <= limit:
        raise CRNNError(f"{name} was not kept: its {what} to the checkpoint is {value:.3g}, more than {limit:.3g}")
    return f"max abs difference to the checkpoint {difference.largest:.2g} on {difference.images} images"
