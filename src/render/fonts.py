"""Finding the fonts to draw with: packaged and system faces, checked glyph by glyph and weighed by their looks."""
import os
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFont

from src.common.captions import PACKAGE_PREFIX, packaged_folders
from src.common.errors import DataError
from src.common.writing_order import has_right_to_left

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SUFFIXES = (".ttf", ".otf", ".ttc")
SYSTEM_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts",
                  "/System/Library/Fonts", "/Library/Fonts", "C:/Windows/Fonts")
# Plain faces of the font packages of requirements.txt, for the easy level: what it draws must not depend on the
# machine's own fonts.
CLEAN_FAMILIES = ("arimo", "roboto", "open sans", "montserrat", "nunito", "arvo", "pt serif", "libre baskerville")
WEIGHTS = (300, 400, 700, 900)
CHECK_SIZE = 40
DECORATIVE = 0.61
UNREADABLE = 0.4
# Parts of the names of script, handwritten, stencil and pixel faces; others are known by their shapes.
FANCY = ("brush", "caveat", "chancery", "comic", "cursive", "dancing", "fraktur", "hand", "kalam", "lobster", "marker",
         "oleo", "ops one", "pacifico", "pixel", "press start", "script", "stencil", "yellowtail")
_SAMPLE = "aegnrstABEGKMRS258"
_SFNT = (b"\0\1\0\0", b"OTTO", b"true")  # what a TrueType or OpenType font begins with
_MISSING = "\U0010fffe\uffff"


@dataclass(frozen=True)
class FontFace:
    """One face: a font file, the face's number in it and, for a variable font, its axis values.

    Attributes:
        path: font file.
        index: number of the face in a collection file.
        axes: values of the variation axes, empty for a static font.
        family: family name as the file gives it.
        style: style name, with the weight for a variable font.
        stroke: stem thickness relative to the height of ``H``.
        legibility: 0-1, likeness of its letters to plain print.
        unicase: its small letters look like capitals, so that words in it can only be labelled in upper case.
        weight: how often it is picked, relative to the others.
        kerned: its file has a table of kerning pairs; most newer fonts have none that is read here.
    """

    path: str
    index: int
    axes: tuple[float, ...]
    family: str
    style: str
    stroke: float = 0.0
    legibility: float = 1.0
    unicase: bool = False
    weight: float = 1.0
    kerned: bool = True

    @property
    def decorative(self) -> bool:
        """Whether its letters are far from plain print."""
        return self.legibility < DECORATIVE or any(part in self.family.lower() for part in FANCY)

    @property
    def slanted(self) -> bool:
        """Whether it is an italic or oblique face."""
        return "italic" in self.style.lower() or "oblique" in self.style.lower()

    @property
    def name(self) -> str:
        """Family and style, the same on every machine."""
        return f"{self.family} {self.style}"


def open_face(face: FontFace, size: int, shaping: bool = False) -> ImageFont.FreeTypeFont:
    """Opens a face at a size in pixels per em.

    Args:
        face: the face.
        size: pixels per em.
        shaping: letters join and change places as their script wants; otherwise one glyph per character, kerned by
            pairs.
    """
    engine = ImageFont.Layout.RAQM if shaping else ImageFont.Layout.BASIC
    font = ImageFont.truetype(face.path, size, face.index, layout_engine=engine)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


