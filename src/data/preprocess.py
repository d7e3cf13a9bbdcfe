"""The one path from image bytes to network input: train, eval, ONNX and predict use it, the C++ app equals it."""
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from src.common.errors import ConfigError, DataError
from src.data import pillow_formats, transparency
from src.data.options import ImageOptions
from src.data.other_files import kind_of

_TOO_MANY = "CV_IO_MAX_IMAGE_PIXELS"  # in OpenCV's message; src/__init__.py sets the limit

# IGNORE_ORIENTATION: readers disagree on the EXIF orientation tag (the model zoo's PIL loader and most C++ code ignore
# it), word crops do not carry one that means anything, and one rule for all programs is what makes their results equal.
_DECODE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

# What opening a path can answer when that one path is at fault. Anything else (too many open files, input/output
# error) is trouble of the machine, not of one image, and must not be taken for a corrupted image.
_PATH_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}


# From this ratio of width to height on an image is long. With the weights that come with the program, at 200 pixels
# instead of 100, 56 of the 78 such validation words were right instead of 43, no other of them wrong; below it
# did not pay (docs/results.md).
LONG_RATIO = 7

# Columns of an input; wider ones are mistakes, and would fill the memory.
WIDEST = 1 << 15
# Widths for keep_ratio in terms of image_width: 64, 100, 160, 256 and 512 for 100.
_BUCKETS = (0.64, 1, 1.6, 2.56, 5.12)


@dataclass(frozen=True)
class InputSpec:
    """What the network eats: BGR, stretched (``cv2.INTER_LINEAR``) to the size, ``(x - mean) / scale``, NCHW.

    With ``widths`` the aspect ratio is kept instead: an image is as wide as its height makes it, and padded on the
    right, by repeating its last column, to the next of these widths. They are few because MindSpore compiles the
    network for each. An image wider than the last is narrowed to it.

    With ``long_width`` long images are stretched to another width than the others.

    Attributes:
        height: rows of the input in pixels.
        width: columns of the input in pixels, where the ratio is not kept.
        mean: subtracted from every channel, in grey levels.
        scale: divides every channel, in grey levels.
        widths: columns of the input where the ratio is kept, rising; empty: it is not kept.
        long_width: columns of the input for images that are at least ``LONG_RATIO`` times as wide as high; 0: they are
            as all others.
    """

    height: int = 32
    width: int = 100
    mean: float = 127.5
    scale: float = 127.5
    widths: tuple[int, ...] = ()
    long_width: int = 0

    def __post_init__(self):
        if self.height < 1 or self.width < 1:
            raise ConfigError(f"image size {self.height} x {self.width} (image_height x image_width) must be positive")
        if max(self.all_widths) > WIDEST:
            raise ConfigError(f"an input of {max(self.all_widths)} columns (image_width, bucket_widths, long_width) is "
                              f"more than {WIDEST}")
        if not self.scale:
            raise ConfigError("the scale of the input cannot be 0")
        if list(self.widths) != sorted(set(self.widths)) or (self.widths and self.widths[0] < 5):
            raise ConfigError(f"bucket_widths {', '.join(map(str, self.widths))} must rise and begin with 5 or more")
        if self.long_width and (self.widths or self.long_width <= self.width):
            raise ConfigError(f"long_width {self.long_width} must be more than image_width, {self.width}, and does not "
                              "go with keep_ratio, which has a width for every image: leave it out")

    @classmethod
    def from_config(cls, config: object) -> "InputSpec":
        """What the configuration says.

        Args:
            config: any object; what it lacks has the value of default_config.yaml.

        Raises:
            ConfigError: a value that cannot be.
        """
        options = ImageOptions.from_config(config)
        spec = cls(options.height, options.width, long_width=options.long_width)
        if not options.keep_ratio:
            return spec
        if not options.bucket_widths.strip():
            widths = {max(8, round(spec.width * factor / 4) * 4) for factor in _BUCKETS}
            return replace(spec, widths=tuple(sorted(widths)))
        try:
            return replace(spec, widths=tuple(int(width) for width in options.bucket_widths.split(",")))
        except ValueError as error:
            raise ConfigError(f"bucket_widths {options.bucket_widths!r}: expected whole numbers with commas, such as "
                              "64, 100, 160") from error

    @property
    def keep_ratio(self) -> bool:
        """The aspect ratio of the images is kept."""
        return bool(self.widths)

    @property
    def all_widths(self) -> tuple[int, ...]:
        """The columns that inputs have, rising."""
        return self.widths or (self.width, *([self.long_width] if self.long_width else []))

    @property
    def largest_width(self) -> int:
        """Columns of the widest input."""
        return self.all_widths[-1]

    def width_of(self, image: np.ndarray) -> int:
        """Columns that an image is resized to, before padding."""
        if self.keep_ratio:
            return min(self.fitted_width(image), self.largest_width)
        is_long = self.long_width and image.shape[1] >= LONG_RATIO * image.shape[0]
        return self.long_width if is_long else self.width

    def fitted_width(self, image: np.ndarray) -> int:
        """Columns that an image has when its height is that of the input and its ratio is kept."""
        return max(1, round(self.height * image.shape[1] / image.shape[0]))

    def bucket(self, width: int) -> int:
        """The width to which an image of that width is padded, or narrowed."""
        return next((bucket for bucket in self.all_widths if bucket >= width), self.largest_width)


