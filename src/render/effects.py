"""Layers of a word: letters, outline, shadow, raised edge, halo, light and dark edges."""
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
        look: ``plain``; ``neon`` (a halo), ``relief`` (letters in the colour of the ground, with a light and a dark
            edge), ``dots`` (a dot matrix), ``segments`` (digits of seven segments).
        edge: shift (x, y) between the light and the dark edge of ``relief``, half of it.
        halo: reach of the halo of ``neon``.
    """

    border: float = 0.0
    hollow: bool = False
    shadow: tuple[float, float] | None = None
    soft: bool = False
    extrude: tuple[float, float] | None = None
    look: str = "plain"
    edge: tuple[float, float] = (0.0, 0.0)
    halo: float = 0.0

    @property
    def reach(self) -> float:
        """How far the layers reach beyond the ink, of its height."""
        shifts = [abs(value) for shift in (self.shadow, self.extrude) if shift for value in shift]
        return self.border + max(shifts, default=0.0) + (0.08 if self.soft else 0.0) + \
            max(map(abs, self.edge)) + 1.5 * self.halo


def draw_plan(dice: Dice, style: RenderStyle, number: bool = False) -> Plan:
    """Draws the layers of a word.

    Args:
        dice: random choices of the image.
        style: strengths.
        number: the word consists of digits alone.
    """
    if number and style.segments and dice.chance(style.segments):
        return Plan(look="segments")
    choice = dice.uniform()
    if choice < style.neon:
        return Plan(look="neon", halo=dice.uniform(0.1, 0.3))
    choice -= style.neon
    if choice < style.relief:
        return Plan(look="relief", edge=_shift(dice, 0.025, 0.06))
    choice -= style.relief
    if choice < style.dots:
        return Plan(look="dots")
    border, hollow, shadow, soft, extrude = 0.0, False, None, False, None
    choice = dice.uniform()
    if choice < style.border:
        border = dice.uniform(0.03, 0.11)
    elif choice < style.border + style.hollow:
        border, hollow = dice.uniform(0.05, 0.1), True
    if dice.chance(style.shadow):
        shadow, soft = _shift(dice, 0.04, style.shadow_length), dice.chance(0.5)
    elif dice.chance(style.extrude):
        extrude = _shift(dice, 0.04, style.extrude_length)
    return Plan(border, hollow, shadow, soft, extrude)


def _shift(dice: Dice, low: float, high: float) -> tuple[float, float]:
    """Draws a shift (x, y) of a length in any direction."""
    angle = dice.uniform(0, 2 * math.pi)
    length = dice.uniform(low, high)
    return length * math.cos(angle), length * math.sin(angle)


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
        first one is the outline alone; ``neon`` has letters and halo, ``relief`` letters, light and dark edge.
    """
    if plan.look == "neon":
        reach = 2 * max(1, round(plan.halo * ink)) + 1
        return [mask, cv2.blur(cv2.blur(cv2.dilate(mask, _disc(max(1, reach // 6))), (reach, reach)), (reach, reach))]
    if plan.look == "relief":
        x, y = round(plan.edge[0] * ink), round(plan.edge[1] * ink)
        if not x and not y:
            y = 1
        near, far = _shifted(mask, -x, -y), _shifted(mask, x, y)
        return [mask, cv2.subtract(near, far), cv2.subtract(far, near)]
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
