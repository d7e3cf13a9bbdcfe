"""Augmentation of training images: one geometric mapping into the network's input, then blur, noise, colour and JPEG.

An image is changed at the size at which the network sees it, so that the cost does not depend on its own size: about
100 microseconds. Only OpenCV and NumPy are needed.
"""
import itertools
import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from src.common.errors import ConfigError
from src.data.options import AugmentOptions
from src.data.preprocess import InputSpec

# Random numbers an image takes for each group of effects; always as many, so that no effect changes the next one.
_DRAWS = {"map": 22, "soften": 3, "pixels": 5, "colour": 8}
_GEOMETRY_SHARE = 0.5  # share of the images that each effect is drawn for
_SHARPNESS_SHARE = 0.4  # blur or shrink, never both
_PIXEL_SHARE = 0.25  # noise; jpeg
_COLOUR_SHARE = 0.6
_LEAST_HEIGHT = 10.0  # rows that a word keeps at least when it is shrunk
_LARGEST_RISE = 0.6  # a turned word rises no further than that part of its height, or it would become too small
_INWARD = 0.4  # part of `crop` that may be cut off; the rest of the way is outwards
_NOISE_SIGMA = 40.0  # of the stored noise
_NOISE_OF_CONTRAST = 0.4  # noise goes no further than that share of the image's own standard deviation
_LINE = np.linspace(0, 1, 33)  # places along the word at which a bent base line is computed
_GREY = np.array([[0.114, 0.587, 0.299]] * 3)  # BGR to grey ...
_COLOUR = np.eye(3) - _GREY  # ... and what the grey lacks
_LONGEST_SIDE = 32000  # cv2.remap cannot address more


@dataclass(frozen=True)
class Strengths:
    """How far each effect goes at most; 0 switches it off.

    Attributes:
        crop: movement of each edge of the crop outwards, share of the image's shorter side; inwards 0.4 of it.
        rotation: degrees either way; less for long words, whose ends must not rise too far.
        shear: degrees either way.
        perspective: movement of each corner, share of the shorter side.
        curve: rise of a bent base line, share of the height.
        blur: sigma of a Gaussian blur, pixels of the network's input; it may differ along the word and across it.
        shrink: factor by which the resolution falls.
        noise: standard deviation of Gaussian noise, grey levels.
        colour: relative change of contrast, brightness, saturation and of each channel.
        jpeg: points of JPEG quality below 95.
        invert: share of the images that become their negative.
    """

    crop: float = 0.0
    rotation: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    curve: float = 0.0
    blur: float = 0.0
    shrink: float = 0.0
    noise: float = 0.0
    colour: float = 0.0
    jpeg: float = 0.0
    invert: float = 0.0


PRESETS = {
    "none": Strengths(),
    "light": Strengths(crop=0.1, rotation=4, shear=10, perspective=0.06, curve=0.06, blur=0.7, shrink=1.6, noise=8,
                       colour=0.25, jpeg=35, invert=0.02),
    "strong": Strengths(crop=0.2, rotation=12, shear=22, perspective=0.15, curve=0.18, blur=1.1, shrink=2.4, noise=16,
                        colour=0.45, jpeg=60, invert=0.08),
}
_LARGEST = Strengths(crop=0.5, rotation=45, shear=45, perspective=0.4, curve=1, blur=5, shrink=8, noise=100, colour=1,
                     jpeg=90, invert=1)


