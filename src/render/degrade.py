"""What camera and compression do to an image: light, blur, low resolution, noise, tone, JPEG."""
from functools import lru_cache

import cv2
import numpy as np

from src.render.dice import Dice
from src.render.style import RenderStyle
from src.render.textures import cut, grain, ramp


@lru_cache(maxsize=512)
def _motion_kernel(length: int, angle: int) -> np.ndarray:
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach_x, reach_y = middle * np.cos(np.radians(angle)), middle * np.sin(np.radians(angle))
    cv2.line(kernel, (round(middle - reach_x), round(middle - reach_y)),
             (round(middle + reach_x), round(middle + reach_y)), 1.0)
    return kernel / kernel.sum()


def light(dice: Dice, style: RenderStyle, planes: np.ndarray) -> None:
    """Makes one side of planes (3, H, W) float32 brighter than the other, or adds a bright spot, in place."""
    _, height, width = planes.shape
    if style.light and dice.chance(0.5):
        planes *= 1.0 + dice.uniform(0.1, 1.0) * style.light * 0.5 * ramp(dice, height, width)
    if style.glare and dice.chance(style.glare):
        radius = dice.uniform(0.3, 1.2) * height
        y = (np.arange(height, dtype=np.float32) - dice.uniform(0, height))[:, None] / radius
        x = (np.arange(width, dtype=np.float32) - dice.uniform(0, width))[None, :] / radius
        planes += dice.uniform(30, 90) * np.exp(-(x * x + y * y))
    if style.shade and dice.chance(style.shade):
        # The edge of a shadow: dark on one side, within a few pixels bright on the other.
        edge = np.clip(0.5 + dice.uniform(2, 10) * (ramp(dice, height, width) + dice.uniform(-0.6, 0.6)), 0, 1)
        planes *= 1 - dice.uniform(0.25, 0.55) * edge


def _phone(dice: Dice, image: np.ndarray, ink: float) -> np.ndarray:
    """A small picture that was saved, enlarged, and will be saved again: (H, W, 3) uint8."""
    height, width = image.shape[:2]
    factor = min(1.0, dice.uniform(8, 20) / ink)
    small = cv2.resize(image, (max(4, round(width * factor)), max(8, round(height * factor))),
                       interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, round(dice.uniform(25, 75))))
    return cv2.resize(cv2.imdecode(data, cv2.IMREAD_COLOR), (width, height), interpolation=cv2.INTER_CUBIC)


def degrade(dice: Dice, style: RenderStyle, image: np.ndarray, stroke: float, ink: float = 32.0,
            gap: float = 255.0) -> np.ndarray:
    """Applies blur, low resolution, darkness, tone and noise.

    Args:
        dice: random choices of the image.
        style: strengths.
        image: (H, W, 3) float32; may be overwritten.
        stroke: thickness of the letters' stems in pixels; thin ones are spared the blur that would wipe them out.
        ink: height of the letters in pixels.
        gap: difference in brightness that the letters are read by.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    level = dice.uniform(0.0, 0.35) if dice.chance(style.clean) else dice.uniform(0.2, 1.0)
    bound = max(0.45, 0.75 * stroke)
    if style.blur:
        sigma = min(level * dice.uniform() * style.blur * height, bound)
        if sigma > 0.25:
            reach = max(3, 2 * int(2.5 * sigma + 0.5) + 1)
            image = cv2.GaussianBlur(image, (reach, reach), sigma)
    if style.motion and dice.chance(style.motion * 2 * level):
        length = round(min(dice.uniform(0.04, 0.16) * height, 1 + 2 * bound))
        if length >= 2:
            image = cv2.filter2D(image, -1, _motion_kernel(length, 15 * dice.below(12)))
    if style.low_resolution and dice.chance(style.low_resolution * 2 * level):
        factor = max(dice.uniform(0.4, 0.9), min(1.0, 0.7 / max(stroke, 0.1)), 9 / height)
        if factor < 0.95:
            small = cv2.resize(image, (max(4, round(width * factor)), round(height * factor)),
                               interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (width, height),
                               interpolation=dice.pick((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LINEAR)))
    sigma = level * dice.uniform() * style.noise
    gain, offset = 1.0, 0.0
    if style.dim and gap > 40 and dice.chance(style.dim):
        gain = max(dice.uniform(0.12, 0.45), 30 / gap)
        offset = dice.uniform(0, 20)
        sigma = max(sigma, dice.uniform(0.08, 0.22) * gain * gap)
    elif style.tone:
        gain = 1.0 + level * dice.uniform(-1.0, 0.6) * style.tone
        offset = (1.0 - gain) * dice.uniform(60, 200)
    noise = cut(grain(), dice, height, width)
    # Small thin letters do not outlive a second small picture.
    if style.phone and stroke > 1.2 and dice.chance(style.phone):
        return _phone(dice, cv2.addWeighted(image, gain, noise, sigma, offset, dtype=cv2.CV_8U), ink)
    return cv2.addWeighted(image, gain, noise, sigma, offset, dtype=cv2.CV_8U)
