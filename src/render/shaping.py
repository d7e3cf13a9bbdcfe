"""Scripts whose letters join, change places or carry marks: which words need it, and which faces can do it.

Pillow draws one glyph per character, from left to right, unless it lays text out with raqm (HarfBuzz and FriBidi), as
its wheels can. Words in such scripts are drawn with it as a whole. `tests/render/test_shaping.py` compares the scripts
of :data:`SHAPED` with HarfBuzz itself; a word in another such script is refused.
"""
import unicodedata
from functools import lru_cache

from PIL import features

from src.common.charset import composed

# Scripts that are drawn, as Unicode's names of characters begin, each with a text that looks otherwise unshaped.
SHAPED = {"ARABIC": "\u0628\u0628", "HEBREW": "\u05d0\u05d1", "DEVANAGARI": "\u0915\u093f", "THAI": "\u0e01\u0e49",
          "TAMIL": "\u0b95\u0bc6"}
# Others that are written from left to right and need shaping all the same; those from right to left are known by it.
_COMPLEX = frozenset(("BALINESE", "BENGALI", "CHAKMA", "GUJARATI", "GURMUKHI", "JAVANESE", "KANNADA", "KHMER", "LAO",
                      "MALAYALAM", "MONGOLIAN", "MYANMAR", "ORIYA", "SINHALA", "SUNDANESE", "TELUGU", "TIBETAN"))
_MARK = "a mark"


@lru_cache(maxsize=4096)
def _need(character: str) -> str:
    """The script because of which a character needs shaping, :data:`_MARK` for a mark of any script, or ''."""
    script = unicodedata.name(character, "?").split()[0]
    if script in SHAPED or script in _COMPLEX or unicodedata.bidirectional(character) in ("R", "AL"):
        return script
    return _MARK if unicodedata.category(character)[0] == "M" else ""


def scripts(text: str) -> set[str]:
    """Scripts because of which a text has to be shaped; empty where one glyph after the other is right."""
    if text.isascii():
        return set()
    return {script for script in map(_need, text) if script}


def refusal(word: str) -> str | None:
    """Says why a word cannot be drawn as its readers expect, or ``None``."""
    needed = scripts(composed(word))
    if not needed:
        return None
    unknown = sorted(needed - SHAPED.keys() - {_MARK})
    if unknown:
        known = ", ".join(name.capitalize() for name in sorted(SHAPED))
        return (f"the word {word!r} is written in {', '.join(map(str.capitalize, unknown))}, whose letters cannot be "
                f"set here (only {known} are, of the scripts that join or reorder letters): leave such words out")
    if not features.check("raqm"):
        return (f"the word {word!r} needs letters that are joined, reordered or carry marks, which Pillow draws with "
                "raqm alone, and this Pillow has none: install Pillow from PyPI, and the library FriBidi")
    return None
