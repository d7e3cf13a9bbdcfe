"""Starts the processes of a distributed training on this host, watches them, and ends all of them when one fails.

``scripts/run_distribute_train.sh`` calls it. Each rank works in ``train_parallel<rank>`` with its own ``log.txt``,
whoever starts it: msrun, mpirun, or, for a rank table, this program. Linux only.
"""
import argparse
import os
import sys

from src.common.errors import ConfigError, run_main
from src.distributed import environment, rank_process
from src.distributed.host_link import HostLink
from src.distributed.hosts import (
    device_num,
    devices_of_this_host,
    hosts_of_environment,
    hosts_of_rank_table,
    scheduler_port,
)
from src.distributed.rank_table import read_rank_table
from src.distributed.rank_watch import Launch, say


def start_rank_table(path: str, folder: str, command: list[str]) -> Launch:
    """Starts one process for each device that the rank table lists for this host."""
    table = read_rank_table(path)
    devices = devices_of_this_host(table)
    launch = Launch([device.rank_id for device in devices], folder, _clean_environment(), "the launcher")
    for device in devices:
        launch.start([sys.executable, rank_process.__file__, *command], f"rank_{device.rank_id}.log",
                     RANK_TABLE_FILE=os.path.abspath(path), RANK_ID=str(device.rank_id),
                     RANK_SIZE=str(len(table.devices)), DEVICE_ID=str(device.device_id))
    return launch


def start_msrun(folder: str, command: list[str], rank_table: str, share_cores: bool) -> Launch:
    """Lets msrun start the ranks of this host and, on the first of several hosts, its scheduler.

    Args:
        folder: working folders are this and the rank.
        command: the program and its arguments.
        rank_table: a file that lists hosts and devices; empty, environment variables say how many there are.
        share_cores: give each rank its share of the cores.
    """
    hosts = hosts_of_rank_table(read_rank_table(rank_table)) if rank_table else hosts_of_environment()
    number, port, variables = len(hosts.devices), scheduler_port(hosts.number), _clean_environment()
    # msrun takes a python from PATH to start its processes; ours is certain to exist.
    variables["PATH"] = f"{os.path.dirname(sys.executable)}:{variables.get('PATH', os.defpath)}"
    if share_cores:
        variables[rank_process.SHARE_VARIABLE] = str(number)
    if rank_table:  # otherwise the numbers that msrun gives are right
        variables[rank_process.DEVICES_VARIABLE] = " ".join(map(str, hosts.devices))
    launch = Launch(hosts.ranks, folder, variables, "msrun")
    if hosts.number > 1:
        launch.link = HostLink(hosts, port)
    # Not joined: msrun would answer a failure, and Ctrl-C too, by SIGKILL, which leaves no time for a checkpoint, would
    # then wait half a minute for its scheduler, and would let the ranks run on when it gets SIGTERM.
    launch.top = launch.start(
        [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={hosts.number * number}",
         f"--local_worker_num={number}", f"--node_rank={hosts.rank}", f"--master_addr={hosts.address}",
         f"--master_port={port}",
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


def _clean_environment() -> dict[str, str]:
    """Our environment without what another run left in it, by which a process would take itself for another rank."""
    # Errors only: at each start and end the processes warn in dozens of lines of connections that come and go.
    return {"GLOG_v": "3"} | {name: value for name, value in os.environ.items()
                              if name not in environment.ALL and not name.startswith(environment.PREFIXES)}


def main(argv: list[str] | None = None) -> int:
    """Starts and watches a run; the words after ``--`` are the program and its arguments."""
    parser = argparse.ArgumentParser(prog="python -m src.distributed.launch", description=__doc__.splitlines()[0])
    parser.add_argument("--launcher", choices=("msrun", "mpirun", "rank_table"), required=True)
    parser.add_argument("--rank_table", default="", metavar="FILE", help="msrun, rank_table: lists hosts and devices")
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
        launch = start_msrun(folder, options.command, options.rank_table, options.share_cores)
    say(f"Running rank {', '.join(launch.names)}, logs in {folder}RANK/log.txt; what rank {launch.names[0]} prints:")
    return launch.watch()


if __name__ == "__main__":
    run_main(main)
