"""Noise and texture tiles made once, and the backgrounds cut from them."""
from functools import lru_cache

import cv2
import numpy as np

from src.render.dice import Dice
from src.render.palette import Colour
from src.render.style import RenderStyle

TILE = (192, 1024)  # rows and columns of a tile; images are at most half as large
_SEED = 20160707


def _unit(tile: np.ndarray) -> np.ndarray:
    tile = tile - tile.mean()
    return np.ascontiguousarray(tile / max(float(tile.std()), 1e-6), np.float32)


@lru_cache(maxsize=1)
def grain() -> np.ndarray:
    """Returns sensor noise (rows, columns, 3) float32 of mean 0 and deviation 1, partly common to the colours."""
    generator = np.random.default_rng(_SEED)
    common = generator.standard_normal((*TILE, 1), np.float32)
    own = generator.standard_normal((*TILE, 3), np.float32)
    return np.ascontiguousarray(0.83 * common + 0.56 * own, np.float32)


@lru_cache(maxsize=1)
def textures() -> list[np.ndarray]:
    """Returns texture tiles (rows, columns) float32, each of mean 0 and deviation 1.

    Cloudy noise of several roughnesses, brushed and wooden streaks in both directions, blocks like stone or leaves,
    and a wall of bricks.
    """
    generator = np.random.default_rng(_SEED + 1)
    rows, columns = TILE

    def noise(cell_y: float, cell_x: float) -> np.ndarray:
        coarse = generator.standard_normal((int(rows / cell_y) + 3, int(columns / cell_x) + 3)).astype(np.float32)
        return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)

    tiles = []
    for roughness in (0.35, 0.55, 0.8):
        tiles.append(sum(roughness ** octave * noise(64 / 2 ** octave, 64 / 2 ** octave) for octave in range(6)))
    tiles.append(noise(2, 90) + 0.6 * noise(6, 160))
    tiles.append(noise(90, 2) + 0.6 * noise(160, 7))
    tiles.append(np.maximum(noise(9, 9), noise(14, 14)))
    tiles.append(np.sign(noise(24, 30)) + 0.4 * noise(3, 3))
    y, x = np.mgrid[0:rows, 0:columns]
    mortar = (y % 18 < 2) | ((x + 21 * (y // 18 % 2)) % 42 < 2)
    bricks = generator.standard_normal((rows // 18 + 1, columns // 21 + 2))[y // 18, (x + 21 * (y // 18 % 2)) // 42]
    tiles.append(np.where(mortar, 2.2, 0.5 * bricks) + 0.3 * noise(3, 3))
    return [_unit(tile) for tile in tiles]


def cut(tile: np.ndarray, dice: Dice, height: int, width: int) -> np.ndarray:
    """Cuts a window (height, width[, 3]) at a random place out of a tile; it is a view: do not write to it."""
    top = dice.below(tile.shape[0] - height + 1)
    left = dice.below(tile.shape[1] - width + 1)
    return tile[top:top + height, left:left + width]


@lru_cache(maxsize=2048)
def _line(length: int) -> np.ndarray:
    return np.linspace(-1, 1, length, dtype=np.float32)


def ramp(dice: Dice, height: int, width: int) -> np.ndarray:
    """Returns a plane (height, width) float32 that goes from -1 to 1 in a random direction."""
    slope_x, slope_y = dice.uniform(-1, 1), dice.uniform(-1, 1)
    total = abs(slope_x) + abs(slope_y) + 1e-6
    return (_line(height) * np.float32(slope_y / total))[:, None] + _line(width) * np.float32(slope_x / total)


def stripes(dice: Dice, height: int, width: int) -> np.ndarray:
    """Returns stripes (height, width) float32 between -1 and 1, hard or soft, mostly level or upright."""
    period = dice.uniform(3, 24)
    angle = dice.pick((0.0, np.pi / 2, dice.uniform(0, np.pi)))
    y = np.arange(height, dtype=np.float32)[:, None] * float(np.sin(angle) * 2 * np.pi / period)
    x = np.arange(width, dtype=np.float32)[None, :] * float(np.cos(angle) * 2 * np.pi / period)
    wave = np.sin(y + x + dice.uniform(0, 6.3))
    return np.clip(wave * 4, -1, 1) if dice.chance(0.5) else wave


def variation(dice: Dice, style: RenderStyle, height: int, width: int) -> np.ndarray | None:
    """Returns the brightness pattern (height, width) float32 of a background, about -1 to 1; ``None`` for plain."""
    kind = dice.weighted(style.background)
    if kind == 0:
        return None
    if kind == 1:
        return ramp(dice, height, width)
    if kind == 2:
        return cut(textures()[dice.below(3)], dice, height, width) * 0.5
    if kind == 3:
        return cut(textures()[3 + dice.below(5)], dice, height, width) * 0.5
    return stripes(dice, height, width)


def paint_ground(dice: Dice, style: RenderStyle, colour: Colour, third: Colour, limit: float, height: int,
                 width: int) -> np.ndarray:
    """Paints a background.

    Args:
        dice: random choices of the image.
        style: strengths.
        colour: main colour.
        third: colour of bars and edges.
        limit: highest brightness change, so that the letters stay visible.
        height: image height in pixels.
        width: image width in pixels.

    Returns:
        Planes (3, height, width) float32, blue, green, red.
    """
    planes = np.empty((3, height, width), np.float32)
    for plane, value in zip(planes, colour, strict=True):
        plane.fill(value)
    pattern = variation(dice, style, height, width)
    if pattern is not None:
        strength = min(dice.uniform(0.2, 1.0) * style.background_amplitude, limit)
        for plane in planes:
            plane += pattern * np.float32(strength * dice.uniform(0.7, 1.3))
    if style.clutter and dice.chance(style.clutter):
        _clutter(dice, planes, colour, third, limit)
    return planes


def _clutter(dice: Dice, planes: np.ndarray, colour: Colour, third: Colour, limit: float) -> None:
    """Adds edges of signs beside the word, in place; soft ones may cross the whole image."""
    _, height, width = planes.shape
    for _ in range(1 + dice.below(2)):
        hard = dice.chance(0.6)
        change = np.array(third if hard else [value + dice.uniform(-limit, limit) for value in colour], np.float32)
        depth = dice.uniform(0.02, 0.12 if hard else 0.7)
        if dice.chance(0.7):
            rows = max(1, round(depth * height))
            band = planes[:, :rows] if dice.chance(0.5) else planes[:, height - rows:]
        else:
            columns = max(1, min(round(depth * (height if hard else width)), width))
            band = planes[:, :, :columns] if dice.chance(0.5) else planes[:, :, width - columns:]
        band[:] = change[:, None, None]
