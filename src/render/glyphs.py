"""Glyph masks cached per face and size, and words composed from them."""
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from PIL.ImageFont import FreeTypeFont

from src.render.fonts import CHARACTERS, FontFace, covers, glyph_masks, open_face
from src.render.shaping import SHAPED

TIERS = (16, 26, 44, 72)  # sizes in pixels per em that glyphs are rasterised at; larger words are enlarged a little
_UNIT = 44  # one of them: the extent of a word and the kerning are taken from it


@dataclass(frozen=True, slots=True)
class Glyph:
    """One rasterised character.

    Attributes:
        mask: coverage (h, w) uint8, empty for a blank.
        left: x of the mask's left edge relative to the pen, pixels.
        top: y of the mask's upper edge relative to the baseline, pixels, downwards.
        bottom: y of the row below the mask.
        advance: distance to the next pen position, pixels.
    """

    mask: np.ndarray
    left: int
    top: int
    bottom: int
    advance: float


class GlyphTable(dict[str, Glyph]):
    """The glyphs of one face at one size by character, rasterised when first asked for.

    Args:
        open_font: gives the face at that size; asked only for glyphs that are not in the table yet.
        size: pixels per em.
        unit: the face's table at the size that kerning is taken from, ``None`` where it is this one.
        kerned: the face has kerning pairs at all.
    """

    def __init__(self, open_font: Callable[[], FreeTypeFont], size: int, unit: "GlyphTable | None" = None,
                 kerned: bool = True):
        super().__init__()
        self.size = size
        self.kerned = kerned
        self._open_font = open_font
        self._last_font: weakref.ref[FreeTypeFont] | None = None
        self._unit = unit
        self._kerns: dict[str, float] = {}

    def __missing__(self, character: str) -> Glyph:
        self.need(character)
        return self[character]

    def need(self, text: str) -> None:
        """Rasterises those characters of a text that are not in the table yet, all at once."""
        wanted = [character for character in text if character not in self]
        if not wanted:
            return
        font = self._open_font()
        if self._last_font is not None and self._last_font() is not font:
            # The font had been closed meanwhile: take all that may be wanted, so as not to open it again and again.
            wanted += [character for character in CHARACTERS if character not in self]
        self._last_font = weakref.ref(font)
        characters = "".join(dict.fromkeys(wanted))
        for character, (mask, left, top) in zip(characters, glyph_masks(font, characters), strict=True):
            self[character] = Glyph(mask, left, top, top + len(mask), font.getlength(character))

    def kern(self, pair: str) -> float:
        """Returns the correction of the distance between two characters, of the font size.

        It is measured at one size for all, so that it does not depend on what was drawn before.
        """
        if not self.kerned:
            return 0.0
        if self._unit is not None:
            return self._unit.kern(pair)
        value = self._kerns.get(pair)
        if value is None:
            value = self._open_font().getlength(pair) - self[pair[0]].advance - self[pair[1]].advance
            value = self._kerns[pair] = value / self.size
        return value

    def extent(self, text: str) -> tuple[int, int]:
        """Returns the topmost and lowest pixel row (exclusive) of a word's ink, relative to the baseline."""
        self.need(text)
        upper, lower = 0, 0
        first = True
        for character in text:
            glyph = self[character]
            if glyph.bottom > glyph.top:
                upper = glyph.top if first or glyph.top < upper else upper
                lower = glyph.bottom if first or glyph.bottom > lower else lower
                first = False
        return upper, lower


