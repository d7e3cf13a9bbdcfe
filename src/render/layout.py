"""The MJSynth folder layout: file names, annotation lines, and which image lies where.

An annotation line is ``./2425/1/115_Lube_45484.jpg 45484``: path, blank, row of ``lexicon.txt`` counted from 0. The
middle of the file name is the word as drawn. Characters other than letters and digits of any alphabet's ASCII part are
percent-escaped there (UTF-8, RFC 3986; ``_`` too, because it separates the parts). A word for which the name has no
room is cut and ends in ``~``; what an image shows is always told by its row. Read it with :func:`unescape`.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from src.render.words import SPLITS

FOLDER_IMAGES = 1000  # images of one top folder, the unit of work
SUBFOLDER_IMAGES = 200
_NAME_BYTES = 255  # of a file name; file systems take no more
_CUT = "~"


def escape(word: str, room: int = _NAME_BYTES) -> str:
    """Returns a word as it stands in a file name: everything but [A-Za-z0-9] percent-escaped.

    Args:
        word: the word.
        room: bytes it may take; a longer one loses characters at its end.
    """
    escaped = _percent(word)
    while len(escaped) > room:
        word = word[:-1]
        escaped = _percent(word) + _CUT
    return escaped


def unescape(part: str) -> str | None:
    """Returns the word that :func:`escape` wrote; ``None`` where it was cut."""
    return None if part.endswith(_CUT) else unquote(part)


def _percent(word: str) -> str:
    if word.isascii() and word.isalnum():
        return word
    escaped = quote(word, safe="")
    for character in "_.-~":
        escaped = escaped.replace(character, f"%{ord(character):02X}")
    return escaped


@dataclass(frozen=True)
class Chunk:
    """The images of one top folder.

    Attributes:
        folder: its number, from 1.
        split: the split they belong to.
        first: number of its first image within the split.
        count: number of images.
    """

    folder: int
    split: str
    first: int
    count: int

    def index(self, position: int) -> int:
        """Returns the number that image ``position`` of the folder is drawn with: unlike in any other split."""
        return (SPLITS.index(self.split) << 48) + self.first + position

    def path(self, position: int, word: str, row: int) -> str:
        """Returns the path of an image relative to the set, e.g. ``./3/1/115_Lube_45484.jpg``."""
        start, end = f"{position % SUBFOLDER_IMAGES + 1}_", f"_{row}.jpg"
        middle = escape(word, _NAME_BYTES - len(start + end))
        return f"./{self.folder}/{position // SUBFOLDER_IMAGES + 1}/{start}{middle}{end}"


def chunks(counts: dict[str, int]) -> Iterator[Chunk]:
    """Yields the folders of a set in order; each belongs to one split."""
    folder = 0
    for split in SPLITS:
        for first in range(0, counts.get(split, 0), FOLDER_IMAGES):
            folder += 1
            yield Chunk(folder, split, first, min(FOLDER_IMAGES, counts[split] - first))