def parse_strengths(text: str, base: Strengths) -> Strengths:
    """Reads 'rotation:5,jpeg:0' and returns `base` with these values.

    Raises:
        ConfigError: another form, an unknown effect, or a value out of its range.
    """
    names = [field.name for field in fields(Strengths)]
    given: dict[str, float] = {}
    for item in filter(str.strip, text.split(",")):
        name, _, number = (part.strip() for part in item.partition(":"))
        if name not in names or name in given:
            raise ConfigError(f"augment_strengths {text!r}: expected effects, each once, with numbers, such as "
                              f"rotation:5,jpeg:0, not {item.strip()!r}; effects: {', '.join(names)}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        largest = getattr(_LARGEST, name)
        if not 0 <= value <= largest:
            raise ConfigError(f"augment_strengths: {name} must be a number from 0 to {largest:g}, not {number!r}")
        given[name] = value
    return replace(base, **given)


def create_augment(options: AugmentOptions, spec: InputSpec) -> "Augmenter | None":
    """Makes what the options ask for; None where nothing is to be changed.

    Args:
        options: preset and strengths.
        spec: the network input.

    Raises:
        ConfigError: a value that cannot be.
    """
    if options.preset not in PRESETS:
        raise ConfigError(f"augment {options.preset!r}: expected one of {', '.join(PRESETS)}")
    strengths = parse_strengths(options.strengths, PRESETS[options.preset])
    return None if strengths == Strengths() else Augmenter(strengths, spec)


class Augmenter:
    """Changes one image at a time; safe to use from several threads.

    The image is mapped once, from its own pixels to the network's input: the word is turned, sheared, tilted and bent,
    and the box around the result, moved a little, is what the network gets. Like the resizing of evaluation the mapping
    is bilinear without antialiasing.

    Args:
        strengths: how far the effects go.
        spec: the network input.
    """

    def __init__(self, strengths: Strengths, spec: InputSpec):
        self.strengths, self.spec = strengths, spec
        # With keep_ratio one that is too wide is handed on as such, so that it is counted as any other.
        self._widest = 2 * spec.largest_width if spec.keep_ratio else spec.width
        self._grid = np.stack(np.meshgrid(np.arange(self._widest), np.arange(spec.height)), -1).astype(np.float32)
        noise = np.random.default_rng(20160).normal(128, _NOISE_SIGMA, 3 * spec.height * self._widest + (1 << 17))
        self._noise = np.clip(np.rint(noise), 0, 255).astype(np.uint8)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments one image.

        Args:
            image: (H, W, 3) uint8 BGR; stays as it is.
            rng: source of all randomness.

        Returns:
            (height, width, 3) uint8 BGR, the size of the network's input; with ``keep_ratio`` the width that the
            image's ratio gives, before padding.
        """
        if max(image.shape) > _LONGEST_SIDE:
            factor = _LONGEST_SIDE / max(image.shape)
            rows, columns = image.shape[:2]
            image = cv2.resize(image, (max(1, round(columns * factor)), max(1, round(rows * factor))))
        draws = iter(rng.random(sum(_DRAWS.values())).tolist())
        draw = {group: list(itertools.islice(draws, count)) for group, count in _DRAWS.items()}
        result = self._soften(self._map(image, draw["map"]), image.shape, draw["soften"])
        matrix = self._colour_matrix(result, draw["colour"])
        if matrix is not None:
            result = cv2.transform(result, matrix)
        return self._degrade(result, draw["pixels"])

    def _map(self, image: np.ndarray, draw: list[float]) -> np.ndarray:
        """All geometry and the resizing to the input, in one mapping."""
        s, (rows, columns) = self.strengths, image.shape[:2]
        sway = [2 * value - 1 for value in draw[:17]]  # -1 to 1
        on = [value < _GEOMETRY_SHARE for value in draw[17:]]
        side = min(rows, columns)
        steepest = math.atan(_LARGEST_RISE * rows / columns)
        angle = on[0] * sway[0] * min(math.radians(s.rotation), steepest)
        slant = math.tan(on[1] * sway[1] * math.radians(s.shear))
        tilt = on[2] * s.perspective * side
        bend = on[3] * sway[2] * s.curve
        margin = on[4] * s.crop * side

        cos, sin = math.cos(angle), math.sin(angle)
        half_x, half_y = columns / 2, rows / 2
        corners_x, corners_y = [], []
        for k, (x, y) in enumerate(((-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y))):
            x += slant * y
            # A corner moves less along the word than across it: letters at the ends must not be pressed together.
            corners_x.append(cos * x - sin * y + 0.5 * tilt * sway[3 + k])
            corners_y.append(sin * x + cos * y + tilt * sway[7 + k])
        left, top, right, bottom = min(corners_x), min(corners_y), max(corners_x), max(corners_y)
        # Arcs and waves: a quarter to three quarters of a period, at any phase.
        phase, turns = math.pi * sway[11], math.pi * (1 + 0.5 * sway[12])
        wave = None
        if bend:
            wave = np.sin(_LINE * turns + phase)
            low, high = float(wave.min()), float(wave.max())
            wave = (wave - (low + high) / 2) * (bend * rows / max(high - low, 0.5))
            reach = abs(bend) * rows * min(1, (high - low) / 0.5) / 2
            top, bottom = top - reach, bottom + reach
        # More outwards than inwards: what is cut off is lost to the reader.
        edges = [margin * value * (1 if value > 0 else _INWARD) for value in sway[13:]]
        left, top, right, bottom = left - edges[0], top - edges[1], right + edges[2], bottom + edges[3]

        height, width = self.spec.height, self.spec.width
        if self.spec.keep_ratio:
            width = min(max(1, round(height * (right - left) / (bottom - top))), self._widest)
        step_x, step_y = (right - left) / width, (bottom - top) / height
        corners = np.array([corners_x, corners_y], np.float32).T
        source = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
        # From the middle of a pixel of the input to the plane of `corners`, from there to the source and its pixels.
        to_plane = np.array([(step_x, 0, left + step_x / 2), (0, step_y, top + step_y / 2), (0, 0, 1)])
        matrix = cv2.getPerspectiveTransform(corners, source) @ to_plane
        matrix[:2] -= 0.5 * matrix[2]
        points = self._grid[:, :width]
        if wave is not None:
            points = points.copy()
            points[..., 1] -= np.interp(self._grid[0, :width, 0], _LINE * (width - 1), wave / step_y)
        points = cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix).reshape(height, width, 2)
        return cv2.remap(image, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _soften(self, image: np.ndarray, shape: tuple[int, ...], draw: list[float]) -> np.ndarray:
        """Blur or lower resolution; an image that came with few pixels is spared."""
        s, (height, width) = self.strengths, image.shape[:2]
        pixels = min(1.0, shape[0] / height)  # how much of the input's resolution the image has
        squeeze = min(1.0, (width / shape[1]) / (height / shape[0]))  # how much narrower than high a source pixel is
        if draw[0] < _SHARPNESS_SHARE / 2 and s.blur:
            sigma = s.blur * pixels
            across, along = max(0.1, sigma * draw[1]), max(0.1, sigma * squeeze * draw[2])
            return cv2.GaussianBlur(image, (5, 5), along, sigmaY=across)
        if _SHARPNESS_SHARE / 2 <= draw[0] < _SHARPNESS_SHARE and s.shrink > 1:
            factor = 1 + (s.shrink - 1) * draw[1]
            rows = max(height * pixels / factor, _LEAST_HEIGHT)
            if rows >= height * pixels:
                return image
            factor = height / rows
            columns = width / (1 + (factor - 1) * squeeze)
            small = cv2.resize(image, (max(1, round(columns)), max(1, round(rows))), interpolation=cv2.INTER_AREA)
            return cv2.resize(small, (width, height),
                              interpolation=cv2.INTER_LINEAR if draw[2] < 0.5 else cv2.INTER_CUBIC)
        return image

    def _colour_matrix(self, image: np.ndarray, draw: list[float]) -> np.ndarray | None:
        """(3, 4) matrix of one affine change of the colours around the image's mean; None where they stay."""
        negative = draw[0] < self.strengths.invert
        strength = self.strengths.colour if draw[1] < _COLOUR_SHARE else 0.0
        if not strength and not negative:
            return None
        sway = strength * (2 * np.array(draw[2:]) - 1)
        mean = np.array(cv2.mean(image)[:3])
        saturation = 1 + sway[0]
        gains = (1 + sway[1]) * (1 + 0.3 * sway[2:5])
        matrix, centre = gains[:, None] * (_GREY + saturation * _COLOUR), mean * (1 + 0.5 * sway[5])
        if negative:
            matrix, centre = -matrix, 255 - centre
        result = np.empty((3, 4))
        result[:, :3], result[:, 3] = matrix, centre - matrix @ mean
        return result

    def _degrade(self, image: np.ndarray, draw: list[float]) -> np.ndarray:
        """Noise and JPEG."""
        s = self.strengths
        if draw[0] < _PIXEL_SHARE and s.noise:
            contrast = float(cv2.meanStdDev(image)[1].mean())
            alpha = draw[1] * min(s.noise, _NOISE_OF_CONTRAST * contrast) / _NOISE_SIGMA
            start = int(draw[2] * (len(self._noise) - image.size))
            noise = self._noise[start:start + image.size].reshape(image.shape)
            image = cv2.addWeighted(image, 1, noise, alpha, -128 * alpha)
        if draw[3] < _PIXEL_SHARE and s.jpeg:
            quality = max(1, round(95 - s.jpeg * draw[4]))
            image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        return image
