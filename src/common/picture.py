"""Pictures for people: a sheet of word images with what was read in them."""
import os
from collections.abc import Sequence

import cv2
import numpy as np

from src.common.captions import write_caption
from src.common.errors import DataError
from src.common.files import write_bytes

_CELL_WIDTH, _IMAGE_HEIGHT, _TEXT_HEIGHT, _GAP = 220, 64, 58, 10
_GREEN, _RED, _BLACK, _GREY = (40, 130, 30), (40, 40, 200), (20, 20, 20), (110, 110, 110)

Shown = tuple[np.ndarray, str, float, str | None]
"""Image (H, W, 3) BGR, reading, confidence 0 to 1, truth or None."""


def draw_sheet(items: Sequence[Shown], columns: int = 4) -> np.ndarray:
    """Draws images in a grid; under each its reading and confidence, and its truth where that is known.

    A right reading is green, a wrong one red, one without a known truth black. The comparison ignores case.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    columns = max(1, min(columns, len(items)))
    rows = -(-len(items) // columns)
    height, width = _IMAGE_HEIGHT + _TEXT_HEIGHT, _CELL_WIDTH
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for number, (image, text, confidence, truth) in enumerate(items):
        top, left = _GAP + number // columns * (height + _GAP), _GAP + number % columns * (width + _GAP)
        scale = min(width / image.shape[1], _IMAGE_HEIGHT / image.shape[0])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        x, y = left + (width - size[0]) // 2, top + (_IMAGE_HEIGHT - size[1]) // 2
        sheet[y:y + size[1], x:x + size[0]] = small
        colour = _BLACK if truth is None else _GREEN if text.lower() == truth.lower() else _RED
        write_caption(sheet, f"{text or '(nothing)'}  {confidence:.2f}", (left, top + _IMAGE_HEIGHT + 22), 0.62, colour,
                      width)
        if truth is not None:
            write_caption(sheet, f"truth: {truth}", (left, top + _IMAGE_HEIGHT + 46), 0.5, _GREY, width)
    return sheet


def check_picture(path: str) -> None:
    """Looks at the name of a picture before the work for it is done.

    Raises:
        DataError: unknown ending, or a folder.
    """
    if os.path.isdir(path):
        raise DataError(f"cannot write the picture {path}: it is a folder; name a file in it")
    _encoded(path, np.zeros((1, 1, 3), np.uint8))


def write_picture(path: str, image: np.ndarray) -> None:
    """Writes an image file; its ending chooses the format.

    Raises:
        DataError: unknown ending.
    """
    write_bytes(path, _encoded(path, image))


def _encoded(path: str, image: np.ndarray) -> bytes:
    try:
        done, data = cv2.imencode(os.path.splitext(path)[1] or "?", image)
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"cannot write the picture {path}: its name must end in .png or .jpg")
    return data.tobytes()
