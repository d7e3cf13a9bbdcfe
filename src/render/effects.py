"""Layers of a word: letters, outline, shadow, raised edge; and the way from the flat word into the image."""
import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from src.render.dice import Dice
from src.render.style import RenderStyle


@lru_cache(maxsize=64)
def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


@dataclass(frozen=True)
class Plan:
    """Which layers a word gets, with lengths relative to the height of its ink.

    Attributes:
        border: width of the outline, 0 for none.
        hollow: only the outline is drawn.
        shadow: shift (x, y) of the shadow, ``None`` for none.
        soft: the shadow is blurred.
        extrude: shift (x, y) of the raised edge, ``None`` for none.
    """

    border: float = 0.0
    hollow: bool = False
    shadow: tuple[float, float] | None = None
    soft: bool = False
    extrude: tuple[float, float] | None = None

    @property
    def reach(self) -> float:
        """How far the layers reach beyond the ink, of its height."""
        shifts = [abs(value) for shift in (self.shadow, self.extrude) if shift for value in shift]
        return self.border + max(shifts, default=0.0) + (0.08 if self.soft else 0.0)


def draw_plan(dice: Dice, style: RenderStyle) -> Plan:
    """Draws the layers of a word."""
    border, hollow, shadow, soft, extrude = 0.0, False, None, False, None
    choice = dice.uniform()
    if choice < style.border:
        border = dice.uniform(0.03, 0.11)
    elif choice < style.border + style.hollow:
        border, hollow = dice.uniform(0.05, 0.1), True
    if dice.chance(style.shadow):
        angle = dice.uniform(0, 2 * math.pi)
        length = dice.uniform(0.04, 0.13)
        shadow, soft = (length * math.cos(angle), length * math.sin(angle)), dice.chance(0.5)
    elif dice.chance(style.extrude):
        angle = dice.uniform(0, 2 * math.pi)
        length = dice.uniform(0.04, 0.12)
        extrude = (length * math.cos(angle), length * math.sin(angle))
    return Plan(border, hollow, shadow, soft, extrude)


def _shifted(mask: np.ndarray, x: int, y: int) -> np.ndarray:
    moved = np.zeros_like(mask)
    height, width = mask.shape
    moved[max(0, y):height + min(0, y), max(0, x):width + min(0, x)] = \
        mask[max(0, -y):height - max(0, y), max(0, -x):width - max(0, x)]
    return moved


def layers(mask: np.ndarray, ink: float, plan: Plan) -> list[np.ndarray]:
    """Makes the layers of a word.

    Args:
        mask: coverage (H, W) uint8 with room for the layers around the ink.
        ink: height of the ink in pixels.
        plan: the layers.

    Returns:
        Coverages (H, W) uint8: letters, then as planned outline and shadow or raised edge. For hollow letters the
        first one is the outline alone.
    """
    result = [mask]
    outer = mask
    if plan.border:
        outer = cv2.dilate(mask, _disc(max(1, round(plan.border * ink))))
        if plan.hollow:
            result = [cv2.subtract(outer, mask)]
        else:
            result.append(outer)
    if plan.shadow:
        below = _shifted(outer, round(plan.shadow[0] * ink), round(plan.shadow[1] * ink))
        if plan.soft:
            reach = 2 * max(1, round(0.05 * ink)) + 1
            below = cv2.blur(below, (reach, reach))
        result.append(below)
    elif plan.extrude:
        length = max(abs(plan.extrude[0]), abs(plan.extrude[1])) * ink
        below = outer
        for step in range(1, max(2, round(length) + 1)):
            part = step / max(1.0, length)
            below = cv2.max(below, _shifted(outer, round(plan.extrude[0] * ink * part),
                                            round(plan.extrude[1] * ink * part)))
        result.append(below)
    return result


def corners(dice: Dice, style: RenderStyle, width: float, height: float) -> tuple[list[tuple[float, float]], bool]:
    """Draws where the corners of a word's ink box go.

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


def bend(mask: np.ndarray, sagitta: float) -> np.ndarray:
    """Bends a word (H, W) uint8 along a parabola.

    Args:
        mask: coverage.
        sagitta: height of the arc in pixels; positive lifts the middle, negative the ends.

    Returns:
        Coverage (H + |sagitta|, W) uint8.
    """
    height, width = mask.shape
    extra = math.ceil(abs(sagitta))
    across = np.linspace(-1, 1, width, dtype=np.float32)
    drop = across * across * abs(sagitta) if sagitta > 0 else (1 - across * across) * abs(sagitta)
    map_y = np.arange(height + extra, dtype=np.float32)[:, None] - drop[None, :]
    map_x = np.broadcast_to(np.arange(width, dtype=np.float32)[None, :], map_y.shape)
    return cv2.remap(mask, np.ascontiguousarray(map_x), map_y, cv2.INTER_LINEAR, borderValue=0)
