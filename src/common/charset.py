"""Text to class indices and back: the only place that knows the blank, the class count, case folding and comparison."""
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from src.common.errors import ConfigError, DataError
from src.common.writing_order import has_right_to_left, turned

_ALPHANUMERIC = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")
_OUTSIDE_PROTOCOL = re.compile("[^0-9a-z]")
# Characters that no picture can show: soft hyphen, blanks without width, byte order mark, marks of the writing
# direction (Unicode's Bidi_Control). The joiners U+200C and U+200D are none of them: they change how letters look.
_WITHOUT_INK = "\u00ad\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"


class Charset:
    """The characters a network can write, in the order of its classes; the CTC blank is the class after the last one.

    Texts are composed (Unicode's form NFC) and, unless the charset is case-sensitive, lower-cased before they are
    looked up: :meth:`fold` is the one place for both, and leaves every character of the charset as it is. Classes are
    in the order of the picture, from left to right, texts in the order of writing: with letters that are written from
    right to left, :meth:`turned` leads from one to the other.

    Args:
        characters: one class per character, in class order. The charset is case-sensitive when it holds an upper-case
            letter.

    Example:
        >>> Charset("abcdefghijklmnopqrstuvwxyz").encode("CAB").tolist()
        [2, 0, 1]

    Raises:
        ConfigError: nothing given, a character given twice, or a line break among the characters.
    """

    def __init__(self, characters: str):
        if not isinstance(characters, str) or not characters:
            raise ConfigError(f"label_dict must be a string of at least one character, got {characters!r} "
                              "(put it in quotes in the configuration file)")
        if _repeated(characters) and not _repeated(composed(characters)):
            characters = composed(characters)  # accents that were typed behind their letters
        twice = _repeated(characters)
        if twice:
            raise ConfigError(f"label_dict holds {_quoted(twice)} more than once: every character is one class")
        if set(characters) & set("\r\n"):
            raise ConfigError("label_dict holds a line break, which cannot be a class")
        self.characters = characters
        self.blank = len(characters)
        self.class_num = len(characters) + 1
        self.case_sensitive = any(c.isupper() for c in characters)
        self.right_to_left = has_right_to_left(characters)
        self._index = {c: i for i, c in enumerate(characters)}
        self._table = np.array([*characters], dtype="<U1")
        # Characters of the charset that NFC would change: written as their equals in texts, unless these are classes.
        changed = {c: composed(c) for c in characters if composed(c) != c}
        self._equals = {equal: c for c, equal in changed.items() if equal not in self._index}
        apart = "".join(c for c, equal in changed.items() if equal in self._index)
        self._apart = re.compile(f"([{re.escape(apart)}])") if apart else None
        self._without_ink = str.maketrans("", "", "".join(c for c in _WITHOUT_INK if c not in self._index))
        self._folded = _Folding(self)
        plain = {c: c if self.case_sensitive else c.lower() for c in map(chr, range(128))}
        self._ascii_as_usual = (all(self._folded[c] == usual for c, usual in plain.items())
                                and not any(equal.isascii() for equal in self._equals))

    @classmethod
    def from_config(cls, label_dict: str) -> "Charset":
        """Reads the ``label_dict`` of the configuration.

        Args:
            label_dict: the characters themselves, or the path of a UTF-8 file with one character a line. It counts as
                a path when such a file exists or when it ends in ``.txt``.

        Raises:
            ConfigError: as the constructor, or a file that is missing, not UTF-8, or has a line that is not exactly
                one character.
        """
        if not isinstance(label_dict, str) or not (label_dict.endswith(".txt") or os.path.isfile(label_dict)):
            return cls(label_dict)
        try:
            with open(label_dict, encoding="utf-8-sig", newline="") as file:
                lines = file.read().replace("\r\n", "\n").split("\n")
        except OSError as error:
            raise ConfigError(f"label_dict: cannot read the character file {label_dict}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"label_dict: the character file {label_dict} is not UTF-8 text") from error
        while lines and not lines[-1]:
            lines.pop()
        # A line may hold a letter and its accent, or white space behind its character.
        lines = [line if len(line) == 1 else composed(line.rstrip() or line) for line in lines]
        for number, line in enumerate(lines, 1):
            if len(line) != 1:
                raise ConfigError(f"label_dict: {label_dict}, line {number}: expected exactly one character, "
                                  f"got {line[:20]!r}")
        return cls("".join(lines))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and other.characters == self.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Charset({self.characters!r})"

    def fold(self, text: str) -> str:
        """Composes a text and lower-cases it unless the charset is case-sensitive.

        One character stays one, and one of the charset stays itself; of others those that no picture can show are left
        out, such as marks of the writing direction, which people's files have beside Arabic and Hebrew words. A capital
        becomes the letter whose capital it is in the charset: with a Turkish one ``I`` becomes ``ı``. What the charset
        lacks becomes what it has for the same letter: its parts where accents are classes of their own, or another form
        of it (a final sigma, an ordinary blank for a no-break one).
        """
        if text.isascii() and self._ascii_as_usual:
            return text if self.case_sensitive else text.lower()
        text = text.translate(self._without_ink)
        if self._apart is not None:
            text = "".join(part if i % 2 else composed(part) for i, part in enumerate(self._apart.split(text)))
        else:
            text = composed(text)
        for equal, own in self._equals.items():
            if equal in text:
                text = text.replace(equal, own)
        if "Σ" in text and "ς" in self._index and not self.case_sensitive:
            # The Greek capital that has another small letter at the end of a word, as lower() knows.
            small = text.replace("İ", "I").lower()
            text = "".join(low if c == "Σ" else c for c, low in zip(text, small, strict=True))
        return "".join(map(self._folded.__getitem__, text))

    def unknown(self, text: str) -> list[str]:
        """Characters of a text outside the charset (after folding), each once, in order of appearance."""
        return [c for c in dict.fromkeys(self.fold(text)) if c not in self._index]

    def turned(self, text: str) -> str:
        """A text in the order of its classes, or from that in the order of writing."""
        return turned(text) if self.right_to_left else text

    def encode(self, text: str) -> np.ndarray:
        """Turns a text into class indices.

        Returns:
            (L,) int32, one index per character of the folded text, in the order of the picture.

        Raises:
            DataError: the text holds characters outside the charset; the message names them.
        """
        try:
            return np.array([self._index[c] for c in self.turned(self.fold(text))], np.int32)
        except KeyError:
            raise DataError(f"the text {text!r} holds {_quoted(self.unknown(text))}, "
                            "which the charset (label_dict) does not have") from None

    def decode(self, indices: Iterable[int]) -> str:
        """Turns class indices into text in the order of writing, one character per index: no CTC collapsing.

        Raises:
            ValueError: an index is the blank or outside the classes.
        """
        result = []
        for index in indices:
            index = int(index)
            if not 0 <= index < self.blank:
                raise ValueError(f"class {index} is not a character: expected 0 to {self.blank - 1} "
                                 f"({self.blank} is the blank)")
            result.append(self.characters[index])
        return self.turned("".join(result))

    def split_text(self, flat: np.ndarray, lengths: np.ndarray) -> list[str]:
        """Turns the classes of texts that follow one another into texts, as :meth:`decode` does, many at a time.

        Args:
            flat: ``(sum of lengths,)`` classes.
            lengths: ``(N,)`` characters of every text.
        """
        joined = self._table[flat].tobytes().decode("utf-32-le")
        ends = np.cumsum(lengths)
        texts = [joined[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
        return list(map(turned, texts)) if self.right_to_left else texts


def required_steps(indices: np.ndarray) -> int:
    """CTC steps a label needs: its length plus one blank between every two equal neighbours.

    Examples:
        >>> required_steps([7, 4, 11, 11, 14])
        6
    """
    indices = np.asarray(indices)
    return len(indices) + int(np.count_nonzero(indices[1:] == indices[:-1]))


class _Folding(dict):
    """What each character becomes in :meth:`Charset.fold`; found when it is first asked for."""

    def __init__(self, charset: Charset):
        super().__init__()
        self._has, self._case_sensitive = charset._index, charset.case_sensitive
        # Capital -> letter of the charset; where two letters share one, the one that lower() gives.
        self.pairs: dict[str, str] = {}
        for c in charset.characters:
            capital = c.upper()
            if len(capital) == 1 and capital not in self._has and (capital not in self.pairs or capital.lower() == c):
                self.pairs[capital] = c
        # Turkish and Azeri have no w: with it, a charset is of several languages, and I is most likely not theirs.
        if "ı" in self._has and "w" not in self._has:
            self.pairs["I"] = "ı"

    def __missing__(self, c: str) -> str:
        found = self[c] = self._find(c)
        return found

    def _find(self, c: str) -> str:
        if c in self._has:
            return c
        if unicodedata.category(c) == "Zs" and " " in self._has:
            return " "  # a picture shows no difference: no-break, thin and ideographic blanks
        if not self._case_sensitive:
            # Only İ (I with a dot) has a lower case of two characters: i and a dot that i has already.
            lower = self.pairs.get(c) or c.lower()[0]
            c = lower if lower in self._has else self.pairs.get(c.upper(), lower)
        parts = unicodedata.normalize("NFD", c)
        return parts if c not in self._has and all(part in self._has for part in parts) else c


def shows_nothing(text: str) -> bool:
    r"""Whether no picture can show a text: it is empty, or of blanks and characters without ink alone.

    Examples:
        >>> shows_nothing(" \u200b"), shows_nothing(".")
        (True, False)
    """
    return not "".join(text.split()).strip(_WITHOUT_INK)


def composed(text: str) -> str:
    """A text in Unicode's composed form (NFC): a letter and its accents are one character where there is one."""
    return unicodedata.normalize("NFC", text)


def normalise(text: str, charset: Charset) -> str:
    """The form in which truth and prediction are compared.

    A charset without upper-case letters and with nothing but [0-9a-z] follows the field's protocol: lower case, and
    everything outside [0-9a-z] removed, once the letters that labels take for one of these (a dotless i) are it. Any
    other charset (case-sensitive, or with punctuation or another script) is there to read just those characters, so its
    text is compared as it is, case folded only if the charset folds it: a character that the charset lacks then makes
    the word wrong.

    Examples:
        >>> normalise("Joe's", Charset("0123456789abcdefghijklmnopqrstuvwxyz"))
        'joes'
    """
    if not charset.case_sensitive and _ALPHANUMERIC.issuperset(charset.characters):
        return _OUTSIDE_PROTOCOL.sub("", charset.fold(text).lower())
    return charset.fold(text)


def code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Strings as a matrix of code points ``(P, longest)`` int64, padded with 0, and their lengths ``(P,)``."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    padded = np.zeros((len(texts), int(lengths.max(initial=0))), np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = flat
    return padded, lengths


def _repeated(characters: str) -> list[str]:
    """The characters that occur more than once, each once."""
    return [c for c, count in Counter(characters).items() if count > 1]


def _quoted(characters: list[str]) -> str:
    """Lists characters for a message, control characters escaped."""
    return " ".join(repr(c) for c in characters)