def width_for_steps(steps: int) -> int:
    """The least width of which the network makes that many CTC steps."""
    return 4 * steps + 1


def decode_image(data: bytes | np.ndarray) -> np.ndarray:
    """Decodes PNG, JPEG, BMP, GIF, WebP, TIFF, ... to 8-bit BGR.

    Grey, palette and 1-bit images are spread to three channels, 16 bits become the upper 8, of an animation the first
    image is taken, and the EXIF orientation tag is ignored. What is transparent is laid over white, or over black
    where the visible part is light (see ``src.data.transparency``); the fourth byte of a BMP is not taken for alpha.

    Args:
        data: the bytes of the file, as ``bytes`` or a uint8 array.

    Returns:
        (H, W, 3) uint8, channels in the order blue, green, red.

    Raises:
        DataError: no bytes, not an image, or a truncated one.
    """
    buffer = data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    if not buffer.size:
        raise DataError("the image is empty (0 bytes)")
    if buffer[0] == transparency.PNG[0] and buffer[:8].tobytes() == transparency.PNG:
        buffer = _checked_png(buffer)
    if pillow_formats.is_jpeg2000(buffer) or pillow_formats.is_gif(buffer):
        parts = pillow_formats.colours_and_alpha(buffer)
        return transparency.lay_over_ground(*parts) if parts else pillow_formats.decode(buffer)
    try:
        image = cv2.imdecode(buffer, _DECODE_FLAGS)
    except cv2.error as error:
        if _TOO_MANY in str(error.err):
            raise DataError("the image has more pixels than are decoded (33,554,432 unless the environment variable "
                            "OPENCV_IO_MAX_IMAGE_PIXELS says otherwise): make it smaller") from error
        raise DataError(f"not a readable image ({buffer.size} bytes): {error.err or error}") from error
    if image is None or not image.size:
        kind = kind_of(buffer)
        if kind:
            raise DataError(f"not a readable image ({buffer.size} bytes): {kind}")
        raise DataError(f"not a readable image, or a truncated one ({buffer.size} bytes)")
    if transparency.may_be_transparent(buffer):
        parts = transparency.split(buffer)
        if parts is not None and parts[1].min() < 255:
            return transparency.lay_over_ground(*parts)
    return image


