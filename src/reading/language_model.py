"""A character n-gram language model: one small file that is loaded at once, used by the beam search."""
import json
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.common.files import parse_json, write_bytes
from src.reading.word_list import WordEncoder

_FORMAT, _OLD_FORMAT = b"crnn-character-model-3", b"PK"
# A log probability is kept in a byte, in steps of a sixteenth.
_STEPS, _LEAST = 16, 255 / 16


@dataclass(frozen=True)
class Use:
    """How a beam search is to use a model: what validation words chose, kept in the model's file.

    The score of a text is log p(text | image) + log(p_model(text) ** weight * exp(bonus * length) + strange). So a word
    that the model knows gains much, and no text loses more than log(strange): among codes, plates and prices the
    network alone decides.

    Attributes:
        weight: exponent of the model's probability, 0 or more.
        bonus: per character, against the model's liking for short texts.
        strange: what a text counts that is no word, 0 or more.
        sure: a greedy reading with at least this confidence is left alone; above 1 none is.
        temperature: divides the scores before they become the confidence, above 0.
        unsure: of the words read with at least this confidence 95 % were right.
    """

    weight: float = 0.2
    bonus: float = 1.0
    strange: float = 0.0
    sure: float = 2.0
    temperature: float = 1.0
    unsure: float = 0.5

    def __post_init__(self):
        if not (0 <= self.weight < np.inf and np.isfinite(self.bonus) and 0 <= self.strange < np.inf
                and self.sure >= 0 and 0 < self.temperature < np.inf and 0 <= self.unsure <= 1):
            raise ConfigError(f"a language model cannot be used with {self}: weight, strange and sure must be 0 or "
                              "more, temperature above 0, unsure 0 to 1")


