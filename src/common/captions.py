"""Lines of text on pictures for people: OpenCV's font for ASCII, one of the font packages for other letters."""
import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Font packages of requirements.txt: one per family, each with its files in a folder `files`.
PACKAGE_PREFIX = "fontpkg_"
_FIRST = PACKAGE_PREFIX + "roboto"  # plain, with Latin, Greek and Cyrillic letters; then the others by name
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PIXELS = 28  # of an em, for OpenCV's scale of 1
_MISSING = "\uffff"  # no character: a font draws its box for what it lacks


def packaged_folders() -> list[str]:
    """Lists the folders of the installed font packages (``fontpkg-*``), sorted by package."""
    anchor = importlib.util.find_spec("fontpkg")
    if anchor is None or anchor.origin is None:
        return []
    site = Path(anchor.origin).parent.parent
    return [str(item / "files") for item in sorted(site.glob(PACKAGE_PREFIX + "*")) if (item / "files").is_dir()]


def write_caption(picture: np.ndarray, text: str, place: tuple[int, int], scale: float, colour: tuple[int, int, int],
                  room: int) -> None:
    """Writes one line, smaller where it would be too wide; letters that no installed font has become ``?``.

    Args:
        picture: (H, W, 3) uint8 BGR, written on.
        text: the line.
        place: left end of its base line, in pixels.
        scale: as of ``cv2.putText``.
        colour: BGR.
        room: pixels it may be wide.
    """
    path = None if text.isascii() else font_file(text)
    if path:
        _write_with_font(picture, text, place, path, round(scale * _PIXELS), colour, room)
        return
    shown = text.encode("ascii", "replace").decode()
    width = cv2.getTextSize(shown, _FONT, scale, 1)[0][0]
    cv2.putText(picture, shown, place, _FONT, min(scale, scale * room / max(width, 1)), colour, 1, cv2.LINE_AA)


def _write_with_font(picture: np.ndarray, text: str, place: tuple[int, int], path: str, size: int,
                     colour: tuple[int, int, int], room: int) -> None:
    font = ImageFont.truetype(path, size)
    if font.getlength(text) > room:
        font = ImageFont.truetype(path, max(1, int(size * room / font.getlength(text))))
    canvas = Image.fromarray(picture)
    ImageDraw.Draw(canvas).text(place, text, fill=colour, font=font, anchor="ls")  # BGR in, BGR out
    picture[:] = np.asarray(canvas)


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font for ASCII, else one of the installed font packages that has the text, if any does."""
    path = None if text.isascii() else font_file(text)
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def font_file(text: str) -> str | None:
    """A file of the installed font packages that has every character of a text; None where none has."""
    return _file_with(frozenset(c for c in text if not c.isspace()))


@cache
def _file_with(characters: frozenset[str]) -> str | None:
    folders = sorted(packaged_folders(), key=lambda folder: (Path(folder).parent.name != _FIRST, folder))
    for path in (str(path) for folder in folders for path in sorted(Path(folder).glob("*.[to]tf"))):
        if "Italic" not in path and _has_all(ImageFont.truetype(path, _PIXELS), characters):
            return path
    return None


def _has_all(font: ImageFont.FreeTypeFont, characters: frozenset[str]) -> bool:
    lacking = _drawn(font, _MISSING)
    return all(_drawn(font, character) not in (lacking, None) for character in characters)


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes] | None:
    """Size and levels of a character as a font draws it; None where that is nothing."""
    mask = font.getmask(character)
    return (mask.size, bytes(mask)) if mask.getbbox() else None
