"""A picture of a run: its loss, and the accuracy where it was evaluated, over the images seen."""
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from src.common.picture import write_picture

_WIDTH, _HEIGHT, _MARGIN = 900, 420, 60
_LOSS, _ACCURACY, _GREY, _BLACK = (168, 99, 37), (30, 68, 180), (215, 215, 215), (60, 60, 60)  # blue, green, red

Points = Sequence[tuple[int, float]]


def draw_curves(path: Path, losses: Points, accuracies: Points) -> None:
    """Draws both curves; does nothing before there are two losses.

    Args:
        path: of the picture.
        losses: images seen and mean loss; the scale is logarithmic.
        accuracies: images seen and word accuracy from 0 to 1.

    Raises:
        OSError: it cannot be written.
    """
    losses = [(images, max(loss, 1e-6)) for images, loss in losses if math.isfinite(loss)]
    if len(losses) < 2:
        return
    end = max(images for images, _ in [*losses, *accuracies])
    low = math.floor(math.log10(min(loss for _, loss in losses)))
    high = max(math.ceil(math.log10(max(loss for _, loss in losses))), low + 1)
    picture = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)

    def place(images: int, share: float) -> tuple[int, int]:
        """A point of the picture; `share` is 0 at the bottom and 1 at the top."""
        x = _MARGIN + round(images / end * (_WIDTH - 2 * _MARGIN))
        return x, _HEIGHT - _MARGIN - round(share * (_HEIGHT - 2 * _MARGIN))

    def text(where: tuple[int, int], words: str, colour: tuple[int, int, int]) -> None:
        cv2.putText(picture, words, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)

    for power in range(low, high + 1):
        left, right = place(0, (power - low) / (high - low)), place(end, (power - low) / (high - low))
        cv2.line(picture, left, right, _GREY, 1)
        text((8, left[1] + 5), f"{10.0 ** power:g}", _LOSS)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(end, share)
        cv2.line(picture, (x, y), (x + 5, y), _ACCURACY, 1)
        text((x + 9, y + 5), f"{share:.0%}", _ACCURACY)
        text((place(round(share * end), 0)[0] - 25, _HEIGHT - _MARGIN + 20), f"{share * end:,.0f}", _BLACK)
    text((_MARGIN, _MARGIN - 25), "loss", _LOSS)
    text((_WIDTH - _MARGIN - 110, _MARGIN - 25), "word accuracy", _ACCURACY)
    text((_WIDTH // 2 - 40, _HEIGHT - 15), "images seen", _BLACK)
    curve = [place(images, (math.log10(loss) - low) / (high - low)) for images, loss in losses]
    cv2.polylines(picture, [np.array(curve)], False, _LOSS, 2, cv2.LINE_AA)
    found = [place(*point) for point in accuracies]
    if found:
        cv2.polylines(picture, [np.array(found)], False, _ACCURACY, 2, cv2.LINE_AA)
    for where in found:
        cv2.circle(picture, where, 4, _ACCURACY, -1, cv2.LINE_AA)
    write_picture(str(path), picture)
