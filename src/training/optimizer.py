"""Optimizers by name, and the one way to set their learning rate between steps."""
from collections.abc import Sequence

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.experimental import optim

from src.common.errors import ConfigError


def create_optimizer(name: str, parameters: Sequence[Parameter], momentum: float = 0.95, nesterov: bool = True,
                     weight_decay: float = 0.0) -> nn.Cell:
    """Builds an optimizer whose learning rate is set before each step by :func:`set_learning_rate`.

    Weight decay spares batch norm and biases.

    Args:
        name: "sgd" (with momentum, as the model zoo), "adam", or "adamw" (decoupled decay, Loshchilov and Hutter 2019).
        parameters: what is trained.
        momentum: SGD only.
        nesterov: SGD only.
        weight_decay: factor of the decay.

    Raises:
        ConfigError: unknown name.
    """
    parameters = list(parameters)
    if name == "adamw":
        return optim.AdamW(_groups(parameters, weight_decay), lr=1.0, weight_decay=weight_decay)
    if name == "adam":
        return optim.Adam(_groups(parameters, weight_decay), lr=1.0, weight_decay=weight_decay)
    if name == "sgd":
        return nn.SGD(_groups(parameters, weight_decay), learning_rate=1.0, momentum=momentum,
                      nesterov=nesterov and momentum > 0)
    raise ConfigError(f"optimizer is {name!r}; choose sgd, adam or adamw")


def set_learning_rate(optimizer: nn.Cell, value: float) -> None:
    """Sets the learning rate of the next step."""
    for rate in learning_rate_parameters(optimizer):
        ops.assign(rate, Tensor(value, mstype.float32))


def learning_rate_parameters(optimizer: nn.Cell) -> list[Parameter]:
    """The parameters that hold an optimizer's learning rate."""
    if isinstance(optimizer, optim.Optimizer):
        return [group["lr"] for group in optimizer.param_groups]
    rates = optimizer.learning_rate
    return list(rates) if isinstance(rates, (list, tuple)) else [rates]


def _groups(parameters: list[Parameter], weight_decay: float) -> list[dict]:
    decayed = [p for p in parameters if p.ndim > 1]
    spared = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
