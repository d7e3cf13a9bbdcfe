"""What predict.py says of an image that the rules for images may surprise somebody with."""
import numpy as np

from src.data import pillow_formats
from src.recogniser import Result, is_tall

_WITH_EXIF = (b"Exif\0\0", b"eXIf", b"EXIF")
_TIFF = (b"II*\0", b"MM\0*")
_UPRIGHT = 1
# An image at least so high in pixels that was read with little confidence is probably a photograph.
_LIKE_A_PHOTOGRAPH, _LITTLE = 300, 0.5


def remarks(data: bytes, image: np.ndarray, result: Result, rotated: bool) -> list[str]:
    """Sentences that follow the name of the image.

    Args:
        data: the bytes of its file.
        image: the same, decoded, ``(H, W, 3)`` uint8.
        result: what was read.
        rotated: it was read turned to both sides, too.
    """
    height, width = image.shape[:2]
    found = []
    if has_one_colour(image):
        found.append("has one colour all over, once what is transparent in it lies over white or black: there is "
                     "nothing to read")
    elif result.confidence < _LITTLE and height >= _LIKE_A_PHOTOGRAPH:
        found.append(f"is {width} x {height} pixels and was read with little confidence; is it a photograph? "
                     "--find_words finds its words")
    if is_tall(image) and not rotated and (result.unsure or len(result.text) > 2):
        found.append(f"is {width} x {height} pixels, much higher than wide; --rotate_tall reads words that are turned "
                     "on end")
    orientation = orientation_of(data)
    if orientation != _UPRIGHT:
        found.append(f"has an orientation tag ({orientation}), which is ignored, as in training: turn the image itself "
                     "where that is wrong")
    return found


def has_one_colour(image: np.ndarray) -> bool:
    """Whether all pixels of an image ``(H, W, 3)`` are alike."""
    first = image[:1, :1]
    return bool((image[:1] == first).all() and (image == first).all())  # the first row tells nearly always


def orientation_of(data: bytes) -> int:
    """The EXIF orientation tag of an image file, 1 to 8; 1 where it has none."""
    if not data.startswith(_TIFF) and not any(mark in data for mark in _WITH_EXIF):
        return _UPRIGHT  # without Pillow, which few images need
    return pillow_formats.orientation(np.frombuffer(data, np.uint8))
