"""Images with transparency: what stands behind the letters, by one rule in whole numbers, as in the C++ program."""
import struct
from collections.abc import Iterator

import cv2
import numpy as np

from src.data import pillow_formats

PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_TIFF = (b"II*\0", b"MM\0*")
_AS_STORED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_GREY, _ALPHA_KINDS = 0, (4, 6)  # colour types of PNG
_PIXELS_AT_ONCE = 1 << 20  # the arithmetic below takes some 50 bytes a pixel
_HALF_WHITE = 127_500  # luminance in thousandths of a grey level


def may_be_transparent(data: np.ndarray) -> bool:
    """Whether the head of a file says that it may hold transparency; cheap, for it is asked of every image.

    Args:
        data: the bytes of the file, uint8.
    """
    start = data[:32].tobytes()
    if start.startswith(PNG):
        return len(start) > 25 and (start[25] in _ALPHA_KINDS or _colour_key(data) is not None)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return start[12:16] == b"VP8L" or (start[12:16] == b"VP8X" and bool(start[20] & 16))
    return start[:4] in _TIFF  # which says it deep inside


def png_chunks(png: np.ndarray) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of data of the chunks of a PNG up to its end chunk.

    A chunk is 4 bytes of length, 4 of kind, its data and 4 of checksum; the place is that of the length. The last one
    may claim to reach beyond the end of the file.
    """
    place = len(PNG)
    while place + 8 <= len(png):
        size, kind = _CHUNK.unpack_from(png, place)
        yield kind, place, size
        if kind == b"IEND":
            return
        place += 12 + size


def _colour_key(png: np.ndarray) -> bytes | None:
    """The tRNS chunk of a PNG, ahead of its pixels: the alpha of palette entries, or the transparent colour."""
    for kind, place, size in png_chunks(png):
        if kind == b"tRNS":
            return png[place + 8:place + 8 + size].tobytes()
        if kind == b"IDAT":
            break
    return None


def split(data: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Colours and alpha of an image file; None where it has no alpha.

    Args:
        data: the bytes of a file that OpenCV can decode, uint8.

    Returns:
        (H, W, 3) uint8 BGR and (H, W) uint8, 255 where nothing shows through.
    """
    if data[:4].tobytes() in _TIFF:  # OpenCV hands its colours out multiplied by the alpha
        return pillow_formats.colours_and_alpha(data)
    image = cv2.imdecode(data, _AS_STORED)
    if image is None:
        return None
    if image.ndim == 3 and image.shape[2] == 4:
        if image.dtype == np.uint16:
            image >>= 8  # in place: it may be half a gigabyte
            image = image.astype(np.uint8)
        return (image[..., :3], image[..., 3]) if image.dtype == np.uint8 else None
    key = _colour_key(data) if image.ndim == 2 and data[:8].tobytes() == PNG and data[25] == _GREY else None
    if key is None or len(key) < 2:
        return None
    level, depth = int.from_bytes(key[:2], "big"), int(data[24])
    if depth < 8:  # OpenCV has spread the levels to 0..255
        level = level * 255 // ((1 << depth) - 1)
    grey = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.where(image == level, 0, 255).astype(np.uint8)


def lay_over_ground(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lays an image over white, or over black where what is visible of it is light.

    Transparent pictures of words are letters cut out for a page. Dark ones are meant for white paper; light ones would
    not be seen on it. Light means: the mean luminance of the pixels, weighted with their alpha, is above half of white.

    Args:
        image: (H, W, 3) uint8 BGR.
        alpha: (H, W) uint8.

    Returns:
        (H, W, 3) uint8: ``(colour * alpha + ground * (255 - alpha) + 127) // 255``.
    """
    rows = max(1, _PIXELS_AT_ONCE // alpha.shape[1])
    parts = [slice(row, row + rows) for row in range(0, len(alpha), rows)]
    light = weight = 0
    for part in parts:
        weights = alpha[part].astype(np.int32)
        blue, green, red = (image[part][..., channel].astype(np.int32) for channel in range(3))
        luminance = 114 * blue + 587 * green + 299 * red  # in thousandths
        light += int((luminance * weights).sum(dtype=np.int64))
        weight += int(weights.sum(dtype=np.int64))
    ground = 0 if light > _HALF_WHITE * weight else 255
    result = np.empty(image.shape, np.uint8)
    for part in parts:
        share = alpha[part].astype(np.int32)[..., None]
        result[part] = (image[part] * share + ground * (255 - share) + 127) // 255
    return result
