"""Rank tables: what is read from them, and which mistakes are told how."""
import copy
import json
import subprocess
import sys

import pytest

from src.common.errors import ConfigError
from src.distributed.rank_table import main, read_rank_table

TWO_SERVERS = {
    "version": "1.0",
    "server_count": "2",
    "server_list": [
        {"server_id": "192.0.2.7", "host_nic_ip": "reserve", "device": [
            {"device_id": "0", "device_ip": "192.0.2.100", "rank_id": "0"},
            {"device_id": "3", "device_ip": "192.0.2.101", "rank_id": "1"}]},
        {"server_id": "127.0.0.1", "device": [
            {"device_id": "1", "device_ip": "192.0.2.103", "rank_id": "3"},
            {"device_id": "0", "device_ip": "192.0.2.102", "rank_id": "2"}]},
    ],
    "status": "completed",
}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a table to a file and returns its path."""
    monkeypatch.delenv("SERVER_ID", raising=False)

    def write(table, name="table.json") -> str:
        (tmp_path / name).write_text(table if isinstance(table, str) else json.dumps(table))
        return str(tmp_path / name)

    return write


def test_devices_are_in_the_order_of_their_ranks(write):
    table = read_rank_table(write(TWO_SERVERS))
    assert [(d.rank_id, d.device_id, d.device_ip, d.server_id) for d in table.devices] == [
        (0, 0, "192.0.2.100", "192.0.2.7"), (1, 3, "192.0.2.101", "192.0.2.7"),
        (2, 0, "192.0.2.102", "127.0.0.1"), (3, 1, "192.0.2.103", "127.0.0.1"),
    ]  # fmt: skip
    assert table.servers == ["192.0.2.7", "127.0.0.1"]


def test_the_devices_of_this_host(write, monkeypatch):
    table = read_rank_table(write(TWO_SERVERS))
    assert [d.rank_id for d in table.of_this_host()] == [2, 3], "127.0.0.1 is an address of every host"
    monkeypatch.setenv("SERVER_ID", "192.0.2.7")
    assert [d.rank_id for d in table.of_this_host()] == [0, 1]
    monkeypatch.setenv("SERVER_ID", "192.0.2.8")
    with pytest.raises(ConfigError, match=r"SERVER_ID: .* has no server 192\.0\.2\.8; it has 192\.0\.2\.7, 127\.0"):
        table.of_this_host()


def test_this_host_cannot_be_told(write):
    foreign = copy.deepcopy(TWO_SERVERS)
    foreign["server_list"][1]["server_id"] = "192.0.2.9"
    with pytest.raises(ConfigError, match="none of its servers .* has an address of this host; set SERVER_ID"):
        read_rank_table(write(foreign)).of_this_host()
    both = copy.deepcopy(TWO_SERVERS)
    both["server_list"][0]["server_id"] = "127.0.0.2"
    with pytest.raises(ConfigError, match="more than one of its servers"):
        read_rank_table(write(both)).of_this_host()


def test_the_only_server_is_this_host(write):
    table = copy.deepcopy(TWO_SERVERS)
    del table["server_list"][1], table["server_count"], table["status"]
    for device in table["server_list"][0]["device"]:
        del device["device_ip"]
        device["rank_id"] = int(device["rank_id"])
    assert [(d.device_id, d.device_ip) for d in read_rank_table(write(table)).of_this_host()] == [(0, ""), (3, "")]


def changed(*path, to=None):
    """The table with one value changed, or removed."""
    table = copy.deepcopy(TWO_SERVERS)
    place = table
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return table


DEVICE = ("server_list", 1, "device", 0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('{"version": "1.0",\n "server_list": [}', r"line 2, column 18: not JSON \(Expecting value\)"),
        ("[]", "must hold one object with the keys version and server_list"),
        ({"group_list": [], "group_count": "1"}, "old format with group_list; make one of version 1.0"),
        (changed("version"), "the file lacks the key version"),
        (changed("version", to="7"), "version 7 is not known; known are 1.0, 1.2"),
        (changed("status", to="initializing"), "status is 'initializing', so the file is not finished"),
        (changed("server_list"), "the file lacks the key server_list"),
        (changed("server_list", to=[]), "the file: server_list must be a list with at least one entry"),
        (changed("server_list", to={"a": 1}), "server_list must be a list"),
        (changed("server_list", 1, to="x"), r"server_list\[1\] must be an object"),
        (changed("server_count", to="1"), "server_count is 1, but server_list has 2 servers"),
        (changed("server_list", 0, "server_id"), r"server_list\[0\] lacks the key server_id"),
        (changed("server_list", 0, "server_id", to=" "), r"server_list\[0\]: server_id is empty"),
        (changed("server_list", 0, "server_id", to="127.0.0.1"), "server_id 127.0.0.1 appears twice"),
        (changed("server_list", 1, "device"), r"server_list\[1\] lacks the key device"),
        (changed("server_list", 1, "device", to=[]), r"server_list\[1\]: device must be a list with at least one"),
        (changed("server_list", 1, "device", to=["0"]), r"server_list\[1\].device\[0\] must be an object .* rank_id"),
        (changed(*DEVICE, "rank_id"), r"server_list\[1\].device\[0\] lacks the key rank_id"),
        (changed(*DEVICE, "device_id"), r"server_list\[1\].device\[0\] lacks the key device_id"),
        (changed(*DEVICE, "device_id", to="-1"), r"device_id must be a number such as \"0\", got '-1'"),
        (changed(*DEVICE, "rank_id", to=True), "rank_id must be a number"),
        (changed(*DEVICE, "rank_id", to="0"), r"rank_id 0 appears twice \(device 0 and device 1\)"),
        (changed(*DEVICE, "rank_id", to="4"), "rank_id 3 is missing; the 4 devices need the ranks 0 to 3"),
        (changed(*DEVICE, "device_id", to="0"), "device_id 0 of server 127.0.0.1 appears twice"),
        (changed(*DEVICE, "device_ip", to="192.0.2.100"), r"device_ip 192.0.2.100 appears twice \(rank 0 and rank 3\)"),
        (changed(*DEVICE, "device_ip", to="192.0.2"), "device_ip '192.0.2' is not an address"),
    ],
)  # fmt: skip
def test_mistakes(write, table, expected):
    path = write(table)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_rank_table(path)
    assert str(caught.value).startswith(f"rank table {path}")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="none.json: No such file or directory"):
        read_rank_table(str(tmp_path / "none.json"))
    (tmp_path / "weights.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not a text file"):
        read_rank_table(str(tmp_path / "weights.json"))


def test_as_a_program(write, capsys, repo):
    path = write(TWO_SERVERS)
    assert main([path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "servers: 2", "devices: 4", "devices of this host: 2",
        "rank 0: device 0 of 192.0.2.7, 192.0.2.100", "rank 1: device 3 of 192.0.2.7, 192.0.2.101",
        "rank 2: device 0 of 127.0.0.1, 192.0.2.102, this host",
        "rank 3: device 1 of 127.0.0.1, 192.0.2.103, this host",
    ]  # fmt: skip
    for words, code in (([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == code
    done = subprocess.run([sys.executable, "-m", "src.distributed.rank_table", write("{", "broken.json")], cwd=repo,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("error: rank table ") and "not JSON" in done.stderr


@pytest.mark.parametrize("name", [["192.0.2.7"], {}, 7, "", " ", "a\nb", "\ud800", "é\0"])
def test_a_server_without_a_name(write, name):
    with pytest.raises(ConfigError, match=r"server_list\[0\]: server_id is empty or no text; give the address"):
        read_rank_table(write(changed("server_list", 0, "server_id", to=name)))


def test_names_that_no_host_can_have(write):
    table = changed("server_list", 0, "server_id", to="é" * 70)
    table["server_list"][1]["server_id"] = ".a"
    with pytest.raises(ConfigError, match="none of its servers .* has an address of this host"):
        read_rank_table(write(table)).of_this_host()
