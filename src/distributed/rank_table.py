"""Reads and checks a rank table: the JSON file that tells HCCL which Ascend devices of which servers train together.

``python -m src.distributed.rank_table FILE`` checks a file and prints its devices.
"""
import argparse
import ipaddress
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.common.errors import ConfigError, run_main
from src.common.files import parse_json

VERSIONS = ("1.0", "1.2")
HOST_VARIABLE = "SERVER_ID"


@dataclass(frozen=True)
class Device:
    """One device of a rank table."""

    rank_id: int
    device_id: int
    device_ip: str  # empty where the file has none
    server_id: str


@dataclass(frozen=True)
class RankTable:
    """A checked rank table; its devices are in the order of their ranks."""

    path: str
    devices: tuple[Device, ...]

    @property
    def servers(self) -> list[str]:
        """The servers, each once."""
        return list(dict.fromkeys(device.server_id for device in self.devices))

    def of_this_host(self) -> list[Device]:
        """The devices of the server we run on: the only one, the one that ``SERVER_ID`` names, or one of our addresses.

        Raises:
            ConfigError: it cannot be told which server this host is.
        """
        servers = self.servers
        name = os.environ.get(HOST_VARIABLE, "")
        if name and name not in servers:
            raise ConfigError(f"environment variable {HOST_VARIABLE}: {self.path} has no server {name}; it has "
                              f"{', '.join(servers)}")
        if not name:
            ours = servers if len(servers) == 1 else [server for server in servers if _is_ours(server)]
            if len(ours) != 1:
                raise ConfigError(f"{self.path}: {'none' if not ours else 'more than one'} of its servers "
                                  f"({', '.join(servers)}) has an address of this host; set {HOST_VARIABLE} to the "
                                  "server_id of this host")
            name = ours[0]
        return [device for device in self.devices if device.server_id == name]


def read_rank_table(path: str) -> RankTable:
    """Reads a rank table.

    Raises:
        ConfigError: the file cannot be read, is no JSON, lacks a key, or its devices contradict each other.
    """
    try:
        table = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"rank table {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"rank table {path} is not a text file; give the JSON file that lists the devices") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"rank table {path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") \
            from error
    try:
        return RankTable(path, _devices(table))
    except ConfigError as error:
        raise ConfigError(f"rank table {path}: {error}") from None


def _devices(table: object) -> tuple[Device, ...]:
    """All devices of a parsed file, checked."""
    if not isinstance(table, dict):
        raise ConfigError("the file must hold one object with the keys version and server_list")
    if "server_list" not in table and "group_list" in table:
        raise ConfigError("this is the old format with group_list; make one of version 1.0 with server_list")
    version = str(_key(table, "version", "the file"))
    if version not in VERSIONS:
        raise ConfigError(f"version {version} is not known; known are {', '.join(VERSIONS)}")
    if table.get("status", "completed") != "completed":
        raise ConfigError(f"status is {table['status']!r}, so the file is not finished; it must be \"completed\"")
    servers = _list(table, "server_list", "the file")
    if "server_count" in table and str(table["server_count"]) != str(len(servers)):
        raise ConfigError(f"server_count is {table['server_count']}, but server_list has {len(servers)} servers")
    devices: list[Device] = []
    names: set[str] = set()
    for number, server in enumerate(servers):
        where = f"server_list[{number}]"
        name = _key(server, "server_id", where)
        name = name.strip() if isinstance(name, str) else ""
        if not name or not name.isprintable():
            raise ConfigError(f"{where}: server_id is empty or no text; give the address of the server")
        if name in names:
            raise ConfigError(f"{where}: server_id {name} appears twice; list all devices of a server together")
        names.add(name)
        devices += [_device(item, f"{where}.device[{i}]", name)
                    for i, item in enumerate(_list(server, "device", where))]
    _check_no_contradiction(devices)
    return tuple(sorted(devices, key=lambda device: device.rank_id))


def _device(item: object, where: str, server: str) -> Device:
    address = str(item.get("device_ip", "")).strip() if isinstance(item, dict) else ""
    try:
        if address:
            ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(f"{where}: device_ip {address!r} is not an address; see hccn.conf of the server") from None
    return Device(_number(item, "rank_id", where), _number(item, "device_id", where), address, server)


def _check_no_contradiction(devices: Sequence[Device]) -> None:
    """Ranks are 0 to N - 1, each once; a device of a server and an address appear once."""
    ranks, places, addresses = {}, set(), {}
    for device in devices:
        if device.rank_id in ranks:
            raise ConfigError(f"rank_id {device.rank_id} appears twice (device {ranks[device.rank_id].device_id} and "
                              f"device {device.device_id}); every device needs its own")
        ranks[device.rank_id] = device
        if (device.server_id, device.device_id) in places:
            raise ConfigError(f"device_id {device.device_id} of server {device.server_id} appears twice; list every "
                              "device once")
        places.add((device.server_id, device.device_id))
        if device.device_ip and device.device_ip in addresses:
            raise ConfigError(f"device_ip {device.device_ip} appears twice (rank {addresses[device.device_ip]} and "
                              f"rank {device.rank_id}); every device has its own")
        addresses[device.device_ip] = device.rank_id
    missing = [rank for rank in range(len(devices)) if rank not in ranks]
    if missing:
        raise ConfigError(f"rank_id {missing[0]} is missing; the {len(devices)} devices need the ranks 0 to "
                          f"{len(devices) - 1}")


def _key(item: object, key: str, where: str) -> object:
    """A value that must be there."""
    if not isinstance(item, dict):
        raise ConfigError(f"{where} must be an object in curly brackets with the key {key}")
    if key not in item:
        raise ConfigError(f"{where} lacks the key {key}")
    return item[key]


def _list(item: object, key: str, where: str) -> list:
    """A list that must be there and hold something."""
    value = _key(item, key, where)
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: {key} must be a list with at least one entry")
    return value


def _number(item: object, key: str, where: str) -> int:
    """A whole number, which the files write as text."""
    value = _key(item, key, where)
    is_written = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10
    if isinstance(value, bool) or not (is_written or isinstance(value, int) and 0 <= value < 10**9):
        raise ConfigError(f"{where}: {key} must be a number such as \"0\", got {str(value)[:40]!r}")
    return int(value)


def _is_ours(address: str) -> bool:
    """Whether an address or a name belongs to this host: one can be bound to only where it does."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except (OSError, UnicodeError):  # the latter where it cannot be a host's name
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    """Checks a rank table and prints its devices."""
    parser = argparse.ArgumentParser(prog="python -m src.distributed.rank_table", description=main.__doc__)
    parser.add_argument("file", metavar="FILE", help="the rank table")
    table = read_rank_table(parser.parse_args(argv).file)
    ours = table.of_this_host()
    print(f"servers: {len(table.servers)}\ndevices: {len(table.devices)}\ndevices of this host: {len(ours)}")
    for device in table.devices:
        print(f"rank {device.rank_id}: device {device.device_id} of {device.server_id}"
              f"{', ' + device.device_ip if device.device_ip else ''}{', this host' if device in ours else ''}")
    return 0


if __name__ == "__main__":
    run_main(main)
