"""A word image with its letters under the columns where the network read them."""
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from src.common.captions import font_for
from src.recogniser import Character

_WIDTH, _STRIP, _SIZE = 720, 64, 34  # pixels: of the picture, of the strip with the letters, of a letter
_COLOURS = ((31, 95, 191), (191, 87, 0))  # RGB, in turns, so that neighbours can be told apart


def draw_alignment(image: np.ndarray, characters: Sequence[Character]) -> np.ndarray:
    """Draws the image, a bar over the columns of each character, and the character below it.

    Args:
        image: (H, W, 3) uint8 BGR.
        characters: of the reading, with their columns in pixels of the image.

    Returns:
        (h, 720, 3) uint8 RGB.
    """
    scale = _WIDTH / image.shape[1]
    height = max(1, min(round(image.shape[0] * scale), _WIDTH))
    large = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = Image.new("RGB", (_WIDTH, height + _STRIP), "white")
    picture.paste(Image.fromarray(cv2.cvtColor(large, cv2.COLOR_BGR2RGB)))
    draw = ImageDraw.Draw(picture)
    for number, character in enumerate(characters):
        left, right = (edge * scale for edge in character.columns)
        colour, middle = _COLOURS[number % 2], (left + right) / 2
        level = height + 5 + 6 * (number % 2)  # neighbours overlap: a time step sees more than its own columns
        draw.line((left, level, right, level), fill=colour, width=4)
        draw.text((middle, height + _STRIP - 6), character.text, fill=colour, font=font_for(character.text, _SIZE),
                  anchor="ms")
    return np.asarray(picture)
