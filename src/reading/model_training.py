"""Counts the n-grams of word lists, smooths them, and keeps those that tell most: makes a language model."""
from collections.abc import Iterable, Sequence

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading.language_model import CharacterModel, Use, encode, symbol_of, to_codes

# Probabilities are computed for every context seen; beyond this the order is too high for the word list.
_LARGEST_BYTES = 2**30
# What a model's contexts take at most, in its file and in memory.
LARGEST_FILE = 2_900_000


def train_model(words: Iterable[str], charset: Charset, order: int = 6, counts: Sequence[float] | None = None,
                tied: str = "", use: Use | None = None,
                size: int = LARGEST_FILE) -> tuple[CharacterModel, list[str]]:
    """Makes a model from a word list; a word that is listed twice counts twice.

    Witten-Bell interpolation (Witten and Bell 1991): every order trusts its counts as far as its context was seen often
    and was followed by few different characters, and takes the rest from the next shorter context, at last from the
    uniform distribution; so nothing has probability 0. Contexts start with padding, so word beginnings are learnt.

    Of more contexts than fit, those stay that change most: a context counts as often as it was seen times the
    Kullback-Leibler divergence of its distribution from that of the next shorter one (as Stolcke 1998 prunes).

    Args:
        words: any words; normalised as ``src.metric.normalise`` does.
        charset: the characters of the model.
        order: n of the n-grams.
        counts: how often each word counts, whole numbers above 0; every word once if left out.
        tied: characters that share their statistics.
        use: how a beam search is to use the model.
        size: bytes that its contexts may take.

    Returns:
        The model, and the words that were left out: empty, or with characters outside the charset.

    Raises:
        ConfigError: no word can be used, or the order does not fit the charset or the memory.
    """
    symbol = symbol_of(charset, tied)
    base = int(symbol[-1]) + 1
    if order < 1 or base**order >= 2**63:
        raise ConfigError(f"order is {order}; with {base - 1} characters it must be 1 to {int(63 / np.log2(base))}")
    words = list(words)
    weights = np.ones(len(words)) if counts is None else np.asarray(counts, np.float64)
    labels, lengths, usable = encode(words, charset)
    if not usable.any():
        raise ConfigError("no word of the list can be written with the charset (label_dict)")
    pairs, total = _count(symbol[labels[usable]], lengths[usable], weights[usable], order, base)
    contexts, rows, gains = _smooth(pairs // base, pairs % base, total, order, np.bincount(symbol))
    keep = _most_telling(contexts, gains, max(1, size // (base + (4 if base ** (order - 1) < 2**31 else 8))), base)
    codes = np.concatenate([to_codes(np.log(row[kept])) for row, kept in zip(rows, keep, strict=True)])
    contexts = [known[kept] for known, kept in zip(contexts, keep, strict=True)]
    return CharacterModel(charset, contexts, codes, tied, use), [words[i] for i in np.flatnonzero(~usable)]


def _count(labels: np.ndarray, lengths: np.ndarray, weights: np.ndarray, order: int,
           base: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted pairs ``context * base + symbol`` of all words, and how often each occurs."""
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
    return pairs, np.bincount(place, np.concatenate(times))


def _smooth(contexts: np.ndarray, symbols: np.ndarray, counts: np.ndarray, order: int,
            size: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Contexts of every length, the probabilities of the symbols after each, and what each context tells.

    Args:
        contexts: ``(K,)`` int64 of ``order - 1`` symbols, sorted.
        symbols: ``(K,)`` the symbol that followed; the last one is the end.
        counts: ``(K,)`` how often.
        order: n.
        size: characters of every symbol.

    Raises:
        ConfigError: there are too many.
    """
    base, used = len(size), 0
    all_contexts, all_rows, gains = [], [], []
    lower, lower_contexts = size[None] / size.sum(), np.zeros(1, np.int64)
    for length in range(order):
        short = contexts // base ** (order - 1 - length)
        first = np.flatnonzero(np.diff(short, prepend=-1))
        known = short[first]
        used += len(known)
        if used * base * 4 > _LARGEST_BYTES:
            raise ConfigError(f"a model of order {order} would need {used} rows of {base} probabilities; use --order "
                              f"{max(1, length)}")
        index = np.repeat(np.arange(len(known)), np.diff(first, append=len(short)))
        row: np.ndarray = np.bincount(index * base + symbols, counts, len(known) * base).reshape(len(known), base)
        kinds = np.count_nonzero(row, axis=1)[:, None]
        total = np.einsum("ks->k", row)[:, None]
        parent = lower[np.searchsorted(lower_contexts, known // base) if length else np.zeros(1, np.int64)]
        row += kinds * parent
        row /= total + kinds
        gains.append(total[:, 0] * np.einsum("ks,ks->k", row, np.log(row / parent)))
        lower, lower_contexts = row, known
        all_contexts.append(known)
        all_rows.append(row.astype(np.float32))
    return all_contexts, all_rows, gains


def _most_telling(contexts: list[np.ndarray], gains: list[np.ndarray], count: int, base: int) -> list[np.ndarray]:
    """Which contexts of every length stay, bool: ``count`` of them, each with its shorter ones."""
    gains[0][:] = np.inf
    for length in range(len(contexts) - 1, 1, -1):
        parent = np.searchsorted(contexts[length - 1], contexts[length] // base)
        np.maximum.at(gains[length - 1], parent, gains[length])
    together = np.concatenate(gains)
    chosen = np.zeros(len(together), bool)
    # Stable, and shorter contexts first: where two count the same the shorter one stays.
    chosen[np.argsort(-together, kind="stable")[:count]] = True
    return np.split(chosen, np.cumsum([len(known) for known in contexts])[:-1])
