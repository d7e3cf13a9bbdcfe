"""Colouring of a word: its layers laid over a background."""
import numpy as np

from src.render.dice import Dice
from src.render.effects import Plan
from src.render.palette import Colour, Colours, brightness, draw_colours, letters_on, lit_colours, relief_colours
from src.render.style import RenderStyle
from src.render.textures import cut, paint_ground, ramp, stripes, textures

_LIT = 0.75  # share of dot matrices and segment displays that shine; others are dark on light, or painted


def paint(alphas: list[np.ndarray], plan: Plan, floor: float, dice: Dice,
          style: RenderStyle) -> tuple[np.ndarray, float]:
    """Lays the layers of a word over a background.

    Args:
        alphas: coverages (H, W) float32 in [0, 1] of the layers, see :func:`src.render.effects.layers`.
        plan: what the layers are.
        floor: lowest difference in brightness between letters and background, 0-255.
        dice: random choices of the image.
        style: strengths.

    Returns:
        Planes (3, H, W) float32, blue, green, red; and the difference in brightness that the letters are read by.
    """
    if plan.look == "relief":
        return _relief(alphas, dice, style)
    lit = plan.look == "neon" or (plan.look in ("dots", "segments") and dice.chance(_LIT))
    colours = lit_colours(dice) if lit else draw_colours(dice, floor)
    height, width = alphas[0].shape
    gap = abs(brightness(colours.letters) - brightness(colours.ground))
    limit = 0.4 * gap
    planes = paint_ground(dice, style, colours.ground, colours.ground if lit else colours.third, limit, height, width)
    lowest = len(alphas) - 1
    if plan.shadow or plan.extrude:
        shade = colours.third if plan.extrude and dice.chance(0.5) else _shade(colours, dice, style)
        _blend(planes, alphas[lowest], shade)
        lowest -= 1
    if plan.look == "neon":
        _blend(planes, alphas[1] * np.float32(dice.uniform(0.35, 0.8)), colours.third)
    elif lowest:
        _blend(planes, alphas[1], colours.third)
    if style.two_tone and not lit and dice.chance(style.two_tone):
        fill = _two_tones(dice, colours, floor, height, width)
    elif style.fill_texture and dice.chance(style.fill_texture):
        pattern = ramp(dice, height, width) if dice.chance(0.5) else \
            0.5 * cut(textures()[dice.below(5)], dice, height, width)
        fill = _column(colours.letters) + min(dice.uniform(8, 40), limit) * pattern
    else:
        _blend(planes, alphas[0], colours.letters)
        return planes, gap
    fill -= planes
    fill *= alphas[0]
    planes += fill
    return planes, gap


def _relief(alphas: list[np.ndarray], dice: Dice, style: RenderStyle) -> tuple[np.ndarray, float]:
    """Letters in the colour of the ground, seen by their light and dark edges."""
    colours, dark = relief_colours(dice)
    depth = brightness(colours.third) - brightness(dark)
    planes = paint_ground(dice, style, colours.ground, colours.ground, 0.1 * depth, *alphas[0].shape)
    change = _column(colours.letters) - _column(colours.ground)
    planes += change * alphas[0]
    _blend(planes, alphas[1], colours.third)
    _blend(planes, alphas[2], dark)
    return planes, 0.5 * depth


def _two_tones(dice: Dice, colours: Colours, floor: float, height: int, width: int) -> np.ndarray:
    """Two colours (3, H, W) in a gradient, a texture or stripes, both on the same side of the ground's brightness."""
    first, ground = colours.letters, brightness(colours.ground)
    second = first
    for _ in range(8):
        second = letters_on(dice, colours.ground, floor)
        if (brightness(second) > ground) == (brightness(first) > ground):
            break
    else:
        second = first
    kind = dice.below(3)
    if kind == 0:
        pattern = ramp(dice, height, width) * 2
    elif kind == 1:
        pattern = cut(textures()[dice.below(8)], dice, height, width) * 1.5
    else:
        pattern = stripes(dice, height, width)
    share = np.clip(0.5 + 0.5 * pattern, 0, 1)
    return _column(first) + (_column(second) - _column(first)) * share


def _shade(colours: Colours, dice: Dice, style: RenderStyle) -> Colour:
    """Returns a shadow's colour: the ground made darker, or lighter under dark letters."""
    if brightness(colours.letters) > 90:
        return tuple(value * dice.uniform(0.1, 0.5) for value in colours.ground)
    return letters_on(dice, colours.letters, style.contrast)


def _column(colour: Colour) -> np.ndarray:
    return np.array(colour, np.float32)[:, None, None]


def _blend(planes: np.ndarray, alpha: np.ndarray, colour: Colour) -> None:
    """Lays a colour over planes (3, H, W), in place, as far as ``alpha`` (H, W) covers them."""
    difference = _column(colour) - planes
    difference *= alpha
    planes += difference
