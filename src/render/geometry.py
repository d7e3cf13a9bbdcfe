"""The way from the flat word into the image: arcs, rotation, shear and perspective."""
import math
from dataclasses import dataclass

import cv2
import numpy as np

from src.render.dice import Dice
from src.render.style import RenderStyle

Points = list[tuple[float, float]]
_LETTER_TURN = 24.0  # degrees of an arc that one letter takes at most
_LONG = 5.0  # of the height
_SMALLEST = 0.9  # radius at the middle of the letters, of their height: the inner ends must not meet


@dataclass(frozen=True)
class Arc:
    """The part of a circle that a word stands on.

    Attributes:
        angle: how far it goes around, radians; positive for letters on top of a circle, negative for letters at its
            foot.
        offset: how far its middle is turned to the right of the top, or of the foot, radians.
    """

    angle: float
    offset: float = 0.0

    def radius(self, width: float, height: float) -> float:
        """Returns the circle's radius at half the height of the letters; too short a word goes around less far."""
        return max(width / abs(self.angle), _SMALLEST * height)

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Returns the box around the bent word: left, right, nearest to the centre, farthest from it.

        Args:
            width: of the flat word.
            height: of the flat word.
        """
        radius = self.radius(width, height)
        outer, inner = radius + height / 2, radius - height / 2
        half = width / radius / 2
        ends = (self.offset - half, self.offset + half)
        across = [size * math.sin(end) for size in (outer, inner) for end in ends]
        farthest = outer if ends[0] < 0 < ends[1] else outer * max(map(math.cos, ends))
        return min(across), max(across), inner * min(map(math.cos, ends)), farthest

    def growth(self, aspect: float) -> float:
        """Returns how many times higher than its letters the bent word is, by the width of the flat one in heights."""
        _, _, near, far = self.box(aspect, 1.0)
        return far - near


def draw_arc(dice: Dice, style: RenderStyle, letters: int) -> Arc:
    """Draws the arc that a word of so many letters stands on."""
    low, high = style.arc
    high = min(high, _LETTER_TURN * letters)
    angle = math.radians(dice.uniform(min(low, high), high))
    room = math.radians(85) - angle / 2
    offset = max(-room, min(room, dice.normal(0.16)))
    return Arc(angle if dice.chance(0.6) else -angle, offset)


def bend(mask: np.ndarray, arc: Arc) -> np.ndarray:
    """Lays a flat word around a circle: each letter is turned along the arc.

    Args:
        mask: coverage (H, W) uint8.
        arc: where it stands.

    Returns:
        Coverage (H', W') uint8 that just holds the word.
    """
    height, width = mask.shape
    radius = arc.radius(width, height)
    left, right, near, far = arc.box(width, height)
    columns, rows = math.ceil(right - left), math.ceil(far - near)
    x = np.arange(columns, dtype=np.float32) + np.float32(left + 0.5)
    y = np.float32(far - 0.5) - np.arange(rows, dtype=np.float32)
    if arc.angle < 0:
        y = y[::-1]
    # Angles are measured from the right: turned by a quarter they are those from the vertical.
    distance, turn = cv2.cartToPolar(np.ascontiguousarray(np.broadcast_to(-x, (rows, columns))),
                                     np.ascontiguousarray(np.broadcast_to(y[:, None], (rows, columns))))
    turn *= np.float32(radius)
    turn += np.float32(width / 2 - 0.5 - radius * (math.pi / 2 + arc.offset))
    if arc.angle > 0:
        np.subtract(np.float32(radius + height / 2 - 0.5), distance, out=distance)
    else:
        distance -= np.float32(radius - height / 2 + 0.5)
    return cv2.remap(mask, turn, distance, cv2.INTER_LINEAR, borderValue=0)


def area(points: Points) -> float:
    """Returns the area inside some corners."""
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))) / 2


def corners(dice: Dice, style: RenderStyle, width: float, height: float) -> tuple[Points, bool]:
    """Draws where the corners of a word's ink box go: nearly upright, as most words are.

    Args:
        dice: random choices of the image.
        style: strengths.
        width: width of the box, in units of ``height`` or pixels alike.
        height: height of the box.

    Returns:
        Corners (x, y): upper left, upper right, lower right, lower left; and whether they are in perspective (no
        parallelogram).
    """
    width *= dice.uniform(*style.stretch)
    points = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    if not dice.chance(style.geometry):
        return points, False
    lean = min(style.shear, max(-style.shear, dice.normal(0.4) * style.shear)) * height
    # A long word is turned less: its box would be all background.
    limit = min(style.rotate, math.degrees(math.atan2(0.9 * height, width)))
    angle = math.radians(min(limit, max(-limit, dice.normal(0.45) * style.rotate)))
    cosine, sine = math.cos(angle), math.sin(angle)
    moved = []
    for x, y in points:
        x += lean * (0.5 - y / height)
        moved.append((x * cosine - y * sine, x * sine + y * cosine))
    if not style.perspective or dice.chance(0.4):
        return moved, False
    reach = style.perspective * height
    return [(x + dice.uniform(-0.6, 0.6) * reach, y + dice.uniform(-0.5, 0.5) * reach) for x, y in moved], True


def steep_corners(dice: Dice, style: RenderStyle, width: float, height: float) -> tuple[Points, bool]:
    """Draws where the corners go of a word that rises or falls, or of a sign seen from the side.

    Arguments and result are those of :func:`corners`.
    """
    width *= dice.uniform(*style.stretch)
    turned, seen_from_side = dice.weighted((0.35, 0.65)), dice.chance(0.6)
    near, far = 1.0, 1.0
    if seen_from_side:
        width *= dice.uniform(0.6 if width < _LONG * height else 0.8, 0.95)  # letters of long words are narrow as it is
        near, far = (1.0, dice.uniform(0.45, 0.8)) if dice.chance(0.5) else (dice.uniform(0.45, 0.8), 1.0)
    # A long word rises less, or its letters would be a few pixels high in an image of the usual height.
    slope = min(math.tan(math.radians(style.steep)), 1.7 * height / width) * dice.uniform(0.35, 1.0)
    slope = slope if dice.chance(0.5) else -slope
    lean = dice.uniform(-1, 1) * style.shear * height
    anchor = dice.uniform(0.2, 0.8)  # what stays level of a sign seen from the side: its middle, or nearly an edge
    points = []
    for x, y in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)):
        size = far if x else near
        points.append((x + lean * (0.5 - y / height), height * anchor + (y - height * anchor) * size))
    if turned:
        return [(x, y + slope * x) for x, y in points], seen_from_side
    angle = math.atan(slope)
    cosine, sine = math.cos(angle), math.sin(angle)
    return [(x * cosine - y * sine, x * sine + y * cosine) for x, y in points], seen_from_side
