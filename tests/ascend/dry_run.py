"""Runs a program of ours in MindSpore's dry run for Ascend and tells which kernels were chosen."""
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.ascend.stand_ins import SOC, SOC_VARIABLE
from tests.conftest import REPO

_KERNEL = re.compile(r"kernel opname:(\w+), kernel type:(\w+)")
_TIMEOUT = 900


@dataclass(frozen=True)
class Outcome:
    """What a dry run left.

    Attributes:
        code: exit code.
        output: everything it printed but MindSpore's own messages below the level of a warning.
        kernels: operator to the kind of its kernel: "opapi_kernel" (CANN's aclnn), "acl_kernel" (CANN's older aclop),
            "hccl_kernel" (between devices), "rt_kernel" (a copy on the device) or another one, which is the host's.
    """

    code: int
    output: str
    kernels: dict[str, str]

    def assert_compiled(self) -> None:
        """Fails with the end of the output unless the program ended well."""
        assert self.code == 0, self.output[-4000:]


@dataclass(frozen=True)
class DryRun:
    """Starts programs with stand-ins for CANN.

    Attributes:
        environment: see :func:`tests.ascend.stand_ins.build`.
    """

    environment: dict[str, str]

    def __call__(self, *command: str | Path, folder: Path, ranks: int = 1, rank: int = 0,
                 program: Path = REPO, chip: str = SOC) -> Outcome:
        """Runs ``python command`` in a folder.

        Args:
            command: the program and its arguments.
            folder: current folder of the program; MindSpore leaves files there.
            ranks: number of simulated devices; only one process runs.
            rank: which of them this is.
            program: the copy of the project to run.
            chip: the chip to compile for, as CANN calls it.
        """
        # Without the first, operators that Ascend has no kernel for run on the host unseen; the log of MindSpore's
        # module DEVICE says which kernels were chosen.
        extra = {"MS_DISABLE_KERNEL_BACKOFF": "1", "MS_SUBMODULE_LOG_v": "{DEVICE:1}", "OMP_NUM_THREADS": "1",
                 SOC_VARIABLE: chip, "RANK_SIZE": str(ranks), "RANK_ID": str(rank), "DEVICE_ID": str(rank)}
        environment = {**os.environ, **self.environment, **extra}
        environment["PYTHONPATH"] = f"{self.environment['PYTHONPATH']}:{program}"
        done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=_TIMEOUT)
        printed = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("[INFO]"))
        return Outcome(done.returncode, printed, dict(_KERNEL.findall(done.stdout)))
