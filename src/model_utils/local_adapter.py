"""Which device and which process this is, from the environment of whatever started it."""
import os
from collections.abc import Sequence

from src.common.errors import ConfigError
from src.distributed import environment


def get_device_id(default: int = 0) -> int:
    """Number of the device of this process.

    Args:
        default: what to return when the environment says nothing, such as ``config.device_id``.

    Raises:
        ConfigError: a variable is set to something else than a number.
    """
    return _from_environment(environment.DEVICE, default, at_least=0)


def get_rank_id() -> int:
    """Number of this process among all of the run; 0 when it runs alone. Raises as :func:`get_device_id`."""
    return _from_environment(environment.RANK, 0, at_least=0)


def get_device_num() -> int:
    """Number of processes of the run, one a device; 1 when it runs alone. Raises as :func:`get_device_id`."""
    return _from_environment(environment.SIZE, 1, at_least=1)


def get_job_id() -> str:
    """Name of the job; ``Local Job`` outside of ModelArts."""
    return os.environ.get("JOB_ID") or "Local Job"


def _from_environment(names: Sequence[str], default: int, at_least: int) -> int:
    """The first of the variables that is set and not empty, as a number."""
    for name in names:
        text = os.environ.get(name, "").strip()
        if text:
            if not text.isdecimal() or int(text) < at_least:
                raise ConfigError(f"environment variable {name}: expected a number, at least {at_least}, got {text!r}")
            return int(text)
    return default
