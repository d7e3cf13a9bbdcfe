"""What the processes of a run exchange through MindSpore's collective operators."""
import functools
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, communication, nn, ops

from src.common.errors import ConfigError
from src.distributed.ranks import ALONE, Ranks
from src.model_utils.config import Config


@functools.cache
def _operator(name: str) -> Any:
    return getattr(ops, name)()


def exchange(operator: str, values: np.ndarray) -> np.ndarray:
    """What a collective operator makes of the values of all ranks.

    Args:
        operator: "AllReduce" (adds up) or "AllGather" (puts behind each other).
        values: of this rank; the same shape and type in all of them.
    """
    return _operator(operator)(Tensor(values)).asnumpy()


def connect() -> Ranks:
    """Joins the other processes (HCCL on Ascend, NCCL on GPU, MindSpore's own library on CPU); once is enough.

    In msrun's scheduler this returns never: the process ends when the ranks have.

    Raises:
        ConfigError: the others cannot be reached.
    """
    if not communication.GlobalComm.INITED:
        try:
            communication.init()
        except (RuntimeError, ValueError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip(" -")), "no reason given")
            raise ConfigError(f"run_distribute: this process cannot join the others ({reason.strip()}); check "
                              "RANK_TABLE_FILE, or the launcher's address and port") from error
    return Ranks(communication.get_rank(), communication.get_group_size())


def ranks_of(config: Config) -> Ranks:
    """The processes of a run whose context is set up; a program without ``run_distribute`` is alone."""
    return connect() if config.run_distribute else ALONE


def take_over_statistics(network: nn.Cell, ranks: Ranks) -> None:
    """Gives the network of every rank the moving statistics of rank 0, so that all evaluate what is saved."""
    take_over_parameters([p for p in network.get_parameters() if p.name.endswith(("moving_mean", "moving_variance"))],
                         ranks)


def take_over_parameters(parameters: list[Parameter], ranks: Ranks) -> None:
    """Gives float32 parameters of every rank the values of rank 0."""
    if ranks.is_alone:
        return
    values = ranks.of_first(np.concatenate([p.asnumpy().ravel() for p in parameters]))
    ends = np.cumsum([p.size for p in parameters])[:-1]
    for parameter, value in zip(parameters, np.split(values, ends), strict=True):
        parameter.set_data(Tensor(value.reshape(parameter.shape)))
