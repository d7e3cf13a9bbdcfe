"""Which hosts a run has and what each starts: from environment variables, or from a rank table. For msrun."""
import os
import socket
from dataclasses import dataclass

from src.common.errors import ConfigError
from src.distributed.rank_table import Device, RankTable


@dataclass(frozen=True)
class Hosts:
    """The hosts that train together, each with the same number of processes.

    Attributes:
        number: of hosts.
        rank: of this host, from 0.
        address: of the first host, where msrun's scheduler runs.
        devices: numbers of the devices of this host, one for each of its processes.
    """

    number: int
    rank: int
    address: str
    devices: tuple[int, ...]

    @property
    def ranks(self) -> list[int]:
        """The ranks of this host."""
        return [self.rank * len(self.devices) + place for place in range(len(self.devices))]


def hosts_of_environment() -> Hosts:
    """What the environment says: ``NODE_NUM``, ``NODE_RANK``, ``MASTER_ADDR`` and ``DEVICE_NUM``.

    Raises:
        ConfigError: a variable is missing or no number in its range.
    """
    number, devices = host_num(), tuple(range(device_num()))
    if number == 1:
        return Hosts(1, 0, "127.0.0.1", devices)
    if not os.environ.get("NODE_RANK"):
        raise ConfigError(f"environment variable NODE_NUM is {number}: NODE_RANK has to say which of the hosts this "
                          "is, from 0")
    rank = _number("NODE_RANK", 0, number - 1)
    if not os.environ.get("MASTER_ADDR"):
        raise ConfigError(f"environment variable NODE_NUM is {number}: MASTER_ADDR has to be the address of the first "
                          "host, as the others reach it")
    return Hosts(number, rank, os.environ["MASTER_ADDR"], devices)


def hosts_of_rank_table(table: RankTable) -> Hosts:
    """What a rank table says, in msrun's terms; ``MASTER_ADDR`` stands for the first ``server_id`` where it is set.

    Raises:
        ConfigError: msrun cannot spread the ranks so, the environment says otherwise, or it cannot be told which server
            this host is.
    """
    servers, ours = table.servers, devices_of_this_host(table)
    expected = [server for server in servers for _ in range(len(table.devices) // len(servers))]
    if [device.server_id for device in table.devices] != expected:
        raise ConfigError(f"rank table {table.path}: msrun needs as many devices on each server as on the others, with "
                          "their ranks one after the other; change rank_id, or set LAUNCHER=rank_table to start the "
                          "devices as they are listed")
    if os.environ.get("NODE_NUM") and host_num() != len(servers):
        raise ConfigError(f"environment variable NODE_NUM is {host_num()}, but rank table {table.path} lists "
                          f"{len(servers)} servers; unset NODE_NUM")
    address = os.environ.get("MASTER_ADDR") or servers[0]
    return Hosts(len(servers), servers.index(ours[0].server_id), address if len(servers) > 1 else "127.0.0.1",
                 tuple(device.device_id for device in ours))


def devices_of_this_host(table: RankTable) -> list[Device]:
    """The devices that a rank table lists for this host.

    Raises:
        ConfigError: ``DEVICE_NUM`` is another number, or it cannot be told which server this host is.
    """
    devices = table.of_this_host()
    text = os.environ.get("DEVICE_NUM", "")
    if text and text != str(len(devices)):
        raise ConfigError(f"environment variable DEVICE_NUM is {text}, but rank table {table.path} lists "
                          f"{len(devices)} devices of this host; unset DEVICE_NUM")
    return devices


def host_num() -> int:
    """Number of hosts that train together: ``NODE_NUM``, else 1."""
    return _number("NODE_NUM", 1, 4096) if os.environ.get("NODE_NUM") else 1


def device_num() -> int:
    """Number of processes to start on each host: ``DEVICE_NUM``, else 8."""
    return _number("DEVICE_NUM", 1, 4096) if os.environ.get("DEVICE_NUM") else 8


def scheduler_port(hosts: int) -> int:
    """The port of msrun's scheduler: ``MASTER_PORT``, else a free one, or 8118 on several hosts, which must agree."""
    if os.environ.get("MASTER_PORT"):
        return _number("MASTER_PORT", 1024, 65534)
    if hosts > 1:
        return 8118
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _number(variable: str, low: int, high: int) -> int:
    """The value of an environment variable."""
    text = os.environ[variable]
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ConfigError(f"environment variable {variable}: expected a number from {low} to {high}, got {text!r}")
    return int(text)