class GlyphCache:
    """The most recently used glyph tables of some faces.

    Args:
        faces: the faces, addressed by their position.
        limit: most tables kept: all of 3,000 faces, since drawing a letter anew costs more than a whole word does
            otherwise. One takes about 60 KiB, a full one at the largest size 150.
        fonts: most open fonts kept at the size that kerning is taken from, and half as many at other sizes; one takes
            about 220 KiB.
    """

    def __init__(self, faces: list[FontFace], limit: int = 12000, fonts: int = 300):
        self.faces = faces
        self._limit = limit
        self._most_fonts = {True: fonts, False: max(1, fonts // 2)}
        self._fonts: dict[bool, OrderedDict[tuple[int, int, bool], FreeTypeFont]] = {True: OrderedDict(),
                                                                                     False: OrderedDict()}
        self._tables: OrderedDict[tuple[int, int], GlyphTable] = OrderedDict()
        self._covered: dict[tuple[int, str], bool] = {}
        self._shapes: dict[tuple[int, str], bool] = {}

    def font(self, face: int, size: int, shaping: bool = False) -> FreeTypeFont:
        """Returns an open font, see :func:`open_face`."""
        key, unit = (face, size, shaping), size == _UNIT
        fonts = self._fonts[unit]
        font = fonts.get(key)
        if font is None:
            font = fonts[key] = open_face(self.faces[face], size, shaping)
            if len(fonts) > self._most_fonts[unit]:
                fonts.popitem(last=False)
        else:
            fonts.move_to_end(key)
        return font

    def table(self, face: int, size: int) -> GlyphTable:
        """Returns the glyphs of a face at a size of :data:`TIERS`."""
        key = (face, size)
        table = self._tables.get(key)
        if table is None:
            unit = None if size == _UNIT else self.table(face, _UNIT)
            table = self._tables[key] = GlyphTable(partial(self.font, face, size), size, unit, self.faces[face].kerned)
            if len(self._tables) > self._limit:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(key)
        return table

    def table_for(self, face: int, text: str, ink: float) -> GlyphTable:
        """Returns the smallest size at which a word's ink is at least ``ink`` pixels high (or the largest size)."""
        top, bottom = self.table(face, _UNIT).extent(text)
        return self.table(face, _tier(ink * _UNIT / max(1, bottom - top)))

    def shaped(self, face: int, text: str, ink: float) -> np.ndarray:
        """Draws a word as its script wants, at the smallest size at which its ink is at least ``ink`` pixels high.

        Returns:
            Coverage (H, W) uint8 cut to the ink.
        """
        _, top, _, bottom = self.font(face, _UNIT, shaping=True).getbbox(text, anchor="ls")
        font = self.font(face, _tier(ink * _UNIT / max(1, bottom - top)), shaping=True)
        return glyph_masks(font, (text,))[0][0]

    def shapes(self, face: int, scripts: Iterable[str]) -> bool:
        """Whether a face has the rules by which the letters of some scripts join and change places."""
        for script in scripts:
            key = (face, script)
            if key not in self._shapes:
                sample = SHAPED.get(script)
                self._shapes[key] = sample is None or (self.covers(face, sample) and self._differs(face, sample))
            if not self._shapes[key]:
                return False
        return True

    def _differs(self, face: int, text: str) -> bool:
        masks = [glyph_masks(self.font(face, _UNIT, shaping), (text,))[0][0] for shaping in (False, True)]
        return masks[0].shape != masks[1].shape or not np.array_equal(*masks)

    def covers(self, face: int, characters: str) -> bool:
        """Whether a face can draw every one of some characters."""
        for character in characters:
            key = (face, character)
            if key not in self._covered:
                self._covered[key] = covers(self.font(face, _UNIT), character)
            if not self._covered[key]:
                return False
        return True


def _tier(wanted: float) -> int:
    """The smallest size of :data:`TIERS` that is about as large as wanted, or the largest."""
    return next((size for size in TIERS if size >= 0.92 * wanted), TIERS[-1])


def compose(table: GlyphTable, text: str, spacing: float = 0.0, offsets: list[float] | None = None,
            pad: int = 0) -> np.ndarray:
    """Sets a word on a line.

    Args:
        table: glyphs to use.
        text: the word.
        spacing: extra distance between letters, pixels.
        offsets: vertical shift of each letter, pixels, downwards; ``None`` for none.
        pad: empty pixels to leave on each side of the ink.

    Returns:
        Coverage (H, W) uint8 whose ink touches a frame ``pad`` pixels wide.
    """
    table.need(text)
    pen = 0.0
    placed = []
    previous = ""
    for position, character in enumerate(text):
        glyph = table[character]
        if previous:
            pen += (table.kern(previous + character) * table.size if table.kerned else 0.0) + spacing
        if glyph.mask.size:
            shift = offsets[position] if offsets else 0.0
            placed.append((glyph.mask, round(pen) + glyph.left, round(glyph.top + shift)))
        pen += glyph.advance
        previous = character
    if not placed:
        return np.zeros((2 * pad + 1, 2 * pad + 1), np.uint8)
    left = min(x for _, x, _ in placed)
    top = min(y for _, _, y in placed)
    right = max(x + mask.shape[1] for mask, x, _ in placed)
    bottom = max(y + mask.shape[0] for mask, _, y in placed)
    canvas = np.zeros((bottom - top + 2 * pad, right - left + 2 * pad), np.uint8)
    for mask, x, y in placed:
        height, width = mask.shape
        window = canvas[y - top + pad:y - top + pad + height, x - left + pad:x - left + pad + width]
        cv2.max(window, mask, dst=window)
    return canvas
