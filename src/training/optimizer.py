"""Optimizers by name."""
from collections.abc import Sequence

from mindspore import Parameter, nn
from mindspore.experimental import optim

from src.common.errors import ConfigError


def create_optimizer(name: str, parameters: Sequence[Parameter], momentum: float = 0.95, nesterov: bool = True,
                     weight_decay: float = 0.0) -> nn.Cell:
    """Builds an optimizer for :class:`src.crnn_for_train.TrainOneStepCellWithGradClip`, which sets its learning rate.

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


def _groups(parameters: list[Parameter], weight_decay: float) -> list[dict]:
    decayed = [p for p in parameters if p.ndim > 1]
    spared = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
