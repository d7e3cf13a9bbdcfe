"""What Pillow reads better than OpenCV: GIF, the alpha of a TIFF, JPEG 2000, and the orientation tag.

OpenCV 4.11 has an OpenJPEG of 2022 inside, which damaged files can make end the process.
"""
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from src.common.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_GIF = (b"GIF87a", b"GIF89a")
_MOST_PIXELS = 1 << 25
_ORIENTATION, _UPRIGHT = 0x0112, 1


def is_jpeg2000(data: np.ndarray) -> bool:
    """Whether a file begins as one.

    Args:
        data: the bytes of the file, uint8.
    """
    return data[0] in (0, 0xFF) and data[:8].tobytes().startswith(_JPEG2000)


def is_gif(data: np.ndarray) -> bool:
    """Whether a file begins as one; OpenCV's wheels read none.

    Args:
        data: the bytes of the file, uint8.
    """
    return data[0] == _GIF[0][0] and data[:6].tobytes() in _GIF


def decode(data: np.ndarray) -> np.ndarray:
    """Decodes an image that has no transparency, or whose transparency does not count.

    Args:
        data: the bytes of the file, uint8.

    Returns:
        (H, W, 3) uint8, blue, green, red; of 16 bits the upper 8.

    Raises:
        DataError: it is damaged, or has too many pixels.
    """
    with _opened(data) as image:
        if image.mode.startswith("I"):
            return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def colours_and_alpha(data: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Colours (H, W, 3) uint8 BGR and alpha (H, W) uint8 of an image; None where it has no alpha.

    Raises:
        DataError: it is damaged, or has too many pixels.
    """
    with _opened(data) as image:
        if not {"A", "a"} & {*image.getbands()} and "transparency" not in image.info:
            return None
        pixels = np.asarray(image.convert("RGBA"))
    return np.ascontiguousarray(pixels[..., 2::-1]), pixels[..., 3]


def orientation(data: np.ndarray) -> int:
    """The EXIF orientation tag of an image, 1 to 8; 1 where it has none that can be read.

    Args:
        data: the bytes of the file, uint8.
    """
    try:
        with _opened(data) as image:
            value = image.getexif().get(_ORIENTATION, _UPRIGHT)
    except DataError:
        return _UPRIGHT  # OpenCV may have read it all the same
    return value if value in range(1, 9) else _UPRIGHT


def bits_of_tiff(data: np.ndarray) -> int:
    """Bits of a sample of a TIFF; 0 where nobody can tell.

    Args:
        data: the bytes of the file, uint8.
    """
    from PIL import TiffImagePlugin  # here, as below: only for what cannot be read

    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8].tobytes())
        file = io.BytesIO(data.tobytes())
        file.seek(directory.next)
        directory.load(file)
        return int(directory[TiffImagePlugin.BITSPERSAMPLE][0])
    except Exception:  # whatever broken bytes lead it to
        return 0


@contextmanager
def _opened(data: np.ndarray) -> Iterator["Image.Image"]:
    from PIL import Image  # here: hardly any image needs it, and a program that reads one word should start at once

    try:
        with Image.open(io.BytesIO(data.tobytes())) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(f"an image of {image.width} x {image.height} pixels is too large: make it smaller")
            yield image
    except DataError:
        raise
    except Exception as error:  # Pillow raises whatever the broken bytes lead it to, from OSError to struct.error
        raise DataError(f"not a readable image ({data.size} bytes): {' '.join(str(error).split())}") from error
