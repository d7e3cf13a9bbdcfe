"""Starts a program as several ranks on the CPU, the way msrun does."""
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import REPO


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_ranks(command: list[str], folder: Path, size: int = 2, limit: float = 1800, **environment) -> list[int]:
    """Runs a command as ranks and their scheduler; returns the exit code of each rank.

    Standard output and error of a rank are in ``folder/rank_N.log``. A rank that has not ended in time is killed, its
    exit code is -9.
    """
    common = {**os.environ, "PYTHONPATH": str(REPO), "MS_WORKER_NUM": str(size), "MS_SCHED_HOST": "127.0.0.1",
              "MS_SCHED_PORT": str(free_port()), "MS_TOPO_TIMEOUT": "300", "OMP_NUM_THREADS": "1", **environment}
    processes, logs = [], []
    try:
        for role, rank in [("MS_SCHED", ""), *(("MS_WORKER", rank) for rank in range(size))]:
            own = {"MS_ROLE": role, **({} if rank == "" else {"MS_NODE_ID": str(rank), "DEVICE_ID": str(rank)})}
            name = "scheduler.log" if rank == "" else f"rank_{rank}.log"
            logs.append((folder / name).open("w", encoding="utf-8"))
            processes.append(subprocess.Popen([sys.executable, *command], cwd=folder, env={**common, **own},
                                              stdout=logs[-1], stderr=subprocess.STDOUT))
        end = time.monotonic() + limit
        for process in processes[1:]:
            try:
                process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
        return [process.wait() for process in processes[1:]]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for log in logs:
            log.close()
