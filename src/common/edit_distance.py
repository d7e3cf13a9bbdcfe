"""Levenshtein distance of strings."""
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein


def edit_distances(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """Smallest number of insertions, deletions and substitutions that turn ``first[i]`` into ``second[i]``.

    rapidfuzz counts them: the lexicon's search has a walk of its own through its words and needs none of it.

    Args:
        first: P strings.
        second: P strings.

    Returns:
        ``(P,)`` int64.

    Raises:
        ValueError: not as many strings on both sides.

    Examples:
        >>> edit_distances(["hat", "fox"], ["heat", "box"]).tolist()
        [1, 1]
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} strings against {len(second)}")
    return np.array([Levenshtein.distance(a, b) for a, b in zip(first, second, strict=True)], np.int64)
