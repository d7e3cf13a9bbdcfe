"""Augmentation of training images: one geometric mapping into the network's input, then blur, noise, colour and JPEG.

An image is changed at the size at which the network sees it, so that the cost does not depend on its own size: about 70
microseconds. What an image gets is computed for several at once, since a call of NumPy costs more than its numbers.
Only OpenCV and NumPy are needed.
"""
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from src.common.errors import ConfigError
from src.data.options import AugmentOptions
from src.data.preprocess import InputSpec

DRAWS = 38
"""Random numbers that an image takes."""
# The places of each group of effects among them; always the same, so that no effect changes the next one.
_MAP, _SOFTEN, _PIXELS, _COLOURS = slice(22), slice(22, 25), slice(25, 30), slice(30, DRAWS)
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
_TOGETHER = 64  # images that are computed at once; more gain nothing
_GREY = np.array([[0.114, 0.587, 0.299]] * 3)  # BGR to grey ...
_COLOUR = np.eye(3) - _GREY  # ... and what the grey lacks
_LONGEST_SIDE = 32000  # cv2.remap cannot address more

_Projections = Sequence[Sequence[np.ndarray]]


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
    """Changes images, one or several in a call; safe to use from several threads.

    An image is mapped once, from its own pixels to the network's input: the word is turned, sheared, tilted and bent,
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
        return self.several([image], rng.random((1, DRAWS)))[0]

    def several(self, images: Sequence[np.ndarray], draws: np.ndarray) -> list[np.ndarray]:
        """Augments images; what becomes of one does not depend on the others.

        Args:
            images: n as for a call, of any sizes.
            draws: (n, DRAWS) float64, random numbers from 0 to 1.

        Returns:
            n arrays as a call gives.
        """
        results: list[np.ndarray] = []
        for first in range(0, len(images), _TOGETHER):
            own = slice(first, first + _TOGETHER)
            results += self._together([_addressable(image) for image in images[own]], draws[own])
        return results

    def _together(self, images: list[np.ndarray], draws: np.ndarray) -> list[np.ndarray]:
        results = self._mapped(images, draws[:, _MAP])
        soften = draws[:, _SOFTEN].tolist()
        results = [self._soften(result, image.shape, draw)
                   for result, image, draw in zip(results, images, soften, strict=True)]
        for number, matrix in self._colour_matrices(results, draws[:, _COLOURS]):
            results[number] = cv2.transform(results[number], matrix)
        pixels = draws[:, _PIXELS].tolist()
        return [self._degrade(result, draw) for result, draw in zip(results, pixels, strict=True)]

    def _mapped(self, images: list[np.ndarray], draws: np.ndarray) -> list[np.ndarray]:
        """All geometry and the resizing to the input, in one mapping of each image."""
        s = self.strengths
        rows, columns = np.array([image.shape[:2] for image in images], np.float64).T
        sway = 2 * draws[:, :17].T - 1  # -1 to 1
        on = draws[:, 17:].T < _GEOMETRY_SHARE
        side = np.minimum(rows, columns)
        steepest = np.arctan(_LARGEST_RISE * rows / columns)
        angle = on[0] * sway[0] * np.minimum(math.radians(s.rotation), steepest)
        slant = np.tan(on[1] * sway[1] * math.radians(s.shear))
        tilt = on[2] * s.perspective * side
        bend = on[3] * sway[2] * s.curve
        margin = on[4] * s.crop * side

        cos, sin = np.cos(angle), np.sin(angle)
        y = np.multiply.outer((-0.5, -0.5, 0.5, 0.5), rows)
        x = np.multiply.outer((-0.5, 0.5, 0.5, -0.5), columns) + slant * y
        # A corner moves less along the word than across it: letters at the ends must not be pressed together.
        corners_x, corners_y = cos * x - sin * y + 0.5 * tilt * sway[3:7], sin * x + cos * y + tilt * sway[7:11]
        left, top, right, bottom = corners_x.min(0), corners_y.min(0), corners_x.max(0), corners_y.max(0)
        # Arcs and waves: a quarter to three quarters of a period, at any phase.
        phase, turns = math.pi * sway[11], math.pi * (1 + 0.5 * sway[12])
        wave = np.sin(np.multiply.outer(turns, _LINE) + phase[:, None])
        low, high = wave.min(1), wave.max(1)
        rise = bend * rows / np.maximum(high - low, 0.5)
        wave = (wave - (low + high)[:, None] / 2) * rise[:, None]
        reach = np.abs(rise) * (high - low) / 2
        top, bottom = top - reach, bottom + reach
        # More outwards than inwards: what is cut off is lost to the reader.
        edges = margin * sway[13:] * np.where(sway[13:] > 0, 1, _INWARD)
        left, top, right, bottom = left - edges[0], top - edges[1], right + edges[2], bottom + edges[3]

        projections = _rectangle_of_quadrilateral(corners_x, corners_y, columns, rows)
        box = (left, top, right, bottom)
        if not self.spec.keep_ratio:
            places = list(zip(*_places(projections, box, wave, self.spec.width, self.spec.height), strict=True))
        else:  # each has a width of its own
            ratios = (right - left) / (bottom - top)
            places = []
            for i, ratio in enumerate(ratios.tolist()):
                width = min(max(1, round(self.spec.height * ratio)), self._widest)
                own = slice(i, i + 1)
                x, y = _places([[part[own] for part in row] for row in projections], [edge[own] for edge in box],
                               wave[own], width, self.spec.height)
                places.append((x[0], y[0]))
        return [cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for image, (x, y) in zip(images, places, strict=True)]

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

    def _colour_matrices(self, images: list[np.ndarray], draws: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Number, and (3, 4) matrix of one affine change of the colours around the mean, of images that change."""
        strength = np.where(draws[:, 1] < _COLOUR_SHARE, self.strengths.colour, 0.0)
        sign = np.where(draws[:, 0] < self.strengths.invert, -1.0, 1.0)
        changed = np.flatnonzero((strength > 0) | (sign < 0))
        if not len(changed):
            return
        strength, sign = strength[changed], sign[changed]
        sway = strength * (2 * draws[changed, 2:].T - 1)
        gains = sign * (1 + sway[1]) * (1 + 0.3 * sway[2:5])
        means = np.array([cv2.mean(images[number])[:3] for number in changed.tolist()])
        result = np.empty((len(changed), 3, 4))
        matrix = np.multiply(gains.T[:, :, None], _GREY + (1 + sway[0])[:, None, None] * _COLOUR, result[:, :, :3])
        centre = np.where(sign < 0, 255.0, 0.0)[:, None] + means * (sign * (1 + 0.5 * sway[5]))[:, None]
        # Written out: a product of matrices may sum in another order where there are more of them.
        spread = matrix[:, :, 0] * means[:, :1] + matrix[:, :, 1] * means[:, 1:2] + matrix[:, :, 2] * means[:, 2:]
        result[:, :, 3] = centre - spread
        yield from zip(changed.tolist(), result, strict=True)

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


