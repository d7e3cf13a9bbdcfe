"""A character n-gram language model: trained from a word list, saved as one small file, used by the beam search."""
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.common.files import check_unpacked
from src.reading.word_list import WordEncoder

_FORMAT, _OLD_FORMAT = "crnn-character-model-2", "crnn-character-model-1"
# Probability rows are kept for every context seen; beyond this the order is too high for the word list.
_LARGEST_BYTES = 2**30
# Contexts are looked up in a plain table as long as it has no more entries than this.
_LARGEST_TABLE = 2**20


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
    """

    weight: float = 0.2
    bonus: float = 1.0
    strange: float = 0.0
    sure: float = 2.0
    temperature: float = 1.0

    def __post_init__(self):
        if not (0 <= self.weight < np.inf and np.isfinite(self.bonus) and 0 <= self.strange < np.inf
                and self.sure >= 0 and 0 < self.temperature < np.inf):
            raise ConfigError(f"a language model cannot be used with {self}: weight, strange and sure must be 0 or "
                              "more, temperature above 0")


class CharacterModel:
    """p(next character or end | the last ``order - 1`` characters), smoothed.

    Witten-Bell interpolation (Witten and Bell 1991): every order trusts its counts as far as its context was seen often
    and was followed by few different characters, and takes the rest from the next shorter context, at last from the
    uniform distribution; so nothing has probability 0. Contexts start with padding, so word beginnings are learnt.

    Characters may share their statistics as one *symbol*, such as the ten digits: what a word list knows of "1995" then
    holds for every number of four digits. Each has an equal part of the symbol's probability.

    A context is one integer, ``sum (symbol + 1) * base ** (order - 2 - age)``, the youngest character in the highest
    digit, 0 for padding. So a shorter context is a quotient by a power of the base, and keeps the order of sorting.

    Args:
        charset: the characters; class ``V`` (the blank's place) stands for the end of the word.
        order: n of the n-grams, 1 or more.
        contexts: ``(K,)`` int64 contexts of ``order - 1`` symbols, sorted.
        symbols: ``(K,)`` the symbol that followed; the last one is the end.
        counts: ``(K,)`` how often.
        tied: characters that share their statistics; those the charset lacks do not count.
        use: how a beam search is to use it.

    Raises:
        ConfigError: the order does not fit the charset or the memory.
    """

    def __init__(self, charset: Charset, order: int, contexts: np.ndarray, symbols: np.ndarray, counts: np.ndarray,
                 tied: str = "", use: Use | None = None):
        self.charset, self.order, self.tied = charset, order, tied
        self.use = use or Use()
        self._counts = contexts, symbols, counts
        self.start = 0
        self._symbol = symbol_of(charset, tied)
        size = np.bincount(self._symbol)
        self._base = base = len(size)
        self._youngest = base ** max(order - 2, 0) if order > 1 else 0
        self._searched: list[tuple[int, np.ndarray, int]] = []  # divisor, sorted contexts, row of the first of them
        self._table, self._table_divisor = np.zeros(1, np.int64), base ** (order - 1)
        rows, used = [], 0
        lower, lower_contexts = size[None] / size.sum(), np.zeros(1, np.int64)
        for length in range(order):
            divisor = base ** (order - 1 - length)
            short = contexts // divisor
            first = np.flatnonzero(np.diff(short, prepend=-1))
            known = short[first]
            if (used + len(known)) * base * 4 > _LARGEST_BYTES:
                raise ConfigError(f"a model of order {order} would need {used + len(known)} rows of {base} "
                                  f"probabilities; use --order {max(1, length)}")
            index = np.repeat(np.arange(len(known)), np.diff(first, append=len(short)))
            count = np.bincount(index * base + symbols, counts, len(known) * base).reshape(len(known), base)
            kinds = np.count_nonzero(count, axis=1)[:, None]
            total = np.einsum("ks->k", count)[:, None]
            parent = np.searchsorted(lower_contexts, known // base) if length else np.zeros(1, np.int64)
            count += kinds * lower[parent]
            count /= total + kinds
            lower, lower_contexts = count, known
            rows.append(np.log((lower / size).astype(np.float32)))
            if base**length <= _LARGEST_TABLE:
                self._table, self._table_divisor = np.repeat(self._table, base if length else 1), divisor
                self._table[known] = used + np.arange(len(known))
            else:
                self._searched.append((divisor, known, used))
            used += len(known)
        self._rows = np.concatenate(rows)

    @classmethod
    def train(cls, words: Iterable[str], charset: Charset, order: int = 6, counts: Sequence[float] | None = None,
              tied: str = "", use: Use | None = None) -> tuple["CharacterModel", list[str]]:
        """Counts the n-grams of a word list; a word that is listed twice counts twice.

        Args:
            words: any words; normalised as ``src.metric.normalise`` does.
            charset: the characters of the model.
            order: n of the n-grams.
            counts: how often each word counts, whole numbers above 0; every word once if left out.
            tied: characters that share their statistics.
            use: how a beam search is to use the model.

        Returns:
            The model, and the words that were left out: empty, or with characters outside the charset.

        Raises:
            ConfigError: no word can be used, or the order does not fit.
        """
        symbol = symbol_of(charset, tied)
        base = int(symbol[-1]) + 1
        if order < 1 or base**order >= 2**63:
            raise ConfigError(f"order is {order}; with {base - 1} characters it must be 1 to {int(63 / np.log2(base))}")
        words = list(words)
        weights = np.ones(len(words)) if counts is None else np.asarray(counts, np.float64)
        labels, lengths, usable = _encode(words, charset)
        if not usable.any():
            raise ConfigError("no word of the list can be written with the charset (label_dict)")
        labels, lengths, weights = symbol[labels[usable]], lengths[usable], weights[usable]
        context, youngest = np.zeros(len(labels), np.int64), base ** max(order - 2, 0) if order > 1 else 0
        keys, times = [], []
        for i in range(labels.shape[1] + 1):
            rows = np.flatnonzero(lengths >= i)
            labels, lengths, context, weights = labels[rows], lengths[rows], context[rows], weights[rows]
            # The padding behind a word is class V, which here means its end.
            following = labels[:, i] if i < labels.shape[1] else np.full(len(rows), base - 1)
            keys.append(context * base + following)
            times.append(weights)
            context = context // base + (following + 1) * youngest
        pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
        total = np.bincount(place, np.concatenate(times)).astype(np.int64)
        left_out = [words[i] for i in np.flatnonzero(~usable)]
        return cls(charset, order, pairs // base, pairs % base, total, tied, use), left_out

    def advance(self, state: np.ndarray, char: np.ndarray) -> np.ndarray:
        """The contexts after one more character each; any shape."""
        return state // self._base + (self._symbol[char] + 1) * self._youngest

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        """Log probabilities of all characters and, last, of the end; ``state.shape + (V + 1,)`` float32."""
        return self._rows[self._row(state)][..., self._symbol]

    def log_probs_of(self, state: np.ndarray, chars: np.ndarray) -> np.ndarray:
        """Log probabilities of some characters: state ``(N, B)``, chars ``(N, K)``; ``(N, B, K)`` float32."""
        places = self._row(state)[:, :, None] * self._base + self._symbol[chars][:, None, :]
        return self._rows.reshape(-1).take(places)

    def _row(self, state: np.ndarray) -> np.ndarray:
        """Row of the longest known context at the end of each."""
        row = self._table[state // self._table_divisor]
        if self._searched:
            row, flat = row.reshape(-1), state.reshape(-1)
            left = np.arange(len(flat))
            for divisor, contexts, first in self._searched:
                wanted = flat[left] // divisor
                place = np.minimum(np.searchsorted(contexts, wanted), len(contexts) - 1)
                found = contexts[place] == wanted
                left = left[found]
                row[left] = first + place[found]
        return row.reshape(state.shape)

    def word_log_probs(self, words: Iterable[str]) -> np.ndarray:
        """Log p(word and its end) of every word by the n-grams; NaN for words outside the charset or empty."""
        words = list(words)
        labels, lengths, usable = _encode(words, self.charset)
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
        lengths, usable = _encode(words, self.charset)[1:]
        symbols = (lengths[usable] + 1).sum()
        return float(np.exp(-np.nansum(self.word_log_probs(words)) / symbols)) if symbols else float("nan")

    def save(self, path: str | Path) -> None:
        """Writes the counts, compressed; the probabilities are computed again when loading.

        The same model gives the same bytes.
        """
        contexts, symbols, counts = self._counts
        with open(path, "wb") as file:  # an open file, because numpy would add ".npz" to a name without it
            np.savez_compressed(file, format=_FORMAT, characters=_codes(self.charset.characters),
                                tied=_codes(self.tied), order=self.order, use=np.array(astuple(self.use)),
                                contexts=_planes(np.diff(contexts, prepend=0)), symbols=symbols.astype(np.uint16),
                                counts=_planes(counts))

    @classmethod
    def load(cls, path: str | Path, charset: Charset) -> "CharacterModel":
        """Reads what ``save`` wrote.

        Raises:
            ConfigError: the file is not such a model, or belongs to another charset.
            OSError: it cannot be opened.
        """
        characters, parts = _read(path)
        if characters != charset.characters:
            raise ConfigError(f"{path}: the language model is for the characters '{characters}', the charset "
                              f"(label_dict) is '{charset.characters}'; train one for it with train_language_model.py")
        return cls(charset, *parts)


def symbol_of(charset: Charset, tied: str = "") -> np.ndarray:
    """The symbol of every class, ``(V + 1,)``, the end last; the tied characters have one together."""
    shared = [c in tied for c in charset.characters] + [False]
    first = shared.index(True) if any(shared) else 0
    own = ~np.array(shared)
    own[first] = True
    symbol = np.cumsum(own) - 1
    symbol[shared] = symbol[first]
    return symbol


def _read(path: str | Path) -> tuple[str, list]:
    """The characters of a file that ``CharacterModel.save`` wrote, and what follows the charset in its constructor."""
    try:
        check_unpacked(path)
        with np.load(path, allow_pickle=False) as file:
            if str(file["format"]) == _OLD_FORMAT:
                raise ConfigError(f"{path}: a language model of an earlier version; make it anew with "
                                  "train_language_model.py")
            if str(file["format"]) != _FORMAT:
                raise ValueError
            characters, tied = ("".join(map(chr, file[name])) for name in ("characters", "tied"))
            contexts, counts = (_from_planes(file[name]) for name in ("contexts", "counts"))
            return characters, [int(file["order"]), np.cumsum(contexts), file["symbols"].astype(np.int64), counts, tied,
                                Use(*file["use"].tolist())]
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError, OverflowError, MemoryError,
            SyntaxError, TokenError, zipfile.BadZipFile, zlib.error) as error:
        if getattr(error, "filename", None):  # it cannot be opened, and the error says why
            raise
        raise ConfigError(f"{path}: not a language model; make one with train_language_model.py") from error


def _codes(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text], np.int32)


def _planes(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers as their eight bytes, ``(8, K)``: all lowest bytes first, which compresses a third better."""
    return np.ascontiguousarray(numbers.astype("<i8").view(np.uint8).reshape(-1, 8).T)


def _from_planes(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(planes.T).view("<i8").reshape(-1).astype(np.int64)


def _encode(words: list[str], charset: Charset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels ``(W, L)`` padded with V, lengths, and which words are usable: not empty and inside the charset."""
    encoder = WordEncoder(charset)
    labels, lengths, known = encoder.encode([encoder.key(word) for word in words])
    return labels, lengths, known & (lengths > 0)
