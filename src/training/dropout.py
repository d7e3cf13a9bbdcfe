"""Dropout masks that depend on seed, step and sample alone, so that a resumed run drops the same units."""
import numpy as np


class DropoutMasks:
    """Makes the masks of V1's dropout.

    Every row of a batch has random numbers of its own, numbered over all ranks, so that N ranks with batch B drop what
    one process with batch N * B would.

    Args:
        drop: share of the units to drop.
        units: of a time step.
        seed: of the run.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(self, drop: float, units: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.drop, self.units, self.seed, self.rank, self.ranks = drop, units, seed, rank, ranks

    def __call__(self, step: int, steps: int, rows: int) -> np.ndarray:
        """The mask of a training step.

        Args:
            step: training steps done before, in the whole run.
            steps: time steps T.
            rows: images N of this process.

        Returns:
            (T, N, units) bool, which units stay.
        """
        mask = np.empty((steps, rows, self.units), np.bool_)
        for row in range(rows):
            key = np.array([self.seed, step << 24 | row * self.ranks + self.rank], np.uint64)
            random = np.random.Generator(np.random.Philox(key=key)).random((steps, self.units), np.float32)
            mask[:, row] = random >= self.drop
        return mask
