"""Sets MindSpore up for a program: the device, graph mode, and what makes CPUs fast."""
from typing import TYPE_CHECKING

from src.common.errors import ConfigError
from src.common.system import interrupts_held
from src.distributed.environment import check_launcher, is_scheduler
from src.model_utils.config import Config
from src.model_utils.device_adapter import apply_cpu_cap, get_device_id, resolve_device_target
from src.model_utils.moxing_adapter import is_inside
from src.model_utils.versions import check_versions
from src.onednn import accelerate, available

if TYPE_CHECKING:
    from mindspore import nn


def set_up_context(config: Config, own_operators: bool = False) -> str:
    """Prepares MindSpore; call it before anything else imports it.

    With ``run_distribute`` it joins the other processes of the run, each on the device that its launcher gave it. Sets
    ``config.device_target`` to what "auto" stands for, and ``config.cpu_operators`` to "stock" where our own operators
    cannot be used.

    Args:
        config: has device_target, device_id, cpu_operators, run_distribute and enable_modelarts.
        own_operators: the program hands its network to :func:`speed_up`, so that MindSpore's own convolutions need not
            be fast.

    Returns:
        One line about the device and how the CPU's convolutions run.

    Raises:
        ConfigError: the device that was asked for is not there, the other processes cannot be reached, a key asks
            for what this program does not do, or MindSpore or numpy have a version that does not work here.
    """
    check_versions()
    if config.enable_modelarts and not is_inside():
        raise ConfigError("enable_modelarts is for train.py, eval.py and export.py; leave it out here")
    if config.run_distribute:
        check_launcher()
    remark = ""
    if config.device_target in ("auto", "CPU") and not is_scheduler():
        remark = _prepare_cpu(config, own_operators)
    with interrupts_held():
        # Not at the top: MindSpore's oneDNN reads the CPU cap when it is loaded.
        import mindspore as ms

    from src.distributed.communication import connect  # it imports MindSpore

    if config.run_distribute and is_scheduler():
        connect()  # ends with the ranks
    config.device_target = resolve_device_target(config.device_target)
    device = get_device_id(config.device_id)
    try:
        # A process that has computed before may not choose its device again, not even the same one.
        if config.device_target != "CPU":
            ms.set_device(config.device_target, device)
        elif ms.get_context("device_target") != "CPU":
            ms.set_device("CPU")
    except (RuntimeError, ValueError, AttributeError) as error:
        reason = str(error).strip().split(". ")[0].splitlines()[0]
        raise ConfigError(f"device_target {config.device_target}, device {device} cannot be used here ({reason}); "
                          "choose another device_target") from error
    ms.set_context(mode=ms.GRAPH_MODE)
    where = "CPU" if config.device_target == "CPU" else f"{config.device_target} {device}"
    if config.run_distribute:
        ranks = connect()
        where += f", rank {ranks.rank} of {ranks.size}"
    return f"mindspore {ms.__version__} on {where}" + (f"; {remark}" if config.device_target == "CPU" else "")


def speed_up(network: "nn.Cell", config: Config, precision: str = "float32", frozen: bool = False) -> str:
    """Chooses what a network computes with and in; its parameters and their names stay.

    On the CPU our own operators are used where they can be.

    Args:
        network: a network in float32, as built.
        config: says which operators to use.
        precision: "float32", "float16" or "bfloat16", see :mod:`src.network.precision`.
        frozen: the parameters do not change any more; their preparation is spared then.

    Returns:
        One line: what computes now.

    Raises:
        ConfigError: bfloat16 cannot be had here.
    """
    from src.network.precision import set_precision  # it imports MindSpore

    bf16 = precision == "bfloat16"
    asked, remedy = (("amp bf16", "set --amp=none") if config.amp == "bf16" else
                     ("precision bfloat16", "set --precision=auto"))
    if config.device_target == "CPU" and config.cpu_operators == "auto":
        line = accelerate(network, precision, frozen)
        if bf16 and ", bfloat16" not in line:
            raise ConfigError(f"{asked} cannot be had here ({line}); {remedy}")
        return line
    if bf16 and config.device_target == "CPU":
        raise ConfigError(f"{asked} on the CPU needs cpu_operators auto and a C++ compiler (g++); {remedy}")
    set_precision(network, precision)
    return "stock operators" if precision == "float32" else f"stock operators, {precision}"


def _prepare_cpu(config: Config, own_operators: bool) -> str:
    """Chooses between our own operators and MindSpore's under a cap; the cap would slow ours down."""
    usable, reason = available() if own_operators and config.cpu_operators == "auto" else (False, "")
    if usable and config.precision == "float16":
        usable, reason = False, "they have no float16"
    if usable:
        return "own oneDNN operators"
    config.cpu_operators = "stock"
    return (f"own operators not used ({reason}); " if reason else "") + apply_cpu_cap()