class CharacterModel:
    """p(next character or end | the last ``order - 1`` characters), as ``src.reading.model_training`` counted it.

    Characters may share their statistics as one *symbol*, such as the ten digits: what a word list knows of "1995" then
    holds for every number of four digits. Each has an equal part of the symbol's probability.

    A context is one integer, ``sum (symbol + 1) * base ** (order - 2 - age)``, the youngest character in the highest
    digit, 0 for padding. So a shorter context is a quotient by a power of the base, and keeps the order of sorting.

    Args:
        charset: the characters; class ``V`` (the blank's place) stands for the end of the word.
        contexts: known contexts of 0, 1, ... ``order - 1`` symbols, each array sorted; with a context its shorter ones
            are there, too.
        codes: ``(contexts in all, base)`` uint8, sixteenths of minus the log probability of every symbol.
        tied: characters that share their statistics; those the charset lacks do not count.
        use: how a beam search is to use it.
    """

    def __init__(self, charset: Charset, contexts: Sequence[np.ndarray], codes: np.ndarray, tied: str = "",
                 use: Use | None = None):
        self.charset, self.tied, self.order = charset, tied, len(contexts)
        self.use = use or Use()
        self.start = 0
        self._contexts, self._codes = contexts, codes
        self._symbol = symbol_of(charset, tied)
        size = np.bincount(self._symbol)
        self._base = base = len(size)
        self._share = np.log(size)[self._symbol]
        self._youngest = base ** max(self.order - 2, 0) if self.order > 1 else 0
        self._divisors = [base ** (self.order - 1 - length) for length in range(self.order)]
        self._first = np.cumsum([0, *map(len, contexts)]).tolist()
        self._known: dict[int, list[float]] = {}

    def advance(self, state: np.ndarray, char: np.ndarray) -> np.ndarray:
        """The contexts after one more character each; any shape."""
        return state // self._base + (self._symbol[char] + 1) * self._youngest

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        """Log probabilities of all characters and, last, of the end; ``state.shape + (V + 1,)`` float64."""
        return self._spread(self._codes[self._row(state)])

    def follow(self, state: int, char: int) -> int:
        """:meth:`advance` for one."""
        return state // self._base + self._symbols[char] * self._youngest

    def log_probs_after(self, state: int) -> list[float]:
        """:meth:`log_probs` for one, remembered."""
        found = self._known.get(state)
        if found is None:
            row = 0
            for divisor, contexts, first in zip(self._divisors, self._lists, self._first, strict=False):
                wanted = state // divisor
                place = bisect_left(contexts, wanted)
                if place == len(contexts) or contexts[place] != wanted:
                    break
                row = first + place
            if len(self._known) > 100_000:  # an endless stream of strange readings must not pile up
                self._known.clear()
            found = self._known[state] = self._spread(self._codes[row]).tolist()
        return found

    @cached_property
    def _lists(self) -> list[Sequence[int]]:
        return [memoryview(np.ascontiguousarray(known)) for known in self._contexts]

    @cached_property
    def _symbols(self) -> list[int]:
        return (self._symbol + 1).tolist()

    def _spread(self, codes: np.ndarray) -> np.ndarray:
        """Codes of symbols ``(..., base)`` to log probabilities of classes ``(..., V + 1)``."""
        return codes[..., self._symbol] / -_STEPS - self._share

    def _row(self, state: np.ndarray) -> np.ndarray:
        """Row of the longest known context at the end of each."""
        flat = np.asarray(state).reshape(-1)
        row, left = np.zeros(len(flat), np.int64), np.arange(len(flat))
        for divisor, contexts, first in zip(self._divisors, self._contexts, self._first, strict=False):
            wanted = flat[left] // divisor
            place = np.minimum(np.searchsorted(contexts, wanted), len(contexts) - 1)
            found = contexts[place] == wanted
            left = left[found]
            row[left] = first + place[found]
        return row.reshape(np.shape(state))

    def word_log_probs(self, words: Iterable[str]) -> np.ndarray:
        """Log p(word and its end) of every word by the n-grams; NaN for words outside the charset or empty."""
        words = list(words)
        labels, lengths, usable = encode(words, self.charset)
        result = np.where(usable, 0.0, np.nan)
        state = np.full(len(words), self.start, np.int64)
        for i in range(labels.shape[1] + 1):
            rows = np.flatnonzero(usable & (lengths >= i))
            char = labels[rows, i] if i < labels.shape[1] else np.full(len(rows), self.charset.blank)
            result[rows] += self.log_probs(state[rows])[np.arange(len(rows)), char]
            state[rows] = self.advance(state[rows], char)
        return result

    def perplexity(self, words: Iterable[str]) -> float:
        """Per character, ends included, over the words that the charset can write; NaN without any."""
        words = list(words)
        lengths, usable = encode(words, self.charset)[1:]
        symbols = (lengths[usable] + 1).sum()
        return float(np.exp(-np.nansum(self.word_log_probs(words)) / symbols)) if symbols else float("nan")

    def save(self, path: str | Path, use: Use | None = None) -> None:
        """Writes the file: a line with format and CRC-32 of what follows, a line of JSON, contexts, codes.

        The same model gives the same bytes.

        Args:
            path: the file.
            use: other settings than the model's own.
        """
        kind = np.dtype("<i4" if max(int(known[-1]) for known in self._contexts) < 2**31 else "<i8")
        facts = {"characters": self.charset.characters, "tied": self.tied, "use": asdict(use or self.use),
                 "contexts": [len(known) for known in self._contexts], "bytes": kind.itemsize}
        parts = [json.dumps(facts).encode() + b"\n", *(known.astype(kind).tobytes() for known in self._contexts),
                 self._codes.tobytes()]
        data = b"".join(parts)
        write_bytes(path, b"%s %08x\n" % (_FORMAT, zlib.crc32(data)) + data)

    @classmethod
    def load(cls, path: str | Path, charset: Charset) -> "CharacterModel":
        """Reads what ``save`` wrote.

        Raises:
            ConfigError: the file is not such a model, was altered, or belongs to another charset.
            OSError: it cannot be opened.
        """
        data = Path(path).read_bytes()
        head, _, rest = data.partition(b"\n")
        if head.startswith(_OLD_FORMAT):
            raise ConfigError(f"{path}: a language model of an earlier version; make it anew with "
                              "train_language_model.py")
        if not head.startswith(_FORMAT):
            raise ConfigError(f"{path}: not a language model; make one with train_language_model.py")
        if head != b"%s %08x" % (_FORMAT, zlib.crc32(rest)):
            raise ConfigError(f"{path} was altered since it was written (its checksum is another); take another copy, "
                              "or make it anew with train_language_model.py")
        try:
            place = rest.index(b"\n") + 1
            facts, contexts = parse_json(rest[:place]), []
            if facts["characters"] != charset.characters:
                raise ConfigError(f"{path}: the language model is for the characters '{facts['characters']}', the "
                                  f"charset (label_dict) is '{charset.characters}'; train one for it with "
                                  "train_language_model.py")
            for count in facts["contexts"]:
                contexts.append(np.frombuffer(rest, f"<i{facts['bytes']}", count, place).astype(np.int64))
                place += count * facts["bytes"]
            codes = np.frombuffer(rest, np.uint8, offset=place).reshape(sum(facts["contexts"]), -1)
            try:
                use = Use(**{name: float(value) for name, value in facts["use"].items()})
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
            model = cls(charset, contexts, codes, facts["tied"], use)
            if codes.shape[1] != model._base:
                raise ValueError(f"{codes.shape[1]} symbols, where the characters make {model._base}")
            return model
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ConfigError(f"{path}: not a language model; make one with train_language_model.py") from error


def to_codes(log_p: np.ndarray) -> np.ndarray:
    """Log probabilities as they are kept, uint8."""
    return np.rint(np.clip(-log_p, 0, _LEAST) * _STEPS).astype(np.uint8)


def symbol_of(charset: Charset, tied: str = "") -> np.ndarray:
    """The symbol of every class, ``(V + 1,)``, the end last; the tied characters have one together."""
    shared = [c in tied for c in charset.characters] + [False]
    first = shared.index(True) if any(shared) else 0
    own = ~np.array(shared)
    own[first] = True
    symbol = np.cumsum(own) - 1
    symbol[shared] = symbol[first]
    return symbol


def encode(words: list[str], charset: Charset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels ``(W, L)`` padded with V, lengths, and which words are usable: not empty and inside the charset."""
    encoder = WordEncoder(charset)
    labels, lengths, known = encoder.encode([encoder.key(word) for word in words])
    return labels, lengths, known & (lengths > 0)
