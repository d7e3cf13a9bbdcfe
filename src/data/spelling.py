"""How the words of MJSynth are spelled: the lexicon has them in lower case, the file names as they were drawn."""
import re
from collections.abc import Sequence
from urllib.parse import unquote

import numpy as np

_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[65:91] += 32
_AS_LISTED, _UPPER, _CAPITALISED, _SMALL = range(4)
_KINDS = 4
_DOTS = str.maketrans("I\u0130", "\u0131i")
_CUT = "~"  # ends a word for which the file name had no room, see src/render/layout.py


class Speller:
    """Finds the words of many images at once, block by block: there are seven million.

    A file name such as ``182_SLINKING_71711.jpg`` holds its word between the first and the last ``_``; our own drawn
    sets write everything but letters and digits there as ``%28``. Where the name says the same word as the lexicon, its
    spelling counts. Where it has letters and digits of the word alone (names made by ``convert_synthtext.py``), or no
    such form, the lexicon's does.

    Args:
        lexicon: its rows.

    Attributes:
        unknown: images whose name does not tell how their word is spelled.
        contradicted: images whose name has another word than their row of the lexicon, which counts.
    """

    def __init__(self, lexicon: Sequence[str]):
        self.unknown = self.contradicted = 0
        self._lexicon = lexicon
        encoded = [word.encode("utf-8") for word in lexicon]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._length = np.array([len(word) for word in encoded], np.int64)
        self._start = np.cumsum(self._length) - self._length
        self._plain = np.array([bool(word) and word.isascii() for word in lexicon], bool)
        self._others: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lexicon)

    def block(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Keys of the words of some images; :meth:`texts` turns them into words.

        Args:
            data: (P,) uint8 that holds the paths.
            starts: (N,) first byte of each path.
            ends: (N,) one past its last byte.
            rows: (N,) row of the lexicon.

        Returns:
            (N,) int32.
        """
        first, last = _middle(data, starts, ends)
        kind = np.full(len(rows), -1, np.int32)
        fits = np.flatnonzero((last - first == self._length[rows]) & self._plain[rows])
        if len(fits):
            kind[fits] = self._kinds(data, first[fits], rows[fits])
        keys = (rows.astype(np.int64) * _KINDS + kind).astype(np.int32)
        rest = np.flatnonzero(kind < 0)
        if len(rest):
            _, examples, group, counts = np.unique(_fingerprints(data, first[rest], last[rest], rows[rest]),
                                                   return_index=True, return_inverse=True, return_counts=True)
            keys_of_groups = [self._one_by_one(data[first[i]:last[i]].tobytes().decode("utf-8", "replace"),
                                               int(rows[i]), int(count))
                              for i, count in zip(rest[examples].tolist(), counts, strict=True)]
            keys[rest] = np.array(keys_of_groups, np.int32)[group]
        return keys

    def _kinds(self, data: np.ndarray, first: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """In which case names as long as their word spell it; -1 where it is another word, or in no usual case."""
        length = self._length[rows]
        ends = np.cumsum(length)
        inside = np.arange(ends[-1]) - np.repeat(ends - length, length)
        drawn = data[np.repeat(first, length) + inside]
        listed = self._bytes[np.repeat(self._start[rows], length) + inside]
        word = ends - length  # place of the first byte of each word
        is_upper = (drawn >= 65) & (drawn <= 90)
        is_letter = is_upper | ((drawn >= 97) & (drawn <= 122))
        uppers, letters, different, unlike = (np.add.reduceat(column.astype(np.int64), word) for column in (
            is_upper, is_letter, drawn != listed, _LOWER[drawn] != _LOWER[listed]))
        return np.select([unlike > 0, different == 0, uppers == 0, uppers == letters, (uppers == 1) & is_upper[word]],
                         [-1, _AS_LISTED, _SMALL, _UPPER, _CAPITALISED], -1)

    def _one_by_one(self, middle: str, row: int, count: int) -> int:
        word = self._lexicon[row]
        text = spelled(middle, word)
        if text is None:
            self.unknown += count
        elif not text:
            self.contradicted += count
        text = text or word
        if text == word:
            return row * _KINDS + _AS_LISTED
        return len(self._lexicon) * _KINDS + self._others.setdefault(text, len(self._others))

    def texts(self, keys: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The distinct words of those keys, and (N,) int32 which of them each image has."""
        count = len(self._lexicon) * _KINDS
        used = np.zeros(count + len(self._others), bool)
        used[keys] = True
        place = np.cumsum(used, dtype=np.int32) - 1
        change = {_UPPER: str.upper, _CAPITALISED: str.capitalize, _SMALL: str.lower}
        others = list(self._others)
        texts = []
        for key in np.flatnonzero(used).tolist():
            row, kind = divmod(key, _KINDS)
            word = others[key - count] if key >= count else self._lexicon[row]
            texts.append(change[kind](word) if key < count and kind in change else word)
        return texts, place[keys]


def _middle(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the part between the first and the last ``_`` of each file name begins and ends; (N,) each."""
    marks = np.concatenate([[-1], np.flatnonzero(data == 95), [len(data)]])
    slashes = np.concatenate([[-1], np.flatnonzero(data == 47)])
    name = np.maximum(slashes[np.searchsorted(slashes, ends) - 1] + 1, starts)
    first = marks[np.searchsorted(marks, name)] + 1
    last = marks[np.searchsorted(marks, ends) - 1]
    return first, np.where((first <= last) & (last < ends), last, first)


def _fingerprints(data: np.ndarray, first: np.ndarray, last: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A number for each name and row, so that equal ones are looked at once; (N,) uint64.

    Sums of bytes times random 64-bit weights: that two of ten million unequal names meet has a chance of 1 in 100,000.
    """
    weights = np.random.default_rng(20151).integers(1, 2**63, 1 << 9, np.uint64)
    length = last - first
    ends = np.cumsum(length)
    inside = np.arange(ends[-1]) - np.repeat(ends - length, length)
    terms = (data[np.repeat(first, length) + inside].astype(np.uint64) + np.uint64(1)) * weights[inside % 511]
    sums = np.concatenate([[0], np.cumsum(terms, dtype=np.uint64)]).astype(np.uint64)
    return sums[ends] - sums[ends - length] + (rows.astype(np.uint64) + np.uint64(1)) * weights[511]


def spelled(middle: str, word: str) -> str | None:
    """The word that an image shows; None where its name does not tell, '' where it tells of another word.

    Args:
        middle: of the file name.
        word: row of the lexicon.
    """
    if not middle or middle.endswith(_CUT):
        return None
    text = unquote(middle) if "%" in middle else middle
    # The last one is of a Turkish lexicon, whose i and dotless i are two letters.
    if text.casefold() == word.casefold() or text.lower() == word.lower() or text.translate(_DOTS).lower() == word:
        return text
    # Names made for other systems leave out what these may not take; then the lexicon has the word as it is.
    return word if re.sub("[^A-Za-z0-9]", "", word)[:40] == text else ""