def has_kern_table(path: str | os.PathLike[str], index: int = 0) -> bool:
    """Whether a font file has a ``kern`` table, the only one that FreeType kerns by (OpenType specification, "otff").

    Args:
        path: font file.
        index: number of the face in a collection file.

    Returns:
        ``True`` also for a file of another kind (WOFF, Type 1), which may have pairs of its own.

    Raises:
        OSError: the file cannot be read.
        ValueError: it ends inside its table directory.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            if head[:4] == b"ttcf":
                file.seek(12 + 4 * index)
                file.seek(*struct.unpack(">I", file.read(4)))
                head = file.read(12)
            if head[:4] not in _SFNT:
                return True
            tables, = struct.unpack(">H", head[4:6])
            tags = [tag for tag, _ in struct.iter_unpack(">4s12s", file.read(16 * tables))]
            if len(tags) < tables:
                raise struct.error
            return b"kern" in tags
    except struct.error:
        raise ValueError(f"{path} ends inside its table directory") from None


def glyph_masks(font: ImageFont.FreeTypeFont, characters: Sequence[str]) -> list[tuple[np.ndarray, int, int]]:
    """Rasterises characters one by one, or whole words where the font shapes them.

    Returns:
        For each of them the coverage (h, w) uint8 cut to the ink (empty for a blank), and the position (x, y) of its
        upper left pixel relative to the pen on the baseline, y downwards.
    """
    # Left to itself, raqm sets a word that begins with a Latin letter from left to right, whatever follows.
    ways = ["rtl" if font.layout_engine == ImageFont.Layout.RAQM and has_right_to_left(character) else None
            for character in characters]
    drawn = [font.getmask2(character, "L", direction=way, anchor="ls")
             for character, way in zip(characters, ways, strict=True)]
    # The way from Pillow's pixels to NumPy's costs the same for one glyph as for many: they go side by side.
    row = Image.new("L", (sum(core.size[0] for core, _ in drawn), max((core.size[1] for core, _ in drawn), default=0)))
    boxes, pen = [], 0
    for core, (left, top) in drawn:
        width, height = core.size
        box = core.getbbox()
        if box is not None:
            row.im.paste(core, (pen, 0, pen + width, height))
        boxes.append((pen, left, top, box))
        pen += width
    pixels = np.asarray(row)
    return [(np.zeros((0, 0), np.uint8), 0, 0) if box is None else
            (pixels[box[1]:box[3], pen + box[0]:pen + box[2]].copy(), left + box[0], top + box[1])
            for pen, left, top, box in boxes]


def covers(font: ImageFont.FreeTypeFont, characters: Iterable[str]) -> bool:
    """Whether a font draws every character as something of its own, neither blank nor its "missing" box."""
    return _masks(font, characters) is not None


def _masks(font: ImageFont.FreeTypeFont, characters: Iterable[str]) -> dict[str, np.ndarray] | None:
    """Rasterises characters; ``None`` where the font lacks one of them."""
    wanted = "".join(characters)
    found = [mask for mask, _, _ in glyph_masks(font, _MISSING + wanted)]
    missing = found[:len(_MISSING)]
    masks = dict(zip(wanted, found[len(_MISSING):], strict=True))
    for mask in masks.values():
        if not mask.size or any(mask.shape == other.shape and np.array_equal(mask, other) for other in missing):
            return None
    return masks


def font_files(folders: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Lists the font files below some folders (a file may be named as well), sorted.

    Raises:
        DataError: one of them does not exist.
    """
    found: set[Path] = set()
    for folder in folders:
        path = Path(folder).expanduser()
        if path.is_file():
            found.add(path)
        elif path.is_dir():
            found.update(item for item in path.rglob("*") if item.suffix.lower() in SUFFIXES and item.is_file())
        else:
            raise DataError(f"font folder {path} does not exist: give a folder with {', '.join(SUFFIXES)} files")
    return sorted(found)


def find_fonts(folders: Sequence[str | os.PathLike[str]] | None = None, clean: bool = False) -> list[FontFace]:
    """Finds the faces to draw words with.

    Args:
        folders: folders (or font files) to look in; ``None`` takes the installed font packages and, unless ``clean``,
            the folders of the system.
        clean: only the plain faces of the easy level; where the font packages are missing, the most legible found.

    Returns:
        Usable faces in an order that depends on their names only, with the weights of :class:`FontFace` set.

    Raises:
        DataError: a given folder does not exist, or no face has all of [A-Za-z0-9].
    """
    key = None if folders is None else tuple(str(folder) for folder in folders)
    return list(_find_fonts(key, clean))


@lru_cache(maxsize=8)
def _find_fonts(folders: tuple[str, ...] | None, clean: bool) -> tuple[FontFace, ...]:
    places = folders
    if folders is None:
        packaged = packaged_folders()
        if clean and packaged:
            names = {PACKAGE_PREFIX + family.replace(" ", "_") for family in CLEAN_FAMILIES}
            places = tuple(folder for folder in packaged if Path(folder).parent.name in names)
        if not clean or not places:
            system = [folder for folder in SYSTEM_FOLDERS if Path(folder).expanduser().is_dir()]
            places = (*packaged, *system)
    faces: dict[str, FontFace] = {}
    for path in font_files(places or ()):
        for face in _faces_of(path, clean):
            faces.setdefault(face.name, face)
    usable = [face for face in faces.values() if face.legibility >= UNREADABLE]
    if clean:
        usable = _clean(usable)
    if not usable:
        where = ", ".join(places or SYSTEM_FOLDERS)
        raise DataError(f"no font with the characters A-Z, a-z and 0-9 found in {where}: "
                        "install the font packages of requirements.txt or name a folder with --fonts")
    return tuple(_weigh(sorted(usable, key=lambda face: face.name)))


def _clean(faces: list[FontFace]) -> list[FontFace]:
    upright = [face for face in faces if not face.unicase and not face.slanted and 0.09 <= face.stroke <= 0.26]
    chosen = [face for face in upright if face.family.lower() in CLEAN_FAMILIES]
    return chosen or sorted(upright, key=lambda face: (-face.legibility, face.name))[:12]


