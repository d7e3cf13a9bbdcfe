"""Letters made of lights: a dot matrix over any word, and digits of seven segments."""
from functools import lru_cache

import cv2
import numpy as np

_SIZE = 72  # height of a segment digit in pixels, before it is brought into the image
# Lit segments: a (top), b and c (right), d (bottom), e and f (left), g (middle).
_SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")
_FINE = 16  # parts of a pixel that OpenCV counts corners in


@lru_cache(maxsize=64)
def _light(cell: int, square: bool) -> np.ndarray:
    """One light (cell, cell) uint8: a disc, or a square with a gap around it."""
    large = np.zeros((8 * cell, 8 * cell), np.uint8)
    if square:
        gap = round(0.9 * cell)
        large[gap:-gap, gap:-gap] = 255
    else:
        cv2.circle(large, (4 * cell, 4 * cell), round(3.5 * cell), 255, -1)
    return cv2.resize(large, (cell, cell), interpolation=cv2.INTER_AREA)


def dot_matrix(mask: np.ndarray, rows: int, square: bool = False) -> np.ndarray:
    """Shows a word by a grid of lights.

    Args:
        mask: coverage (H, W) uint8.
        rows: lights in a column; the grid is as high as the word but for rounding.
        square: square lights instead of round ones.

    Returns:
        Coverage uint8 of about the same size.
    """
    height, width = mask.shape
    cell = max(3, round(height / rows))
    down, across = -(-height // cell), -(-width // cell)
    whole = cv2.copyMakeBorder(mask, 0, down * cell - height, 0, across * cell - width, cv2.BORDER_CONSTANT, value=0)
    # A light that a thin stroke covers in part shines all the same.
    small = cv2.convertScaleAbs(cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA), alpha=1.8)
    small = np.where(small > 70, small, 0).astype(np.uint8)
    lit = cv2.resize(small, (across * cell, down * cell), interpolation=cv2.INTER_NEAREST)
    return cv2.multiply(lit, np.tile(_light(cell, square), (down, across)), scale=1 / 255)


@lru_cache(maxsize=512)
def _digit(digit: str, thickness: int, slant: int) -> np.ndarray:
    """A digit (H, W) uint8 of seven segments; the cells of all digits are equally wide."""
    height, width = _SIZE, round(0.52 * _SIZE)
    middle, gap, half = height / 2, 0.15 * thickness + 1.2, thickness / 2
    left, right, top, bottom = half, width - half, half, height - half
    ends = {"a": ((left, top), (right, top)), "g": ((left, middle), (right, middle)),
            "d": ((left, bottom), (right, bottom)), "f": ((left, top), (left, middle)),
            "e": ((left, middle), (left, bottom)), "b": ((right, top), (right, middle)),
            "c": ((right, middle), (right, bottom))}
    lean = slant / 100
    canvas = np.zeros((height, width + round(abs(lean) * height) + 1), np.uint8)
    for name in _SEGMENTS[int(digit)]:
        (x0, y0), (x1, y1) = ends[name]
        if y0 == y1:
            x0, x1 = x0 + gap, x1 - gap
            shape = ((x0, y0), (x0 + half, y0 - half), (x1 - half, y0 - half), (x1, y0), (x1 - half, y0 + half),
                     (x0 + half, y0 + half))
        else:
            y0, y1 = y0 + gap, y1 - gap
            shape = ((x0, y0), (x0 + half, y0 + half), (x0 + half, y1 - half), (x0, y1), (x0 - half, y1 - half),
                     (x0 - half, y0 + half))
        points = [(round((x + lean * (height - y)) * _FINE), round(y * _FINE)) for x, y in shape]
        cv2.fillPoly(canvas, [np.array(points, np.int32)], 255, cv2.LINE_AA, 4)
    return canvas


def seven_segments(digits: str, thickness: float = 0.13, slant: float = 0.0, spacing: float = 0.16) -> np.ndarray:
    """Shows a number as clocks, scales and petrol pumps do.

    Args:
        digits: one or more of 0 to 9.
        thickness: of a segment, of the height.
        slant: tangent of the slope of the upright segments, 0 or more.
        spacing: between the digits, of the height.

    Returns:
        Coverage (72, W) uint8, cut to the ink at the sides.
    """
    masks = [_digit(digit, max(4, round(thickness * _SIZE)), round(100 * slant)) for digit in digits]
    step = round(0.52 * _SIZE) + round(spacing * _SIZE)
    canvas = np.zeros((_SIZE, step * (len(masks) - 1) + masks[0].shape[1]), np.uint8)
    for place, mask in enumerate(masks):
        window = canvas[:, place * step:place * step + mask.shape[1]]
        cv2.max(window, mask, dst=window)
    inked = np.flatnonzero(canvas.any(axis=0))
    return np.ascontiguousarray(canvas[:, inked[0]:inked[-1] + 1])
