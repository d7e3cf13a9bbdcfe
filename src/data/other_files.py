"""What a file is that cannot be read as an image: other kinds of picture, and what takes their place by accident."""
import re

import numpy as np

from src.data import pillow_formats

_SAVE = "save it as PNG or JPEG"
_TIFF = (b"II*\0", b"MM\0*")
# How a file begins, what it is, and what to do.
_KINDS = (
    (rb"version https://git-lfs", "a pointer of Git LFS in the place of the file", "run `git lfs pull`"),
    (rb"\s*(?:<!doctype html|<html)", "a web page", "load the image itself down"),
    (rb"\s*(?:<\?xml|<svg)", "SVG or XML", _SAVE),
    (rb"%PDF", "PDF", _SAVE),
    (rb"....ftypavi[fs]", "AVIF", _SAVE),
    (rb"....ftyp(?:hei|mif1|msf1|hev)", "HEIC", _SAVE),
    (rb"\0\0\x01\0", "ICO", _SAVE),
    (rb"8BPS", "a file of Photoshop", _SAVE),
    (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "PCX", _SAVE),
    (rb"PK\x03\x04|\x1f\x8b", "an archive", "unpack it"),
)


def kind_of(data: np.ndarray) -> str:
    """What the file is and what to do, for the end of a sentence; '' where it is nothing that is known.

    Args:
        data: the bytes of the file, uint8.
    """
    start = data[:256].tobytes()
    if start[:4] in _TIFF:
        bits = pillow_formats.bits_of_tiff(data)
        return f"it is a TIFF of {bits} bits a sample; save it with 8 or 16" if bits not in (0, 1, 8, 16) else ""
    return next((f"it is {kind}; {advice}" for pattern, kind, advice in _KINDS
                 if re.match(pattern, start, re.IGNORECASE | re.DOTALL)), "")
