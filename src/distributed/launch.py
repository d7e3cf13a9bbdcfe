"""Starts the processes of a distributed training on this host, watches them, and ends all of them when one fails.

``scripts/run_distribute_train.sh`` calls it. Each rank works in ``train_parallel<rank>`` with its own ``log.txt``,
whoever starts it: msrun, mpirun, or, for a rank table, this program. Linux only.
"""
import argparse
import os
import socket
import sys

from src.common.errors import ConfigError, run_main
from src.distributed import environment, rank_process
from src.distributed.rank_table import read_rank_table
from src.distributed.rank_watch import Launch, say


def start_rank_table(path: str, folder: str, command: list[str]) -> Launch:
    """Starts one process for each device that the rank table lists for this host."""
    table = read_rank_table(path)
    devices = table.of_this_host()
    text = os.environ.get("DEVICE_NUM", "")
    if text and text != str(len(devices)):
        raise ConfigError(f"environment variable DEVICE_NUM is {text}, but rank table {path} lists {len(devices)} "
                          "devices of this host; unset DEVICE_NUM")
    launch = Launch([device.rank_id for device in devices], folder, _clean_environment(), "the launcher")
    for device in devices:
        launch.start([sys.executable, rank_process.__file__, *command], f"rank_{device.rank_id}.log",
                     RANK_TABLE_FILE=os.path.abspath(path), RANK_ID=str(device.rank_id),
                     RANK_SIZE=str(len(table.devices)), DEVICE_ID=str(device.device_id))
    return launch


def start_msrun(folder: str, command: list[str], share_cores: bool) -> Launch:
    """Lets msrun start the ranks of this host and, on the first of several hosts, its scheduler."""
    number, hosts, host, address = device_num(), host_num(), host_rank(), scheduler_address()
    port, variables = scheduler_port(), _clean_environment()
    # msrun takes a python from PATH to start its processes; ours is certain to exist.
    variables["PATH"] = f"{os.path.dirname(sys.executable)}:{variables.get('PATH', os.defpath)}"
    if share_cores:
        variables[rank_process.SHARE_VARIABLE] = str(number)
    launch = Launch([host * number + device for device in range(number)], folder, variables, "msrun")
    # Not joined: msrun would answer a failure, and Ctrl-C too, by SIGKILL, which leaves no time for a checkpoint, would
    # then wait half a minute for its scheduler, and would let the ranks run on when it gets SIGTERM.
    launch.top = launch.start(
        [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={hosts * number}",
         f"--local_worker_num={number}", f"--node_rank={host}", f"--master_addr={address}", f"--master_port={port}",
         f"--log_dir={launch.notes}", "--join=False", "python3", rank_process.__file__, *command], "msrun.log")
    return launch


def start_mpirun(folder: str, command: list[str]) -> Launch:
    """Lets mpirun start the ranks."""
    number, variables = device_num(), _clean_environment()
    if os.getuid() == 0:  # as in a container
        variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    launch = Launch(list(range(number)), folder, variables, "mpirun")
    try:
        launch.top = launch.start(["mpirun", "-n", str(number), "--bind-to", "none", sys.executable,
                                   rank_process.__file__, *command], "mpirun.log")
    except FileNotFoundError as error:
        raise ConfigError("mpirun is not installed; install Open MPI, or leave LAUNCHER out to use msrun") from error
    return launch


def host_num() -> int:
    """Number of hosts that train together: ``NODE_NUM``, else 1."""
    return _number("NODE_NUM", 1, 4096) if os.environ.get("NODE_NUM") else 1


def host_rank() -> int:
    """Which of the hosts this is, from 0: ``NODE_RANK``, which several hosts need.

    Raises:
        ConfigError: it is missing, or not below the number of hosts.
    """
    if host_num() == 1:
        return 0
    if not os.environ.get("NODE_RANK"):
        raise ConfigError(f"environment variable NODE_NUM is {host_num()}: NODE_RANK has to say which of the hosts "
                          "this is, from 0")
    return _number("NODE_RANK", 0, host_num() - 1)


def scheduler_address() -> str:
    """The address of the first host, where msrun's scheduler runs: ``MASTER_ADDR``, which several hosts need.

    Raises:
        ConfigError: it is missing.
    """
    if host_num() == 1:
        return "127.0.0.1"
    if not os.environ.get("MASTER_ADDR"):
        raise ConfigError(f"environment variable NODE_NUM is {host_num()}: MASTER_ADDR has to be the address of the "
                          "first host, as the others reach it")
    return os.environ["MASTER_ADDR"]


def scheduler_port() -> int:
    """The port of msrun's scheduler: ``MASTER_PORT``, else a free one, or 8118 on several hosts, which must agree."""
    if os.environ.get("MASTER_PORT"):
        return _number("MASTER_PORT", 1024, 65535)
    if host_num() > 1:
        return 8118
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def device_num() -> int:
    """Number of processes to start: ``DEVICE_NUM``, else 8."""
    return _number("DEVICE_NUM", 1, 4096) if os.environ.get("DEVICE_NUM") else 8


def _number(variable: str, low: int, high: int) -> int:
    """The value of an environment variable."""
    text = os.environ[variable]
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ConfigError(f"environment variable {variable}: expected a number from {low} to {high}, got {text!r}")
    return int(text)


def _clean_environment() -> dict[str, str]:
    """Our environment without what another run left in it, by which a process would take itself for another rank."""
    # Errors only: at each start and end the processes warn in dozens of lines of connections that come and go.
    return {"GLOG_v": "3"} | {name: value for name, value in os.environ.items()
                              if name not in environment.ALL and not name.startswith(environment.PREFIXES)}


def main(argv: list[str] | None = None) -> int:
    """Starts and watches a run; the words after ``--`` are the program and its arguments."""
    parser = argparse.ArgumentParser(prog="python -m src.distributed.launch", description=__doc__.splitlines()[0])
    parser.add_argument("--launcher", choices=("msrun", "mpirun", "rank_table"), required=True)
    parser.add_argument("--rank_table", default="", metavar="FILE", help="for --launcher=rank_table")
    parser.add_argument("--folder", required=True, help="working folders are this and the rank")
    parser.add_argument("--share_cores", action="store_true", help="msrun: give each rank its share of the cores")
    parser.add_argument("command", nargs="+", help="after --: the program and its arguments")
    options = parser.parse_args(argv)
    folder = os.path.abspath(options.folder)
    if options.launcher == "rank_table":
        launch = start_rank_table(options.rank_table, folder, options.command)
    elif options.launcher == "mpirun":
        launch = start_mpirun(folder, options.command)
    else:
        launch = start_msrun(folder, options.command, options.share_cores)
    say(f"Running rank {', '.join(launch.names)}, logs in {folder}RANK/log.txt; what rank {launch.names[0]} prints:")
    return launch.watch()


if __name__ == "__main__":
    run_main(main)
