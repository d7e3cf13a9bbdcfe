"""The contact sheet of predict.py: every image with what was read, and the true word where the file's name tells it."""
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from src.common.picture import draw_sheet, write_picture
from src.render.layout import unescape


def draw_readings(path: str, shown: Iterable[tuple[np.ndarray, str, float, str]]) -> None:
    """Writes the sheet.

    Args:
        path: file of the picture.
        shown: image ``(H, W, 3)`` uint8, text, confidence and path of each.
    """
    write_picture(path, draw_sheet([(image, text, confidence, known_text(name))
                                    for image, text, confidence, name in shown]))


def known_text(path: str) -> str | None:
    """The word in a file name of the MJSynth form ``12_Word_3456.jpg``; None for any other name or a cut word."""
    parts = Path(path).stem.split("_")
    return unescape(parts[1]) if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit() else None
