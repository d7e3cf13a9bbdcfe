"""The environment variables by which a launcher tells a process which one of the run it is. Needs no MindSpore."""
import os

from src.common.errors import ConfigError

# Of several that are set the first counts. RANK_ID and RANK_SIZE come last, because they are often left over in a
# shell, where every process of mpirun would take itself for rank 0.
RANK = ("MS_NODE_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "RANK_ID")
SIZE = ("MS_WORKER_NUM", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "RANK_SIZE")
DEVICE = ("DEVICE_ID", "ASCEND_DEVICE_ID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
LAUNCHERS = ("MS_ROLE", "RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Any of these says that a launcher started the process: msrun, or one with a rank table, or mpirun."""
ALL = frozenset((*RANK, *SIZE, *DEVICE, *LAUNCHERS, "MS_SCHED_HOST", "MS_SCHED_PORT"))
PREFIXES = ("OMPI_COMM_WORLD_", "PMI_", "PMIX_")
"""Of further variables of mpirun."""

# Seconds that CPU ranks wait for each other. MindSpore's own 30 are too few while one of them draws words or compiles.
_CPU_TIMEOUT = ("MS_CPU_COMM_OP_TIMEOUT", "600")


def is_scheduler() -> bool:
    """Whether this process is msrun's scheduler, which runs the same program but only keeps the ranks together."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def check_launcher() -> None:
    """Makes sure that ``run_distribute`` can work here; call it before mindspore is imported.

    Raises:
        ConfigError: nothing started this process as one of several.
    """
    if not any(os.environ.get(name) for name in LAUNCHERS):
        raise ConfigError("run_distribute needs a launcher that starts one process a device, such as "
                          "bash scripts/run_distribute_train.sh or msrun; leave it out to use this process alone")
    os.environ.setdefault(*_CPU_TIMEOUT)
