"""Drawing one word: face, layers, geometry, colours, background, degradation, JPEG."""
from collections.abc import Sequence

import cv2
import numpy as np

from src.common.charset import composed
from src.common.errors import ConfigError, DataError
from src.render.case import capitalised, lowered, uppered
from src.render.degrade import degrade, light
from src.render.dice import Dice, DiceCup, cumulate
from src.render.displays import dot_matrix, seven_segments
from src.render.effects import Plan, draw_plan, layers
from src.render.fonts import CHARACTERS, FontFace, find_fonts
from src.render.geometry import area, bend, corners, draw_arc, steep_corners
from src.render.glyphs import GlyphCache, GlyphTable, compose
from src.render.paint import paint
from src.render.shaping import refusal, scripts
from src.render.style import RenderStyle
from src.render.surroundings import SIDES, draw_neighbours, surround

_COMMON = frozenset(CHARACTERS)
_MOST = 2 ** 63 - 1
_LEAST_INK = 10  # pixels
_LEAST_TURNED_INK = 13  # of letters on an arc, or on a steep line
_FAR_END = 0.8  # of the usual size: letters at the far end of a sign seen from the side, which must outlive the blur
_LEAST_HEIGHT = {"dots": 22, "segments": 16, "relief": 20, "neon": 14}  # pixels of an image that shows such a look
_DOTS_INK = 60  # pixels that letters are drawn at to become dots
_CODE_UPPER = 0.6  # share of the words with digits or marks that would be in lower case and are in upper case
_CHOICE = 1 << 32  # number of the random block that chooses the word
# What may stand before and behind a word in a photograph without being part of its label.
_MARKS = (("", "."), ("", "."), ("", "!"), ("", "?"), ("", ","), ("", ","), ("", ":"), ("\"", "\""), ("'", "'"),
          ("", "'"), ("(", ")"), ("-", ""), ("", "-"), ("\u201c", ""), ("", "\u201d"), ("", "..."), ("#", ""))


