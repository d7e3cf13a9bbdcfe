"""Class indices of the words of a data set, all computed at once."""
from collections.abc import Sequence

import numpy as np

from src.common.charset import Charset

WITHOUT_TEXT = ("", "###")


class LabelTable:
    """Class indices of every distinct word, computed at once; millions of words take seconds.

    Args:
        texts: the distinct words as annotated.
        charset: characters outside it are left out of the indices and counted.

    Attributes:
        text_length: (T,) int64, characters of the folded word; classes are in the order of the picture.
        without_text: (T,) bool, the folded word is empty, or ``###``, as sets have it where nobody can read a word.
        outside: (T,) int64, how many of them the charset does not have.
        length: (T,) int64, class indices of the word: ``text_length - outside``.
        required: (T,) int64, CTC steps the word needs: ``length`` + number of equal neighbours.

    Examples:
        >>> table = LabelTable(["Add", "b!"], Charset("abcd"))
        >>> table.padded(np.array([0, 1]), 4).tolist()
        [[0, 3, 3, 4], [1, 4, 4, 4]]
        >>> table.required.tolist(), table.outside.tolist()
        ([4, 1], [0, 1])
    """

    def __init__(self, texts: Sequence[str], charset: Charset):
        folded = [charset.fold(text) for text in texts]
        self.without_text = np.array([text.strip() in WITHOUT_TEXT for text in folded], bool)
        folded = [*map(charset.turned, folded)]
        self.text_length = np.fromiter((len(text) for text in folded), np.int64, len(folded))
        self._codes = np.frombuffer("".join(folded).encode("utf-32-le", "surrogatepass"), np.uint32)
        self._row = np.repeat(np.arange(len(folded), dtype=np.int32), self.text_length)
        codes = np.array([ord(c) for c in charset.characters], np.uint32)
        order = np.argsort(codes)
        place = np.minimum(np.searchsorted(codes[order], self._codes), len(codes) - 1)
        self._known = codes[order][place] == self._codes
        self._classes = order[place[self._known]].astype(np.min_scalar_type(charset.blank))
        row = self._row[self._known]
        self.length = np.bincount(row, minlength=len(folded))
        self.outside = self.text_length - self.length
        self._start = np.cumsum(self.length) - self.length
        equal = (self._classes[1:] == self._classes[:-1]) & (row[1:] == row[:-1])
        self.required = self.length + np.bincount(row[1:][equal], minlength=len(folded))
        self.blank = charset.blank

    def outside_characters(self, used: np.ndarray) -> str:
        """The characters outside the charset in those words ((T,) bool), each once, sorted."""
        codes = np.unique(self._codes[~self._known & used[self._row]])
        return "".join(map(chr, codes))

    def release(self) -> None:
        """Frees what only the report of a data set needs."""
        del self._codes, self._row, self._known

    def padded(self, rows: np.ndarray, width: int) -> np.ndarray:
        """Class indices of the words in those rows, padded with the blank; (n, width) int32."""
        column = np.arange(width)
        if not self._classes.size:
            return np.full((len(rows), width), self.blank, np.int32)
        place = np.minimum(self._start[rows, None] + column, self._classes.size - 1)
        return np.where(column < self.length[rows, None], self._classes[place], self.blank).astype(np.int32)
