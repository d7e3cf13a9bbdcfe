"""Words of scripts written from right to left, in the order in which their letters stand in a picture, and back.

Labels, lexicons and what is read are in the order of writing (Unicode's logical order). A CTC network names letters
from left to right, so its classes are in the order of the picture: the letters of Hebrew and Arabic words backwards,
numbers and Latin words among them as they are, brackets mirrored. Where a word has such a letter, it is taken to be set
from right to left as a whole.

This is the bidirectional algorithm of Unicode (UAX #9, rules W1 to W7, N1, N2, L2 and L4,
https://unicode.org/reports/tr9) as far as it can be undone: there "5 abc" and "abc 5" beside a Hebrew letter look the
same; here a Latin word and a number with nothing from right to left between them keep their order. A mark is a
character of its own, and in the order of the picture it comes before its letter.
"""
import re
import unicodedata
from collections.abc import Iterable

RIGHT_TO_LEFT = ("R", "AL")
_MIRRORED = str.maketrans("()[]{}<>«»‹›≤≥", ")(][}{><»«›‹≥≤")
# Of a stretch without letters from right to left, over the kinds of its characters (_KINDS): what keeps its order.
# From the first to the last Latin letter or digit, where there is a Latin letter; or numbers, with what may stand
# inside them (12:30, 1,000) and a sign of percent or currency beside them.
_WORDS = re.compile("[lea](?:.*[lea])?")
_NUMBERS = re.compile("t*e+(?:[st]+e+)*t*|a+(?:s+a+)*")
_KINDS = {"L": "l", "EN": "e", "AN": "a", "CS": "s", "ES": "s", "ET": "t", "R": "r", "AL": "r"}


def has_right_to_left(text: Iterable[str]) -> bool:
    """Whether some character belongs to a script that is written from right to left.

    Examples:
        >>> has_right_to_left("abc"), has_right_to_left("aא")
        (False, True)
    """
    return not (isinstance(text, str) and text.isascii()) and any(
        unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in text)


def turned(text: str) -> str:
    """A text in the other order: as its letters stand in the picture, or from that the order of writing.

    Applied twice it gives the text again. A text without letters from right to left stays as it is.

    Examples:
        >>> turned("אב 12") == "12 בא"
        True
    """
    if not has_right_to_left(text):
        return text
    kinds = "".join(_KINDS.get(unicodedata.bidirectional(c), "n") for c in text)
    if any(unicodedata.bidirectional(c) == "AL" for c in text):
        # Among Arabic letters digits of either kind are Arabic numbers (W2): only a comma or colon joins them.
        kinds = "".join("a" if kind == "e" else "n" if c in "+-" else kind for kind, c in zip(kinds, text, strict=True))
    parts, place = [], 0
    for first, last in _left_to_right_parts(kinds):
        parts += text[place:first].translate(_MIRRORED)
        parts.append(text[first:last])
        place = last
    parts += text[place:].translate(_MIRRORED)
    return "".join(reversed(parts))


def _left_to_right_parts(kinds: str) -> list[tuple[int, int]]:
    """First and last place of what keeps its order, by the kinds of the characters."""
    found = []
    for stretch in re.finditer("[^r]+", kinds):
        pattern = _WORDS if "l" in stretch[0] else _NUMBERS
        found += [(stretch.start() + part.start(), stretch.start() + part.end())
                  for part in pattern.finditer(stretch[0])]
    return found
