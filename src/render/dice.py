"""Cheap random numbers of one image: a block of uniforms drawn once, handed out one by one."""
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 96


class DiceCup:
    """Makes the dice of images: what they show depends on the seed and the image's index alone.

    The counter-based Philox generator is put to a place of its own for each image, which costs a quarter of making a
    new generator.

    Args:
        seed: 0 to 2**63 - 1.
    """

    def __init__(self, seed: int):
        self._source = np.random.Philox(key=np.array([seed, 0], np.uint64))
        self._generator = np.random.Generator(self._source)
        self._state = self._source.state

    def roll(self, index: int) -> "Dice":
        """Returns the dice of image ``index``, 0 to 2**63 - 1."""
        return Dice(self, index)

    def block(self, index: int, number: int) -> list[float]:
        """Returns a block of uniform numbers in [0, 1) of an image."""
        counter = self._state["state"]["counter"]
        counter[2], counter[3] = index, number
        self._source.state = self._state
        return self._generator.random(_BLOCK).tolist()


class Dice:
    """The random choices of one image.

    Args:
        cup: where the numbers come from.
        index: the image.
    """

    def __init__(self, cup: DiceCup, index: int):
        self._cup = cup
        self._index = index
        self._blocks = 1
        self._left = cup.block(index, 0)

    def _next(self) -> float:
        """Returns a number in [0, 1): called some sixty times an image, hence without arguments or arithmetic."""
        try:
            return self._left.pop()
        except IndexError:
            self._left = self._cup.block(self._index, self._blocks)
            self._blocks += 1
            return self._left.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Returns a number in [low, high)."""
        return low + (high - low) * self._next()

    def chance(self, probability: float) -> bool:
        """Returns ``True`` with a probability."""
        return self._next() < probability

    def below(self, count: int) -> int:
        """Returns an integer in [0, count)."""
        return min(int(self._next() * count), count - 1)

    def pick(self, items: Sequence[T]) -> T:
        """Returns one of some items, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: tuple[float, ...]) -> int:
        """Returns a position, by its weight."""
        return self.cumulated(cumulate(weights))

    def cumulated(self, sums: Sequence[float]) -> int:
        """Returns a position, by cumulative weights (see :func:`cumulate`)."""
        return min(bisect_right(sums, self._next() * sums[-1]), len(sums) - 1)

    def normal(self, sigma: float = 1.0) -> float:
        """Returns a normally distributed number of mean 0 (Box-Muller)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self._next()))
        return sigma * radius * math.cos(2.0 * math.pi * self._next())

    def log_uniform(self, low: float, high: float) -> float:
        """Returns a number in [low, high] whose logarithm is uniform."""
        return low * (high / low) ** self._next()


@lru_cache(maxsize=256)
def cumulate(weights: tuple[float, ...]) -> list[float]:
    """Returns the cumulative sums of weights."""
    return list(accumulate(weights))
