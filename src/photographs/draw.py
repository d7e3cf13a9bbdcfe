"""A photograph with its words: their outlines, and what was read."""
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from src.common.captions import font_for

_LINE, _PAPER, _INK = (40, 160, 60), (255, 255, 255), (20, 20, 20)  # RGB


def draw_words(photograph: np.ndarray, words: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """Draws outlines and texts.

    Args:
        photograph: (H, W, 3) uint8 BGR; it is left as it is.
        words: corners (4, 2) in pixels and the text of each.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    picture = Image.fromarray(cv2.cvtColor(photograph, cv2.COLOR_BGR2RGB))
    draw = ImageDraw.Draw(picture)
    thin = max(1, round(min(picture.size) / 300))
    for corners, text in words:
        outline = [tuple(map(float, corner)) for corner in corners]
        draw.line([*outline, outline[0]], fill=_LINE, width=thin, joint="curve")
        height = float(np.linalg.norm(corners[0] - corners[3]))
        font = font_for(text, float(np.clip(0.4 * height, 11, 24)))
        left, top = float(corners[:, 0].min()), float(corners[:, 1].min())
        box = draw.textbbox((0, 0), text or "?", font=font)
        high, wide = box[3] + 2, box[2] + 4
        top = top - high if top >= high else float(corners[:, 1].max())
        left = max(0.0, min(left, picture.width - wide))
        draw.rectangle((left, top, left + wide, top + high), fill=_PAPER)
        draw.text((left + 2, top), text or "?", fill=_INK, font=font)
    return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
