"""From lines of text on a photograph to words: each with its corners and its upright crop, in reading order."""
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from src.photographs.split import word_columns

_TALL = 1.5  # a line so many times as high as wide stands on its side
_SMALLEST = 3  # pixels of a side below which nothing can be read


@dataclass(frozen=True)
class FoundWord:
    """A word that was found.

    Attributes:
        corners: (4, 2) float32 pixels of the photograph: top left, top right, bottom right, bottom left as it stands.
        image: (h, w, 3) uint8 BGR, upright.
    """

    corners: np.ndarray
    image: np.ndarray

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge of the upright rectangle around it, in pixels."""
        left, top = self.corners.min(0)
        right, bottom = self.corners.max(0)
        return float(left), float(top), float(right), float(bottom)


def cut_words(photograph: np.ndarray, lines: Sequence[np.ndarray]) -> list[FoundWord]:
    """Cuts lines out, upright, and into words.

    Args:
        photograph: (H, W, 3) uint8 BGR.
        lines: the corners of each, (4, 2), as :class:`FoundWord` has them; their order is the result's.
    """
    words = []
    for corners in lines:
        corners = np.asarray(corners, np.float32)
        width, height = _sides(corners)
        if height >= _TALL * width:  # read from top to bottom
            corners, width, height = np.roll(corners, -1, axis=0), height, width
        if min(width, height) < _SMALLEST:
            continue
        line = _upright(photograph, corners, width, height)
        for left, right in word_columns(line):
            if right - left >= _SMALLEST:
                words.append(FoundWord(_part(corners, left / width, right / width), line[:, left:right]))
    return words


def reading_order(lines: Sequence[np.ndarray] | np.ndarray) -> list[int]:
    """The order in which people read: rows from top to bottom, each from left to right.

    A line belongs to a row when its middle lies between the top and the bottom of the row's first line.

    Args:
        lines: corners (4, 2) of each.

    Returns:
        Their numbers in order.
    """
    boxes = [np.asarray(corners, np.float32) for corners in lines]
    tops, bottoms = [box[:, 1].min() for box in boxes], [box[:, 1].max() for box in boxes]
    middles = [(top + bottom) / 2 for top, bottom in zip(tops, bottoms, strict=True)]
    rows: list[list[int]] = []
    for number in sorted(range(len(boxes)), key=lambda n: middles[n]):
        row = next((row for row in rows if tops[row[0]] <= middles[number] <= bottoms[row[0]]), None)
        if row is None:
            rows.append([number])
        else:
            row.append(number)
    return [number for row in rows for number in sorted(row, key=lambda n: boxes[n][:, 0].min())]


def _sides(corners: np.ndarray) -> tuple[int, int]:
    """Width and height in pixels, the longer of the two opposite sides."""
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    return round(float(max(sides[0], sides[2]))), round(float(max(sides[1], sides[3])))


def _upright(photograph: np.ndarray, corners: np.ndarray, width: int, height: int) -> np.ndarray:
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return cv2.warpPerspective(photograph, cv2.getPerspectiveTransform(corners, target), (width, height),
                               flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _part(corners: np.ndarray, left: float, right: float) -> np.ndarray:
    """Corners of a part of a line; left and right are shares of its width."""
    top, bottom = corners[1] - corners[0], corners[2] - corners[3]
    return np.stack([corners[0] + left * top, corners[0] + right * top, corners[3] + right * bottom,
                     corners[3] + left * bottom]).astype(np.float32)
