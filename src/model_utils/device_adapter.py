"""The device to compute on, and the one setting without which MindSpore's CPU convolutions crawl."""
import os
import re
import sys

from src.common.system import cpu_facts, muted
from src.model_utils.local_adapter import get_device_id, get_device_num, get_job_id, get_rank_id
from src.model_utils.versions import installed

__all__ = ["apply_cpu_cap", "get_device_id", "get_device_num", "get_job_id", "get_rank_id", "resolve_device_target"]

CAP_VARIABLE = "ONEDNN_MAX_CPU_ISA"
CAP = "AVX2"
NO_CAP_VARIABLE = "CRNN_NO_CPU_CAP"


def resolve_device_target(target: str) -> str:
    """Turns ``auto`` into the device there is: Ascend, else GPU, else CPU; other values stay. Imports mindspore."""
    if target != "auto":
        return target
    return next((name for name in ("Ascend", "GPU") if _is_usable(name)), "CPU")


def _is_usable(target: str) -> bool:
    """Whether MindSpore has the back end of a device and sees at least one."""
    import mindspore  # not before the CPU cap is set

    with muted():  # a back end that is not there is no news to somebody who wants any
        try:
            if hasattr(mindspore, "device_context"):
                device = getattr(mindspore.device_context, target.lower())
                return bool(device.is_available()) and device.device_count() > 0
            return bool(mindspore.hal.is_available(target)) and mindspore.hal.device_count(target) > 0
        except (AttributeError, ImportError, RuntimeError, ValueError):
            return False


def apply_cpu_cap() -> str:
    """Keeps MindSpore's CPU convolutions off a scalar loop, by a variable that its oneDNN reads when it is loaded.

    oneDNN of MindSpore 2.9 and later has no fast kernel for plain-layout float32 convolutions on AVX-512 and falls back
    to a reference loop, 100 times slower; told to use AVX2 at most it takes a fast one. Must be called before mindspore
    is imported. Left alone when the user has set ``ONEDNN_MAX_CPU_ISA`` or ``CRNN_NO_CPU_CAP=1``.

    Returns:
        One line that says what was done and why.
    """
    if os.environ.get(CAP_VARIABLE):
        return f"CPU cap: {CAP_VARIABLE}={os.environ[CAP_VARIABLE]} was set before; left as it is"
    if os.environ.get(NO_CAP_VARIABLE, "").strip().lower() in ("1", "true", "yes"):
        return f"CPU cap: off, as {NO_CAP_VARIABLE}={os.environ[NO_CAP_VARIABLE]} asks"
    version = installed("mindspore")
    if version is None:
        return "CPU cap: not needed, mindspore is not installed"
    if _is_older_than_2_9(version):
        return f"CPU cap: not needed by mindspore {version}"
    if "avx512f" not in cpu_facts().get("flags", "").split():
        return "CPU cap: not needed, this CPU has no AVX-512"
    if "mindspore" in sys.modules:
        return (
            f"CPU cap: too late, mindspore is already imported; set {CAP_VARIABLE}={CAP} before the program starts, "
            "or convolutions on this CPU are up to 100 times slower"
        )
    os.environ[CAP_VARIABLE] = CAP
    return (
        f"CPU cap: {CAP_VARIABLE}={CAP}, because mindspore {version} is up to 100 times slower without it on AVX-512 "
        f"CPUs ({NO_CAP_VARIABLE}=1 switches it off)"
    )


def _is_older_than_2_9(version: str) -> bool:
    """Whether this version came with the older oneDNN that needs no cap."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) < (2, 9)