def _addressable(image: np.ndarray) -> np.ndarray:
    """The image, made smaller where its sides are longer than the mapping can address."""
    longest = max(image.shape)
    if longest <= _LONGEST_SIDE:
        return image
    rows, columns = (max(1, round(length * _LONGEST_SIDE / longest)) for length in image.shape[:2])
    return cv2.resize(image, (columns, rows))


def _rectangle_of_quadrilateral(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> _Projections:
    """The projective maps that take quadrilaterals to rectangles at the origin.

    Args:
        x: (4, n) the corners of the quadrilaterals: those that go to (0, 0), (width, 0), (width, height), (0, height).
        y: likewise.
        width: (n,) of the rectangles.
        height: likewise.

    Returns:
        The rows of n matrices (3, 3), each of three arrays (n,), by which (x, y, 1) is multiplied.
    """
    # From the unit square to the quadrilateral, after Heckbert (1989), then its inverse.
    x1, x2, x3 = x[1] - x[2], x[3] - x[2], x[0] - x[1] + x[2] - x[3]
    y1, y2, y3 = y[1] - y[2], y[3] - y[2], y[0] - y[1] + y[2] - y[3]
    area = x1 * y2 - x2 * y1
    g, h = (x3 * y2 - x2 * y3) / area, (x1 * y3 - x3 * y1) / area
    a, b, c = x[1] - x[0] + g * x[1], x[3] - x[0] + h * x[3], x[0]
    d, e, f = y[1] - y[0] + g * y[1], y[3] - y[0] + h * y[3], y[0]
    scale = 1 / (a * e - b * d)
    across, along = width * scale, height * scale
    return ((across * (e - f * h), across * (c * h - b), across * (b * f - c * e)),
            (along * (f * g - d), along * (a - c * g), along * (c * d - a * f)),
            (scale * (d * h - e * g), scale * (b * g - a * h), np.ones_like(g)))


def _places(projections: _Projections, box: Sequence[np.ndarray], wave: np.ndarray, width: int,
            height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in its source each pixel of the input comes from.

    Args:
        projections: of n images from the plane to the source, see :func:`_rectangle_of_quadrilateral`.
        box: left, top, right and bottom edge of what the input shows of the plane, each (n,).
        wave: (n, 33) how far the base line lies too low, along the word.
        width: of the input.
        height: likewise.

    Returns:
        Column and row of the source's pixels, each (n, height, width) float32.
    """
    left, top, right, bottom = box
    step_x, step_y = (right - left) / width, (bottom - top) / height
    # Between the places of the line, for each column; the last column lies at the last place.
    place = np.arange(width) * ((len(_LINE) - 1) / max(width - 1, 1))
    before = np.minimum(place.astype(np.intp), len(_LINE) - 2)
    part = place - before
    x = left[:, None] + step_x[:, None] * (np.arange(width) + 0.5)
    lift = wave[:, before] * (1 - part) + wave[:, before + 1] * part
    y = top[:, None] + step_y[:, None] * (np.arange(height) + 0.5)
    # Numerators and denominator are each a sum of something that depends on the column and something on the row.
    by_column, by_row = [], []
    for of_x, of_y, constant in projections:
        by_column.append(of_x[:, None] * x - of_y[:, None] * lift + constant[:, None])
        by_row.append(of_y[:, None] * y)
    for sums in (by_column, by_row):  # the middle of a pixel is at a half in the plane, whole in the source
        sums[:2] = [numerator - 0.5 * sums[2] for numerator in sums[:2]]
    source_x, source_y, divisor = (np.add(row.astype(np.float32)[:, :, None], column.astype(np.float32)[:, None])
                                   for column, row in zip(by_column, by_row, strict=True))
    np.divide(np.float32(1), divisor, divisor)
    source_x *= divisor
    source_y *= divisor
    return source_x, source_y
