"""Word lists: their files, and their words as classes."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.common.charset import Charset, code_points, normalise
from src.common.errors import ConfigError


def read_words(path: str | Path) -> list[str]:
    """Reads a lexicon file: UTF-8, one word a line; blank lines do not count.

    A ``.dic`` file is a Hunspell dictionary: its first line is a number, and what follows a slash are no letters.

    Raises:
        ConfigError: the file has no word or is not UTF-8.
        OSError: it cannot be opened.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save the lexicon as "
                          "UTF-8") from error
    lines = text.split("\n")
    if str(path).endswith(".dic") and lines[0].strip().isdecimal():
        lines = [line.partition("/")[0] for line in lines[1:]]
    words = [line.strip() for line in lines if line.strip()]
    if not words:
        raise ConfigError(f"{path}: the lexicon has no words; write one word a line")
    return words


class WordEncoder:
    """Words -> classes, many at a time."""

    def __init__(self, charset: Charset):
        self.charset = charset
        codes = [ord(c) for c in charset.characters]
        self._table = np.full(max(codes) + 2, -1, np.int64)
        self._table[codes] = np.arange(len(codes))
        self._keys: dict[str, str] = {}

    def key(self, word: str) -> str:
        """The normalised word (see ``src.common.charset.normalise``), remembered."""
        key = self._keys.get(word)
        if key is None:
            if len(self._keys) > 1_000_000:  # lexicons repeat, but an endless stream of new words must not pile up
                self._keys.clear()
            key = self._keys[word] = normalise(word, self.charset)
        return key

    def encode(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encodes normalised words, in the order of the picture.

        Returns:
            labels ``(P, longest)`` int64 padded with the blank, lengths ``(P,)``, known ``(P,)`` bool: all characters
            are in the charset.
        """
        codes, lengths = code_points([*map(self.charset.turned, keys)] if self.charset.right_to_left else keys)
        labels = self._table[np.minimum(codes, len(self._table) - 1)]
        inside = np.arange(codes.shape[1]) < lengths[:, None]
        known = ~((labels < 0) & inside).any(axis=1)
        return np.where(inside, labels, self.charset.blank), lengths, known