def _checked_png(png: np.ndarray) -> np.ndarray:
    """The bytes of a PNG without its iCCP chunk: nothing looks at it, but libpng complains of many in the terminal.

    Raises:
        DataError: a chunk reaches beyond the end of the file. OpenCV 4.11 takes as much memory as it claims to have, up
            to 4 GiB, and some 15 s, before it gives up.
    """
    profile, end, kind, size = None, len(transparency.PNG), b"", 0
    for kind, place, size in transparency.png_chunks(png):
        end = place + 12 + size
        if kind == b"iCCP" and profile is None:
            profile = place, end
    # Behind the last chunk may be a part of another one's length. The end chunk holds nothing,
    # and may lack its checksum.
    if size if kind == b"IEND" else end != len(png):
        raise DataError(f"not a readable image, or a truncated one ({len(png)} bytes)")
    return np.concatenate([png[:profile[0]], png[profile[1]:]]) if profile else png


def read_bytes(path: str | bytes | os.PathLike) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: the file is missing or may not be read; the message names it.
        OSError: trouble of the machine that has nothing to do with this file.
    """
    try:
        # Plain system calls take half the time of open(): at 20,000 images a second it shows.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            data = os.read(handle, 1 << 16)
            while more := os.read(handle, 1 << 20):
                data += more
            return data
        finally:
            os.close(handle)
    except ValueError as error:
        raise DataError(f"not a path: {os.fsdecode(path)!r}") from error
    except OSError as error:
        if error.errno not in _PATH_ERRORS:
            raise
        name = os.path.normpath(os.fsdecode(path)) if path else "''"
        raise DataError(f"{name}: cannot be read: {error.strerror}") from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as :func:`decode_image` does; (H, W, 3) uint8 BGR.

    Raises:
        DataError: the file cannot be read or is not an image; the message names it.
    """
    data = read_bytes(path)
    try:
        return decode_image(data)
    except DataError as error:
        raise DataError(f"{os.fsdecode(path)}: {error}") from error


def resize(image: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Stretches an image to the input size, bilinear between pixel centres, without antialiasing.

    Where the ratio is kept, to the height of the input and at most its largest width; padding is up to ``to_batch``.

    Args:
        image: (H, W, 3) uint8.
        spec: the input of the network.

    Returns:
        (height, width, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise DataError(f"expected an (H, W, 3) uint8 image, got {image.dtype} of shape {image.shape}")
    width = spec.width_of(image)
    if image.shape[:2] == (spec.height, width):
        return image
    return cv2.resize(image, (width, spec.height), interpolation=cv2.INTER_LINEAR)


def to_batch(images: Sequence[np.ndarray], spec: InputSpec, least_width: int = 1) -> np.ndarray:
    """Decoded images, of any sizes, to a network input.

    Args:
        images: N arrays (H, W, 3) uint8, each of its own size.
        spec: the input of the network.
        least_width: columns the input has at least, where the ratio is kept (no more than the largest width).

    Returns:
        (N, 3, height, width) float32, C-contiguous; where the ratio is kept, the width is that of ``spec.widths`` which
        the widest image needs.
    """
    return normalise(to_planes([resize(image, spec) for image in images], spec, least_width), spec)


def to_planes(resized: Sequence[np.ndarray], spec: InputSpec, least_width: int = 1) -> np.ndarray:
    """As :func:`to_batch`, of what :func:`resize` gave and still in grey levels; (N, 3, height, width) uint8."""
    width = resized[0].shape[1] if resized else spec.width
    if spec.keep_ratio:
        width = spec.bucket(max([least_width, *(image.shape[1] for image in resized)]))
    elif any(image.shape[1] != width for image in resized):
        raise ValueError("with long_width the images of a batch must have one width")
    planes = np.empty((len(resized), 3, spec.height, width), np.uint8)
    for image, planes_of_image in zip(resized, planes, strict=True):
        if image.shape[1] < width:
            image = cv2.copyMakeBorder(image, 0, 0, 0, width - image.shape[1], cv2.BORDER_REPLICATE)
        # Splitting bytes and converting the batch once costs half of blobFromImages and a tenth of a float transpose.
        cv2.split(image, list(planes_of_image))
    return planes


def normalise(planes: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Grey levels (N, 3, height, width) uint8 to the network input, float32."""
    batch = planes.astype(np.float32)
    batch -= np.float32(spec.mean)
    batch *= np.float32(1 / spec.scale)
    return batch