def _faces_of(path: Path, clean: bool) -> list[FontFace]:
    """Opens one file and returns its usable faces; a file that is no usable font gives none."""
    found = []
    index = 0
    while index < 16:
        try:
            font = ImageFont.truetype(str(path), CHECK_SIZE, index, layout_engine=ImageFont.Layout.BASIC)
            family, style = font.getname()
            bare = FontFace(str(path), index, (), family or path.stem, style or "Regular",
                            kerned=has_kern_table(path, index))
            for axes, label in _instances(font, clean):
                # A variable font's style names its default weight, which is not the one set here.
                slant = "Italic " if "italic" in bare.style.lower() else ""
                face = replace(bare, axes=axes, style=slant + label) if label else replace(bare, axes=axes)
                examined = _examine(face)
                if examined is not None:
                    found.append(examined)
        except (OSError, ValueError, SyntaxError):
            break
        index += 1
        if path.suffix.lower() != ".ttc":
            break
    return found


def _instances(font: ImageFont.FreeTypeFont, clean: bool) -> list[tuple[tuple[float, ...], str]]:
    """Lists the axis values to use of a variable font: some weights, and the narrow width where there is one."""
    try:
        axes = font.get_variation_axes()
    except OSError:
        return [((), "")]
    names = [axis["name"].decode("latin-1").lower() if isinstance(axis["name"], bytes) else str(axis["name"]).lower()
             for axis in axes]
    defaults = [float(axis["default"]) for axis in axes]
    variants: list[tuple[tuple[float, ...], str]] = []
    for weight in ((400, 700) if clean else WEIGHTS):
        for narrow in (False, True):
            values, label = list(defaults), ""
            for position, (name, axis) in enumerate(zip(names, axes, strict=True)):
                if name == "weight":
                    values[position] = float(min(max(weight, axis["minimum"]), axis["maximum"]))
                    label += f"w{values[position]:.0f}"
                elif name == "width" and narrow and not clean:
                    values[position] = float(max(axis["minimum"], 75))
                    label += f"n{values[position]:.0f}"
            if all(values != list(other) for other, _ in variants):
                variants.append((tuple(values), label))
    return variants


def _examine(face: FontFace) -> FontFace | None:
    """Checks a face's glyphs and measures its looks; ``None`` where it cannot draw [A-Za-z0-9]."""
    masks = _masks(open_face(face, CHECK_SIZE), CHARACTERS)
    if masks is None:
        return None
    if len({(mask.shape, mask.tobytes()) for mask in masks.values()}) < 30:
        return None  # one picture for many letters: a placeholder or symbol font
    score = float(np.mean([_likeness(character, masks[character]) for character in _SAMPLE]))
    capital = masks["H"]
    run = np.sort((capital > 127).sum(axis=1))[len(capital) // 2]
    alike = sum(_shape(masks[low]).dot(_shape(masks[low.upper()])) > 0.89 for low in "abdeghnqrt")
    return replace(face, stroke=float(run) / 2 / max(1, capital.shape[0]), legibility=score, unicase=alike >= 7)


def _shape(mask: np.ndarray) -> np.ndarray:
    """Returns a glyph's shape as a unit vector: resized to one size, blurred, mean removed."""
    small = cv2.resize(mask, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (5, 5), 1.0, borderType=cv2.BORDER_CONSTANT).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


@lru_cache(maxsize=1)
def _references() -> dict[str, np.ndarray]:
    """Shapes (6, 256) of the plain font inside Pillow for comparison: three weights, upright and slanted."""
    font = ImageFont.load_default(CHECK_SIZE)
    shapes = {}
    for character in _SAMPLE:
        mask = cv2.copyMakeBorder(glyph_masks(font, character)[0][0], 5, 5, 14, 14, cv2.BORDER_CONSTANT, value=0)
        variants = []
        for thickness in (1, 3, 5):
            bold = cv2.dilate(mask, np.ones((thickness, thickness), np.uint8))
            for slant in (0.0, 0.22):
                matrix = np.array([[1, -slant, slant * len(mask) / 2], [0, 1, 0]], np.float32)
                turned = cv2.warpAffine(bold, matrix, (bold.shape[1], bold.shape[0]))
                x, y, width, height = cv2.boundingRect(turned)
                variants.append(_shape(turned[y:y + height, x:x + width]))
        shapes[character] = np.array(variants)
    return shapes


def _likeness(character: str, mask: np.ndarray) -> float:
    return float((_references()[character] @ _shape(mask)).max())


def _weigh(faces: list[FontFace]) -> list[FontFace]:
    """Sets the weights: a family with many faces counts little more than one with a single face."""
    sizes = Counter(face.family for face in faces)
    return [replace(face, weight=sizes[face.family] ** -0.6 * (0.5 if face.slanted else 1.0)) for face in faces]