class WordRenderer:
    """Draws word images; image ``index`` depends on the style, the faces, the seed and the index alone.

    Args:
        style: strengths of all variations; the ``hard`` preset when ``None``.
        fonts: faces to use; ``None`` finds them (see :func:`find_fonts`).
        seed: 0 to 2**63 - 1.

    Raises:
        ConfigError: the seed is out of range.
        DataError: no usable font.
    """

    def __init__(self, style: RenderStyle | None = None, fonts: Sequence[FontFace] | None = None, seed: int = 1):
        if not 0 <= seed <= _MOST:
            raise ConfigError(f"seed must be between 0 and {_MOST}, not {seed}")
        self.style = style or RenderStyle()
        self.seed = seed
        self.fonts = list(fonts) if fonts is not None else find_fonts(clean=self.style.clean_fonts)
        if not self.fonts:
            raise DataError("no font to draw with: name a folder of fonts")
        self._cache = GlyphCache(self.fonts)
        self._cup = DiceCup(seed)
        self._groups = self._group()

    def _group(self) -> list[tuple[list[int], list[float]]]:
        """Splits the faces into plain and decorative ones, each with cumulative weights."""
        groups = []
        for decorative in (False, True):
            chosen = [number for number, face in enumerate(self.fonts) if face.decorative == decorative]
            weights = []
            for number in chosen:
                face = self.fonts[number]
                bold = self.style.bold_gain if face.stroke >= 0.16 else (0.25 if face.stroke < 0.07 else 1.0)
                weights.append(face.weight * bold)
            groups.append((chosen, cumulate(tuple(weights))))
        return groups

    def sample(self, words: Sequence[str], index: int) -> tuple[str, np.ndarray]:
        """Draws a random one of some words in a random case.

        Returns:
            The word as drawn and its image (H, W, 3) uint8 BGR.
        """
        # A block of its own, so that the image is the one that `encode` makes of the word.
        word = words[min(int(self._cup.block(index, _CHOICE)[0] * len(words)), len(words) - 1)]
        text, data = self.encode(word, index)
        return text, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def draw(self, text: str, index: int) -> np.ndarray:
        """Draws a text as it is written.

        Returns:
            Image (H, W, 3) uint8 BGR, with the JPEG losses of the file that the writer would make of it.

        Raises:
            DataError: no face has all of its characters.
        """
        _, data = self._encoded(text, self._cup.roll(index), keep_case=True)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)

    def encode(self, word: str, index: int) -> tuple[str, bytes]:
        """Draws a lexicon word in a random case.

        Returns:
            The word as drawn and its image as a JPEG file.

        Raises:
            DataError: no face has all of its characters.
        """
        return self._encoded(word, self._cup.roll(index))

    def _encoded(self, word: str, dice: Dice, keep_case: bool = False) -> tuple[str, bytes]:
        text, image = self._image(word, dice, keep_case)
        quality = round(dice.uniform(*self.style.jpeg))
        done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        if not done:
            raise RuntimeError(f"JPEG encoder failed on an image of shape {image.shape}")
        return text, data.tobytes()

    def _cased(self, word: str, dice: Dice) -> str:
        way, turkish = dice.weighted(self.style.case), self.style.turkish
        if way == 3:
            cased = "".join((uppered if dice.chance(0.5) else lowered)(character, turkish) for character in word)
        elif way != 1 and not word.isalpha() and dice.chance(_CODE_UPPER):
            cased = uppered(word, turkish)
        else:
            cased = (lowered, uppered, capitalised)[way](word, turkish)
        return cased if len(cased) == len(word) else word  # a sharp s has no capital of its own

    def _face(self, text: str, dice: Dice, keep_case: bool, plain: bool = False) -> int:
        """Picks a face that has all characters of a text and does not change its case; a plain one if wanted."""
        unusual = "".join(sorted(set(text) - _COMMON - {" "}))
        shaped = scripts(text)
        small = keep_case and text != text.upper()
        decorative = dice.chance(self.style.decorative_share) and not plain
        for attempt in range(12):
            chosen, weights = self._groups[decorative and attempt < 6]
            if not chosen:
                chosen, weights = self._groups[1 - (decorative and attempt < 6)]
            face = chosen[dice.cumulated(weights)]
            if not (small and self.fonts[face].unicase) and (not unusual or self._can_draw(face, unusual, shaped)):
                return face
        able = [number for number, face in enumerate(self.fonts)
                if not (small and face.unicase) and self._can_draw(number, unusual, shaped)]
        if not able:
            raise DataError(f"no font has all characters of {text!r}: name a folder of fonts that does")
        return dice.pick(able)

    def _can_draw(self, face: int, characters: str, shaped: set[str]) -> bool:
        return self._cache.covers(face, characters) and self._cache.shapes(face, shaped)

    def check(self, word: str) -> None:
        """Makes sure that a word whose script joins or reorders letters can be drawn.

        Raises:
            DataError: it cannot; says why.
        """
        shaped = scripts(word)
        if not shaped:
            return
        if problem := refusal(word):
            raise DataError(problem)
        unusual = "".join(sorted(set(word) - _COMMON - {" "}))
        if not any(self._can_draw(number, unusual, shaped) for number in range(len(self.fonts))):
            raise DataError(f"no font has all characters of {word!r} and the rules of its script: name a folder of "
                            "fonts that does with --fonts")

    def undrawable(self, characters: str) -> str:
        """Returns those of some characters that no face can draw."""
        numbers = range(len(self.fonts))
        return "".join(character for character in characters if character != " " and character not in _COMMON
                       and not any(self._cache.covers(number, character) for number in numbers))

    def _image(self, word: str, dice: Dice, keep_case: bool) -> tuple[str, np.ndarray]:
        style = self.style
        if not word.strip():
            raise DataError("an empty word cannot be drawn")
        word = composed(word)
        if problem := refusal(word):
            raise DataError(problem)
        text = word if keep_case else self._cased(word, dice)
        plan = draw_plan(dice, style, text.isascii() and text.isdecimal())
        shown = text
        if not keep_case and style.punctuation and plan.look != "segments" and dice.chance(style.punctuation):
            before, after = dice.pick(_MARKS)
            shown = before + text + after
        face = self._face(shown, dice, keep_case, plan.look in ("dots", "relief"))
        if self.fonts[face].unicase and not keep_case:
            text, shown = uppered(text, style.turkish), uppered(shown, style.turkish)
        masks, ink = self._layers(shown, face, plan, dice)
        stroke = (0.12 if plan.look == "segments" else self.fonts[face].stroke * 0.8) * ink
        if plan.look == "relief":
            stroke = min(stroke, 0.04 * ink)  # its edges are what must survive
        alphas = [np.multiply(mask, np.float32(1 / 255), dtype=np.float32) for mask in masks]
        floor = style.contrast + dice.uniform(0, style.contrast_spread) + (25 if stroke < 1.2 else 0)
        planes, gap = paint(alphas, plan, floor, dice, style)
        light(dice, style, planes)
        return text, degrade(dice, style, cv2.merge(list(planes)), stroke, ink, gap)

    def _word(self, text: str, table: GlyphTable, plan: Plan, dice: Dice) -> np.ndarray:
        """Composes the flat word: coverage (H, W) uint8, cut to its ink."""
        style = self.style
        low, high = style.spacing
        if plan.look == "segments":
            return seven_segments(text, dice.uniform(0.1, 0.19), dice.pick((0.0, 0.0, 0.12)), dice.uniform(0.12, 0.3))
        spacing = (low + (high - low) * dice.uniform() ** 3) * table.size
        offsets = None
        if style.jitter and dice.chance(0.3):
            offsets = [dice.normal(style.jitter * table.size) for _ in text]
        return compose(table, text, spacing, offsets)

    def _layers(self, text: str, face: int, plan: Plan, dice: Dice) -> tuple[list[np.ndarray], float]:
        """Composes a word and brings its layers into the image.

        Returns:
            Coverages (H, W) uint8 of each layer, and the height of the letters in the image, pixels; less than it is
            for letters that are pressed together.
        """
        style = self.style
        lowest = min(max(style.height[0], _LEAST_HEIGHT.get(plan.look, 0)), style.height[1])
        height = dice.log_uniform(lowest, style.height[1] + 0.999)
        margins = [dice.uniform(*style.margin) for _ in SIDES]
        arc, steep, neighbours, shaped = None, False, {}, bool(scripts(text))
        if style.curve and len(text) > 2 and dice.chance(style.curve):
            arc = draw_arc(dice, style, len(text))
        else:
            steep = dice.chance(style.slant)
            if plan.look != "segments" and not shaped:
                neighbours = draw_neighbours(dice, style, len(text))
        # The ink is at most this high, lower where the word is turned or bent: its glyphs are always sharp enough.
        ink = height / (1 + max(0.0, margins[0] + margins[1]))
        if arc:
            ink = max(_LEAST_TURNED_INK, ink / arc.growth(0.5 * len(text)))
        ink = _DOTS_INK if plan.look == "dots" else ink
        table = self._cache.table_for(face, text, ink)
        word = self._cache.shaped(face, text, ink) if shaped else self._word(text, table, plan, dice)
        if plan.look == "dots":
            word = dot_matrix(word, 10 + dice.below(6), dice.chance(0.3))
        letter = len(word)
        if arc:
            word = bend(word, arc)
        ink_height, ink_width = word.shape
        start_x = start_y = 0
        if neighbours:
            word, start_x, start_y = surround(word, text, table, neighbours, dice)
        pad = round(plan.reach * letter) + 2
        stack = layers(cv2.copyMakeBorder(word, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0), letter, plan)
        points, perspective = (steep_corners if steep else corners)(dice, style, ink_width, ink_height)
        across, down = zip(*points, strict=True)
        box_width, box_height = max(across) - min(across), max(down) - min(down)
        for side, neighbour in neighbours.items():
            margins[SIDES.index(side)] = (neighbour.gap + neighbour.peek) * letter / box_height
        top, bottom, left, right = margins
        rows = int(height)
        # A word that is turned or bent gets a higher image where its letters would become too small to read.
        size = min(1.0, area(points) / (ink_width * ink_height))  # below 1 where it is pressed together
        least = min(_LEAST_TURNED_INK if arc or steep else _LEAST_INK, rows) * box_height * (1 + top + bottom) / letter
        if steep:
            least /= max(0.5, size)
            size *= _FAR_END
        if rows < least:
            rows = max(rows, min(round(least), style.height[1]))
        scale = rows / (box_height * (1 + top + bottom))
        columns = scale * (box_width + (left + right) * box_height)
        if columns > style.max_width:
            shrink = style.max_width / columns
            rows, columns, scale = max(8, round(rows * shrink)), style.max_width, scale * shrink
        shift_x, shift_y = left * box_height - min(across), top * box_height - min(down)
        # Corners are edges of pixels, but OpenCV counts from the middle of the first one.
        target = np.array([((x + shift_x) * scale - 0.5, (y + shift_y) * scale - 0.5) for x, y in points], np.float32)
        word_box = pad + start_x - 0.5, pad + start_y - 0.5, ink_width, ink_height
        return _warped(stack, word_box, target, perspective, (max(8, round(columns)), rows)), letter * scale * size


def _warped(stack: list[np.ndarray], box: tuple[float, float, int, int], target: np.ndarray, perspective: bool,
            size: tuple[int, int]) -> list[np.ndarray]:
    """Brings layers into the image.

    Args:
        stack: coverages (h, w) uint8 of the layers.
        box: left and upper edge, width and height of the word in them.
        target: (4, 2) float32, where its corners belong in the image: upper left, upper right, lower right, lower left.
        perspective: the far side is shorter; otherwise three corners tell the fourth.
        size: columns and rows of the image.
    """
    left, upper, width, height = box
    source = np.array([(left, upper), (left + width, upper), (left + width, upper + height), (left, upper + height)],
                      np.float32)
    flat = stack[0] if len(stack) == 1 else cv2.merge(stack)
    if perspective:
        warped = cv2.warpPerspective(flat, cv2.getPerspectiveTransform(source, target), size)
    else:
        warped = cv2.warpAffine(flat, cv2.getAffineTransform(source[:3], target[:3]), size)
    return [warped] if warped.ndim == 2 else list(cv2.split(warped))
