"""What the network computes in. Weights, loss, gradients handed on, statistics and optimizer are always float32."""
from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import nn

from src.common.errors import ConfigError

if TYPE_CHECKING:
    from src.model_utils.config import Config


def training_precision(config: "Config") -> str:
    """What a network is trained in: "float32", "float16" or "bfloat16".

    Args:
        config: has precision, amp and device_target, which is resolved.

    Raises:
        ConfigError: the device has no such arithmetic, or amp asks for another one.
    """
    precision, device = config.precision, config.device_target
    if config.amp == "bf16":
        if device != "CPU":
            raise ConfigError(f"amp bf16 is for the CPU; set --amp=none, and precision for the {device}")
        if precision not in ("auto", "bfloat16"):
            raise ConfigError(f"amp bf16 and precision {precision} are both set; set --amp=none or --precision=auto")
        precision = "bfloat16"
    if precision == "auto":
        return "float16" if device == "Ascend" else "float32"
    if precision == "bfloat16" and device == "GPU":
        raise ConfigError("precision bfloat16 is for Ascend and the CPU; choose float16 or float32 on the GPU")
    return precision


def reading_precision(config: "Config") -> str:
    """What a network reads in: that of training on Ascend and GPU, float32 on the CPU.

    Raises:
        ConfigError: the device has no such arithmetic.
    """
    if config.device_target == "CPU":
        return "float32"
    return training_precision(config)


def training_loss_scale(config: "Config", precision: str) -> float | str:
    """The factor on the loss: a number or "dynamic", which auto stands for where gradients are float16."""
    if config.loss_scale == "auto":
        return "dynamic" if precision == "float16" else 1.0
    return config.loss_scale


def set_precision(network: nn.Cell, precision: str) -> None:
    """Makes a network compute in another precision; call it before the network is used.

    Args:
        network: in float32, as built.
        precision: "float32"; "float16" for all layers; or "bfloat16" for the convolutions alone. On Ascend the LSTMs
            compute in float16 whatever is chosen: MindSpore hands them to an operator (DynamicRNN) as float16.
    """
    if precision == "float16":
        network.to_float(ms.float16)
    elif precision == "bfloat16":
        for _, cell in network.cells_and_names():
            if isinstance(cell, nn.Conv2d):
                cell.to_float(ms.bfloat16)
            elif isinstance(cell, nn.BatchNorm2d | nn.SyncBatchNorm):
                cell.to_float(ms.float32)  # casts what comes from the convolution; all after it is float32
