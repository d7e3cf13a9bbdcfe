"""Optimizers by name."""
from collections.abc import Sequence

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.experimental import optim

from src.common.errors import ConfigError

_adam = ops.Adam()  # here, not in a function handed over: MindSpore drops the side effects of those
_fused = ops.MultitypeFuncGraph("fused_adamw")


@_fused.register("Tensor", "Tensor", "Tensor", "Float", "Float", "Tensor", "Tensor", "Tensor", "Tensor", "Tensor",
                 "Tensor")
def _update_decayed(power1: Tensor, power2: Tensor, rate: Tensor, beta1: float, beta2: float, epsilon: Tensor,
                    shrink: Tensor, parameter: Tensor, first: Tensor, second: Tensor, gradient: Tensor) -> bool:
    ops.assign(parameter, parameter * shrink)
    _adam(parameter, first, second, power1, power2, rate, beta1, beta2, epsilon, gradient)
    return True


@_fused.register("Tensor", "Tensor", "Tensor", "Float", "Float", "Tensor", "Tensor", "Tensor", "Tensor", "Tensor")
def _update(power1: Tensor, power2: Tensor, rate: Tensor, beta1: float, beta2: float, epsilon: Tensor,
            parameter: Tensor, first: Tensor, second: Tensor, gradient: Tensor) -> bool:
    _adam(parameter, first, second, power1, power2, rate, beta1, beta2, epsilon, gradient)
    return True


class FusedAdamW(optim.AdamW):
    """AdamW with one operator for each parameter, instead of a dozen.

    The training graph is compiled in half the time, and weights and moments are walked once. State and its names are
    those of MindSpore's AdamW, so that checkpoints go from one to the other; ``max_exp_avg_sq``, which nothing uses,
    is not kept.
    """

    def __init__(self, groups: list[dict], lr: float, weight_decay: float):
        super().__init__(groups, lr=lr, weight_decay=weight_decay)
        del self.max_exp_avg_sq

    def construct(self, gradients: tuple[Tensor, ...]) -> bool:
        """Updates the parameters; (P,) gradients in their order."""
        self.assignadd(self.state_step, self.increase_tensor)
        step = self.state_step.astype(ms.float32)
        for number, group in enumerate(self.param_groups):
            begin, end = self.group_start_id[number], self.group_start_id[number + 1]
            beta1, beta2 = group["betas"]
            rate = self.lrs[number]
            power1, power2 = ops.pow(beta1, step), ops.pow(beta2, step)
            # The operator adds epsilon before it corrects the second moment's bias, AdamW after it.
            epsilon = group["eps"] * ops.sqrt(1 - power2)
            state = (self.parameters[begin:end], self.exp_avg[begin:end], self.exp_avg_sq[begin:end],
                     gradients[begin:end])
            if group["weight_decay"]:
                shrink = 1 - rate * group["weight_decay"]
                self.hyper_map(ops.partial(_fused, power1, power2, rate, beta1, beta2, epsilon, shrink), *state)
            else:
                self.hyper_map(ops.partial(_fused, power1, power2, rate, beta1, beta2, epsilon), *state)
        return True


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
        kind = FusedAdamW if ms.get_context("device_target") == "CPU" else optim.AdamW
        return kind(_groups(parameters, weight_decay), lr=1.0, weight_decay=weight_decay)
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
