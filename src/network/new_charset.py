"""Weights for another charset: what the last layer knows about the characters that both have is kept."""
from collections.abc import Mapping

import numpy as np

from src.common.charset import Charset
from src.network.description import LAST_LAYERS


def with_charset(weights: Mapping[str, np.ndarray], old: Charset, new: Charset, seed: int = 1) -> dict[str, np.ndarray]:
    """Gives a network another charset.

    The rows of the last layer that belong to characters of both, and that of the blank, move to their new places. The
    others are drawn, uniform within 1 / sqrt(inputs) as a dense layer's first weights.

    Args:
        weights: the network's parameters by name; the last layer is ``(classes, inputs)`` and ``(classes,)``.
        old: the charset of the weights.
        new: the one to have.
        seed: of the drawn rows.
    """
    places = {character: row for row, character in enumerate(old.characters)}
    rows = [places.get(character, -1) for character in new.characters] + [old.blank]
    rng = np.random.default_rng(seed)
    changed = dict(weights)
    names = [name for name in weights if name.startswith(LAST_LAYERS)]
    inputs = next(weights[name].shape[1] for name in names if weights[name].ndim == 2)
    for name in names:
        value = weights[name]
        limit = 1 / np.sqrt(inputs)
        drawn = rng.uniform(-limit, limit, (new.class_num, *value.shape[1:])).astype(value.dtype)
        known = np.array(rows) >= 0
        drawn[known] = value[np.array(rows)[known]]
        changed[name] = drawn
    return changed


def shared_characters(old: Charset, new: Charset) -> int:
    """How many characters both have."""
    return len(set(old.characters) & set(new.characters))
