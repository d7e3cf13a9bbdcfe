"""A character n-gram language model: trained from a word list, saved as one small file, used by the beam search."""
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading.word_list import WordEncoder

_FORMAT = "crnn-character-model-1"
# Probability rows are kept for every context seen; beyond this the order is too high for the word list.
_LARGEST_BYTES = 2**30


class CharacterModel:
    """p(next character or end | the last ``order - 1`` characters), smoothed.

    Witten-Bell interpolation (Witten and Bell 1991): every order trusts its counts as far as its context was seen often
    and was followed by few different characters, and takes the rest from the next shorter context, at last from the
    uniform distribution; so nothing has probability 0. Contexts start with padding, so word beginnings are learnt.

    A context is one integer, ``sum (class + 1) * base ** age``, the youngest character in the lowest digit, 0 for
    padding: the shorter context is the remainder modulo ``base ** length``.

    Args:
        charset: the characters; class ``V`` (the blank's place) stands for the end of the word.
        order: n of the n-grams, 1 or more.
        contexts: ``(K,)`` int64 contexts of ``order - 1`` characters.
        symbols: ``(K,)`` the class that followed, V for the end.
        counts: ``(K,)`` how often.

    Raises:
        ConfigError: the order does not fit the charset or the memory.
    """

    def __init__(self, charset: Charset, order: int, contexts: np.ndarray, symbols: np.ndarray, counts: np.ndarray):
        self.charset, self.order = charset, order
        self._counts = contexts, symbols, counts
        self.start = 0
        self._base = len(charset.characters) + 1
        self._tables: list[tuple[np.ndarray, int]] = []  # per length: sorted contexts, row of the first of them
        rows, lower, lower_contexts, used = [], np.full((1, self._base), 1 / self._base), np.zeros(1, np.int64), 0
        for length in range(order):
            short = contexts % self._base**length
            known, index = np.unique(short, return_inverse=True)
            if (used + len(known)) * self._base * 4 > _LARGEST_BYTES:
                raise ConfigError(f"a model of order {order} would need {used + len(known)} rows of {self._base} "
                                  f"probabilities; use --order {max(1, length)}")
            count = np.bincount(index * self._base + symbols, counts, len(known) * self._base).reshape(len(known), -1)
            kinds = (count > 0).sum(axis=1, keepdims=True)
            parent = np.searchsorted(lower_contexts, known % self._base**max(length - 1, 0))
            lower = (count + kinds * lower[parent]) / (count.sum(axis=1, keepdims=True) + kinds)
            lower_contexts = known
            self._tables.append((known, used))
            rows.append(np.log(lower).astype(np.float32))
            used += len(known)
        self._rows = np.concatenate(rows)

    @classmethod
    def train(cls, words: Iterable[str], charset: Charset, order: int = 6) -> tuple["CharacterModel", list[str]]:
        """Counts the n-grams of a word list; a word that is listed twice counts twice.

        Args:
            words: any words; normalised as ``src.common.charset.normalise`` does.
            charset: the characters of the model.
            order: n of the n-grams.

        Returns:
            The model, and the words that were left out: empty, or with characters outside the charset.

        Raises:
            ConfigError: no word can be used, or the order does not fit.
        """
        base = len(charset.characters) + 1
        if order < 1 or base**order >= 2**63:
            raise ConfigError(f"order is {order}; with {base - 1} characters it must be 1 to {int(63 / np.log2(base))}")
        words = list(words)
        labels, lengths, usable = _encode(words, charset)
        if not usable.any():
            raise ConfigError("no word of the list can be written with the charset (label_dict)")
        labels, lengths = labels[usable], lengths[usable]
        context, span = np.zeros(len(labels), np.int64), base ** (order - 1)
        contexts, symbols = [], []
        for i in range(labels.shape[1] + 1):
            rows = np.flatnonzero(lengths >= i)
            labels, lengths, context = labels[rows], lengths[rows], context[rows]
            # The padding behind a word is class V, which here means its end.
            symbol = labels[:, i] if i < labels.shape[1] else np.full(len(rows), base - 1)
            contexts.append(context)
            symbols.append(symbol)
            context = (context * base + symbol + 1) % span
        pairs, counts = np.unique(np.concatenate(contexts) * base + np.concatenate(symbols), return_counts=True)
        left_out = [words[i] for i in np.flatnonzero(~usable)]
        return cls(charset, order, pairs // base, pairs % base, counts), left_out

    def advance(self, state: np.ndarray, char: np.ndarray) -> np.ndarray:
        """The contexts after one more character each; any shape."""
        return (state * self._base + char + 1) % self._base ** (self.order - 1)

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        """Log probabilities of all characters and, last, of the end; ``state.shape + (V + 1,)`` float32."""
        flat = state.reshape(-1)
        row, known = np.zeros(len(flat), np.int64), np.arange(len(flat))
        for length in range(1, self.order):
            contexts, first = self._tables[length]
            wanted = flat[known] % self._base**length
            place = np.minimum(np.searchsorted(contexts, wanted), len(contexts) - 1)
            found = contexts[place] == wanted
            known = known[found]
            row[known] = first + place[found]
        return self._rows[row].reshape(*state.shape, -1)

    def word_log_probs(self, words: Iterable[str]) -> np.ndarray:
        """Log p(word and its end) of every word; NaN for words outside the charset or empty."""
        words = list(words)
        labels, lengths, usable = _encode(words, self.charset)
        result = np.where(usable, 0.0, np.nan)
        state = np.full(len(words), self.start, np.int64)
        for i in range(labels.shape[1] + 1):
            rows = np.flatnonzero(usable & (lengths >= i))
            symbol = labels[rows, i] if i < labels.shape[1] else np.full(len(rows), self._base - 1)
            result[rows] += self.log_probs(state[rows])[np.arange(len(rows)), symbol]
            state[rows] = self.advance(state[rows], symbol)
        return result

    def perplexity(self, words: Iterable[str]) -> float:
        """Per character, ends included, over the words that the charset can write; NaN without any."""
        words = list(words)
        lengths, usable = _encode(words, self.charset)[1:]
        symbols = (lengths[usable] + 1).sum()
        return float(np.exp(-np.nansum(self.word_log_probs(words)) / symbols)) if symbols else float("nan")

    def save(self, path: str | Path) -> None:
        """Writes the counts, compressed; the probabilities are computed again when loading."""
        contexts, symbols, counts = self._counts
        with open(path, "wb") as file:  # an open file, because numpy would add ".npz" to a name without it
            np.savez_compressed(file, format=_FORMAT, characters=np.array([ord(c) for c in self.charset.characters]),
                                order=self.order, contexts=np.diff(contexts, prepend=0),
                                symbols=symbols.astype(np.int32), counts=counts.astype(np.int32))

    @classmethod
    def load(cls, path: str | Path, charset: Charset) -> "CharacterModel":
        """Reads what ``save`` wrote.

        Raises:
            ConfigError: the file is not such a model, or belongs to another charset.
            OSError: it cannot be opened.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if str(file["format"]) != _FORMAT:
                    raise ValueError
                characters = "".join(map(chr, file["characters"]))
                parts = [int(file["order"]), np.cumsum(file["contexts"]), file["symbols"].astype(np.int64),
                         file["counts"]]
        except (ValueError, TypeError, KeyError, EOFError, RuntimeError, TokenError, zipfile.BadZipFile,
                zlib.error) as error:
            raise ConfigError(f"{path}: not a language model; make one with train_language_model.py") from error
        if characters != charset.characters:
            raise ConfigError(f"{path}: the language model is for the characters '{characters}', the charset "
                              f"(label_dict) is '{charset.characters}'; train one for it with train_language_model.py")
        return cls(charset, *parts)


def _encode(words: list[str], charset: Charset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels ``(W, L)`` padded with V, lengths, and which words are usable: not empty and inside the charset."""
    encoder = WordEncoder(charset)
    labels, lengths, known = encoder.encode([encoder.key(word) for word in words])
    return labels, lengths, known & (lengths > 0)
