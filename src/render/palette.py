"""Colours of letters and backgrounds, kept apart by a floor of contrast."""
import colorsys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

from src.render.dice import Dice, DiceCup

Colour = tuple[float, float, float]  # blue, green, red; 0-255
# Hue in degrees, its spread and how often: signs are red, blue, green and yellow far more often than pink or cyan.
_HUES = ((0, 14), (24, 10), (50, 10), (95, 25), (140, 20), (190, 20), (215, 15), (275, 25))
_HUE_SHARES = (26.0, 16.0, 14.0, 5.0, 13.0, 6.0, 16.0, 4.0)
_KINDS = ("light", "dark", "grey", "colour")
_GROUND_SHARES = (0.25, 0.21, 0.12, 0.42)
_LETTER_SHARES = (0.36, 0.27, 0.07, 0.30)
_BANK = 4096
# Lights: red, amber, yellow, green, cyan, blue, pink, white.
_LIGHTS = ((50.0, 50.0, 255.0), (20.0, 150.0, 255.0), (60.0, 220.0, 255.0), (90.0, 255.0, 70.0), (255.0, 230.0, 60.0),
           (255.0, 150.0, 80.0), (220.0, 90.0, 255.0), (255.0, 250.0, 240.0))


@dataclass(frozen=True)
class Colours:
    """Colours of one image, blue, green, red, 0-255: background, letters, and a third one for outline or clutter."""

    ground: Colour
    letters: Colour
    third: Colour


def brightness(colour: Colour) -> float:
    """Returns the brightness of a colour as a grey value, 0-255."""
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def _colour(dice: Dice, kind: str) -> Colour:
    if kind == "colour":
        centre, spread = _HUES[dice.weighted(_HUE_SHARES)]
        hue = (centre + dice.uniform(-spread, spread)) % 360 / 360
        red, green, blue = colorsys.hsv_to_rgb(hue, dice.uniform(0.4, 1.0), dice.uniform(0.3, 1.0))
        return 255 * blue, 255 * green, 255 * red
    level = {"light": dice.uniform(190, 255), "dark": dice.uniform(0, 65), "grey": dice.uniform(65, 190)}[kind]
    tint = dice.uniform(0, 14)
    warm = dice.uniform(-1, 1)
    return tuple(min(255.0, max(0.0, value)) for value in (level - tint * warm, level, level + tint * warm))


@lru_cache(maxsize=1)
def _grounds() -> list[Colour]:
    dice = DiceCup(1).roll(0)
    return [_colour(dice, _KINDS[dice.weighted(_GROUND_SHARES)]) for _ in range(_BANK)]


@lru_cache(maxsize=1)
def _letters() -> tuple[list[Colour], list[float]]:
    """Colours of letters from dark to light, and their brightness."""
    dice = DiceCup(1).roll(1)
    colours = sorted((_colour(dice, _KINDS[dice.weighted(_LETTER_SHARES)]) for _ in range(_BANK)), key=brightness)
    return colours, [brightness(colour) for colour in colours]


def letters_on(dice: Dice, ground: Colour, floor: float) -> Colour:
    """Draws a colour whose brightness differs from that of ``ground`` by at least ``floor``.

    Where no colour is so far away (``floor`` above 127), it is black or white, whichever differs more.
    """
    colours, levels = _letters()
    base = brightness(ground)
    darker = bisect_right(levels, base - floor)
    lighter = bisect_left(levels, base + floor)
    count = darker + len(levels) - lighter
    if not count:
        return (0.0, 0.0, 0.0) if base > 127.5 else (255.0, 255.0, 255.0)
    number = dice.below(count)
    return colours[number if number < darker else lighter + number - darker]


def draw_colours(dice: Dice, floor: float) -> Colours:
    """Draws the colours of one image.

    Args:
        dice: random choices of the image.
        floor: lowest difference in brightness between letters and background, 0-255; more than 127 is met only as
            far as the background allows.
    """
    ground = dice.pick(_grounds())
    letters = letters_on(dice, ground, floor)
    return Colours(ground, letters, letters_on(dice, letters, max(floor, 60.0)))


def lit_colours(dice: Dice) -> Colours:
    """Draws the colours of lights in the dark; the third one is that of the halo."""
    level = dice.uniform(0, 38)
    ground = (level * dice.uniform(0.7, 1.6), level, level * dice.uniform(0.7, 1.3))
    glow = dice.pick(_LIGHTS)
    white = dice.uniform(0.0, 0.9) ** 2
    strength = dice.uniform(0.8, 1.0)
    return Colours(ground, tuple(strength * (value + white * (255 - value)) for value in glow), glow)


def relief_colours(dice: Dice) -> tuple[Colours, Colour]:
    """Draws the colours of letters cut into their ground or raised from it.

    Returns:
        The letters in nearly the colour of the ground, the third colour that of the light edge; and the dark edge's.
    """
    ground = dice.pick(_grounds())
    # Room for both edges: neither white nor black.
    change = min(190.0, max(75.0, brightness(ground))) / max(1.0, brightness(ground))
    ground = tuple(min(215.0, value * change + 6.0) for value in ground)
    depth, fill = dice.uniform(60, 110), dice.uniform(0.85, 1.13)
    light = tuple(min(255.0, value + depth) for value in ground)
    dark = tuple(max(0.0, value - depth) for value in ground)
    return Colours(ground, tuple(min(255.0, value * fill) for value in ground), light), dark
