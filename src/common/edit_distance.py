"""Levenshtein distance, bit-parallel in numpy: many pairs of strings at once."""
from collections.abc import Sequence

import numpy as np

_ONE = np.uint64(1)


def code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Strings as a matrix of code points ``(P, longest)`` int64, padded with 0, and their lengths ``(P,)``."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    padded = np.zeros((len(texts), int(lengths.max(initial=0))), np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = flat
    return padded, lengths


def edit_distance(first: str, second: str) -> int:
    """Smallest number of insertions, deletions and substitutions that turn one string into the other."""
    return int(edit_distances([first], [second])[0])


def edit_distances(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """Levenshtein distance of every pair ``(first[i], second[i])``.

    Myers' bit-vector algorithm (1999) in the form of Hyyro (2003), one 64-bit word per pair, all pairs in step; pairs
    whose two strings are both longer than 64 characters take the plain table.

    Args:
        first: P strings.
        second: P strings.

    Returns:
        ``(P,)`` int64.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} strings against {len(second)}")
    # The shorter string is the pattern, so that only two long strings miss the fast path.
    pairs = [(a, b) if len(a) <= len(b) else (b, a) for a, b in zip(first, second, strict=True)]
    distances = np.zeros(len(pairs), np.int64)
    unequal = [i for i, (a, b) in enumerate(pairs) if a != b]
    long = [i for i in unequal if len(pairs[i][0]) > 64]
    for i in long:
        distances[i] = _table_distance(*pairs[i])
    rest = np.array(sorted(set(unequal) - set(long)), np.int64)
    for start in range(0, len(rest), 4096):
        rows = rest[start:start + 4096]
        distances[rows] = _bit_parallel([pairs[i][0] for i in rows], [pairs[i][1] for i in rows])
    return distances


def _bit_parallel(patterns: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    pattern, pattern_length = code_points(patterns)
    text, text_length = code_points(texts)
    bits = np.left_shift(_ONE, np.arange(pattern.shape[1], dtype=np.uint64))
    bits = np.where(np.arange(pattern.shape[1]) < pattern_length[:, None], bits, np.uint64(0))
    last = np.left_shift(_ONE, np.maximum(pattern_length - 1, 0).astype(np.uint64))
    score = pattern_length.copy()
    vp = np.full(len(patterns), ~np.uint64(0))
    vn = np.zeros(len(patterns), np.uint64)
    for j in range(text.shape[1]):
        match = np.where(pattern == text[:, j, None], bits, np.uint64(0)).sum(axis=1, dtype=np.uint64)
        score, vp, vn = myers_step(match, last, j < text_length, score, vp, vn)
    return np.where(pattern_length == 0, text_length, score)


def myers_step(match, last, active, score, vp, vn):
    """One text character for every row.

    Args:
        match: ``(P,)`` uint64, the pattern positions equal to the character.
        last: ``(P,)`` uint64, the bit of the pattern's last position.
        active: ``(P,)`` bool, rows whose score still counts (the text has not ended).
        score: ``(P,)`` int64, distance of the whole pattern to the text so far.
        vp: ``(P,)`` uint64, positive vertical differences.
        vn: ``(P,)`` uint64, negative ones.

    Returns:
        The new score, vp and vn.
    """
    d0 = (((match & vp) + vp) ^ vp) | match | vn
    hp = vn | ~(d0 | vp)
    hn = d0 & vp
    score = score + (active & ((hp & last) != 0)) - (active & ((hn & last) != 0))
    hp = (hp << _ONE) | _ONE
    hn = hn << _ONE
    return score, hn | ~(d0 | hp), hp & d0


def _table_distance(first: str, second: str) -> int:
    row = np.arange(len(second) + 1)
    codes = code_points([second])[0][0]
    steps = np.arange(1, len(second) + 1)
    for i, character in enumerate(first, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        # Insertions run along the row: D[j] = min over 1 <= k <= j of (best[k] + j - k), a running minimum; k = 0 never
        # wins, as best[1] <= i.
        row = np.concatenate([[i], np.minimum.accumulate(best - steps) + steps])
    return int(row[-1])
