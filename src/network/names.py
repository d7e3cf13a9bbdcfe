"""The names of the network's parameters in PyTorch, and back. Plain text work: neither framework is needed.

PyTorch's network is the one of ``tools/torch_twin.py``: convolutions and their batch norms as ``stages.0`` to
``stages.6``, the LSTMs as ``rnn1`` and ``rnn2``, the dense layers as ``embedding1`` (V2 only) and ``out``.
"""
from collections.abc import Mapping

import numpy as np

from src.common.errors import CheckpointError
from src.network.description import STAGES, VERSIONS

_BATCH_NORM = {"bn.weight": "bn.gamma", "bn.bias": "bn.beta", "bn.running_mean": "bn.moving_mean",
               "bn.running_var": "bn.moving_variance"}
_LEAVES = ("conv.weight", *_BATCH_NORM)
_LSTM = tuple(f"{kind}_l0{direction}" for direction in ("", "_reverse")
              for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
_UNCOUNTED = "num_batches_tracked"  # PyTorch's counter of steps in batch norm; it has no mate and no effect


def torch_names(version: str) -> dict[str, str]:
    """PyTorch's name of each parameter of the network, by MindSpore's name.

    Args:
        version: "V1" or "V2".
    """
    layers = VERSIONS[version]
    names = {f"vgg.conv{number}.{_BATCH_NORM.get(leaf, leaf)}": f"stages.{number - 1}.{leaf}"
             for number in range(1, len(STAGES) + 1) for leaf in _LEAVES}
    for lstm, name in zip(layers.lstms, ("rnn1", "rnn2"), strict=True):
        names |= {f"{lstm}.{leaf}": f"{name}.{leaf}" for leaf in _LSTM}
    for dense, name in zip(layers.denses, ("embedding1", "out"), strict=True):
        names |= {f"{dense}.{leaf}": f"{name}.{leaf}" for leaf in ("weight", "bias") if dense}
    return names


def to_torch(weights: Mapping[str, np.ndarray], version: str) -> dict[str, np.ndarray]:
    """Weights under PyTorch's names.

    Args:
        weights: the network's parameters by MindSpore's name.
        version: "V1" or "V2".

    Raises:
        CheckpointError: one of them is missing.
    """
    names = torch_names(version)
    missing = next((name for name in names if name not in weights), None)
    if missing:
        raise CheckpointError(f"the weights have no {missing}; give a whole network of version {version}")
    return {name: weights[mate] for mate, name in names.items()}


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A ``state_dict`` of PyTorch's network under MindSpore's names.

    Names that begin with ``module.``, as ``DataParallel`` writes them, are taken, too.

    Args:
        state: arrays by PyTorch's name.

    Raises:
        CheckpointError: names that are not those of the network.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    version = "V2" if "embedding1.weight" in state else "V1"
    mates = {name: mate for mate, name in torch_names(version).items()}
    unknown = sorted(name for name in state if name not in mates and not name.endswith(_UNCOUNTED))
    missing = sorted(set(mates) - set(state))
    if unknown or missing:
        fault = f"{unknown[0]} is not one of them" if unknown else f"{missing[0]} is missing"
        raise CheckpointError(f"the names are not those of the network in tools/torch_twin.py: {fault}")
    return {mates[name]: value for name, value in state.items() if name in mates}
