"""Contact sheets: many small images with their words, to look at."""
from collections.abc import Sequence

import cv2
import numpy as np

from src.common.captions import write_caption

_CELL = (64, 190)
_CAPTION = 16


def contact_sheet(cells: Sequence[tuple[str, np.ndarray]], columns: int = 6) -> np.ndarray:
    """Lays images out in a table, each with its word below.

    Args:
        cells: word and image (H, W, 3) uint8 BGR; images are drawn up to twice their size, never stretched.
        columns: number of columns.

    Returns:
        Picture (H, W, 3) uint8 BGR, white where empty.
    """
    height, width = _CELL
    pictures = []
    for text, image in cells:
        cell = np.full((height, width, 3), 255, np.uint8)
        factor = min((width - 8) / image.shape[1], (height - _CAPTION - 4) / image.shape[0], 2.0)
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA)
        cell[2:2 + size[1], 2:2 + size[0]] = scaled
        write_caption(cell, text, (2, height - 4), 0.4, (0, 0, 0), width - 4)
        pictures.append(cell)
    while len(pictures) % columns or not pictures:
        pictures.append(np.full((height, width, 3), 255, np.uint8))
    return np.vstack([np.hstack(pictures[start:start + columns]) for start in range(0, len(pictures), columns)])


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Puts two sheets side by side with a black line between them."""
    height = max(len(left), len(right))
    padded = [cv2.copyMakeBorder(sheet, 0, height - len(sheet), 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
              for sheet in (left, right)]
    return np.hstack([padded[0], np.zeros((height, 6, 3), np.uint8), padded[1]])
