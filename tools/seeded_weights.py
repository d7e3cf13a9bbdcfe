"""Network weights drawn by numpy from a seed, so that two frameworks can make the same ones without a file."""
from collections.abc import Iterable

import numpy as np


def seeded_weights(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that numpy draws from a seed and each parameter's MindSpore name: both networks can make them alike.

    Gains are chosen so that activations neither die nor explode, and batch norm statistics are not trivial.
    """
    weights = {}
    for name, shape in shapes:
        rng = np.random.default_rng([seed, *name.encode()])
        if name.endswith("moving_variance"):
            value = rng.uniform(0.5, 2.0, shape)
        elif name.endswith("gamma"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0.0, 0.1, shape)
        else:
            value = rng.normal(0.0, np.sqrt(1.5 / np.prod(shape[1:])), shape)
        weights[name] = value.astype(np.float32)
    return weights
