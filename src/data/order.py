"""In which order a training epoch goes through its samples: a function of seed and epoch alone."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.common.errors import ConfigError

_WINDOW = 32  # batches that are sorted by length together


@dataclass(frozen=True)
class Mixture:
    """Parts of a data set with the share each has in an epoch.

    Attributes:
        names: of the parts.
        shares: of each; they add up to 1.
        positions: of each, (P,) places among the samples used.
    """

    names: Sequence[str]
    shares: Sequence[float]
    positions: Sequence[np.ndarray]

    def __len__(self) -> int:
        return sum(map(len, self.positions))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """The samples of one epoch, shuffled: as many as there are.

        A part with a larger share than its size comes round again, each sample equally often but for one; of the
        others a random choice, another one in every epoch.
        """
        ends = np.rint(np.cumsum(self.shares) * len(self)).astype(np.int64)
        drawn = []
        for positions, count in zip(self.positions, np.diff(ends, prepend=0), strict=True):
            rounds = [rng.permutation(positions) for _ in range(-(-int(count) // len(positions)))]
            drawn += [np.concatenate(rounds)[:count]] if rounds else []
        return rng.permutation(np.concatenate(drawn))

    def summary(self) -> str:
        """One line for people."""
        return "mixed " + ", ".join(f"{100 * share:.3g} % {name} ({len(positions)})" for name, share, positions in
                                    zip(self.names, self.shares, self.positions, strict=True))


def parse_mixture(text: str) -> dict[str, float]:
    """Reads 'MJ:0.5,ST:0.5' as name -> share; shares are scaled to add up to 1.

    Raises:
        ConfigError: it has another form.

    Examples:
        >>> parse_mixture("MJ:1, ST:3")
        {'MJ': 0.25, 'ST': 0.75}
    """
    shares: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.rpartition(":")
        name = name.strip().strip("/")
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not name or not 0 < value < float("inf") or name in shares:
            raise ConfigError(f"train_mix {text!r}: expected each part once with a share above 0, such as "
                              f"MJ:0.5,ST:0.5, not {item.strip()!r}")
        shares[name] = value
    return {name: share / sum(shares.values()) for name, share in shares.items()}


def mixture(text: str, parts: Sequence[tuple[str, int, int]], numbers: np.ndarray) -> tuple[np.ndarray, Mixture]:
    """Makes the mixture that 'train_mix' describes.

    Args:
        text: as for :func:`parse_mixture`; a name stands for the part of that name and all parts below it.
        parts: name, first sample and the one past the last, of each part of the set.
        numbers: (K,) numbers of the samples that can be trained on, rising.

    Returns:
        Those of the parts named, and the mixture, whose positions are places in them.

    Raises:
        ConfigError: a name that no part has, that two names share a part, or a part of which nothing is left.
    """
    chosen: list[tuple[str, float, np.ndarray]] = []
    taken: dict[str, str] = {}
    for name, share in parse_mixture(text).items():
        own = [part for part in parts if part[0] == name or part[0].startswith(name + "/")]
        if not own:
            raise ConfigError(f"train_mix: there is no part {name}; parts: {', '.join(part[0] for part in parts)}")
        for part in own:
            if part[0] in taken:
                raise ConfigError(f"train_mix: {name} and {taken[part[0]]} both hold {part[0]}")
            taken[part[0]] = name
        samples = np.concatenate([numbers[slice(*np.searchsorted(numbers, part[1:]))] for part in own])
        if not len(samples):
            raise ConfigError(f"train_mix: nothing of {name} can be trained on")
        chosen.append((name, share, samples))
    ends = np.cumsum([len(samples) for *_, samples in chosen])
    positions = np.split(np.arange(ends[-1]), ends[:-1])
    names, shares, samples = zip(*chosen, strict=True)
    return np.concatenate(samples), Mixture(names, shares, positions)


def group_by_length(order: np.ndarray, length: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Reorders samples so that those of one batch are about equally long; batches stay shuffled.

    Words are as wide as they are long, and a batch is padded to its widest image. Every run of 32 batches is sorted by
    length and its batches are shuffled; what does not fill a batch stays at the end.

    Args:
        order: (N,) shuffled positions.
        length: (N,) characters of the word at each place of ``order``.
        batch_size: samples a batch.
        rng: for the order of the batches.

    Examples:
        Two batches of two: the short words meet in one, the long ones in the other.

        >>> order, length = np.array([10, 11, 12, 13]), np.array([3, 9, 2, 8])
        >>> sorted(map(sorted, group_by_length(order, length, 2, np.random.default_rng(0)).reshape(2, 2).tolist()))
        [[10, 12], [11, 13]]
    """
    whole = len(order) // batch_size * batch_size
    parts = []
    for start in range(0, whole, _WINDOW * batch_size):
        window = slice(start, min(start + _WINDOW * batch_size, whole))
        rows = order[window][np.argsort(length[window], kind="stable")].reshape(-1, batch_size)
        parts.append(rng.permutation(rows, axis=0).ravel())
    return np.concatenate([*parts, order[whole:]])
