"""The connection between the launchers of several hosts; and rank tables in msrun's terms."""
import socket

import pytest

from src.common.errors import ConfigError
from src.distributed import host_link
from src.distributed.host_link import HostLink
from src.distributed.hosts import Hosts, hosts_of_environment, hosts_of_rank_table
from src.distributed.rank_table import Device, RankTable
from tests.ranks import free_port


@pytest.fixture
def port() -> int:
    return free_port()


def link(rank: int, port: int) -> HostLink:
    return HostLink(Hosts(3, rank, "127.0.0.1", (0, 1)), port)


def look(*links: HostLink, times: int = 5) -> list[str]:
    """What each finds lost after all had time to see it."""
    found = [""] * len(links)
    for _ in range(times):
        found = [before or one.lost() for before, one in zip(found, links, strict=True)]
    return found


@pytest.mark.parametrize("is_well", [True, False])
@pytest.mark.parametrize("ending", [0, 2])
def test_who_ends(port, is_well, ending):
    links = [link(rank, port) for rank in range(3)]
    assert look(*links) == ["", "", ""] and [one.notice() for one in links] == ["", "", ""]
    links[ending].close(is_well)
    others = [one for rank, one in enumerate(links) if rank != ending]
    seen = look(*others)
    text = "" if is_well else f"host {ending} has ended, and its log says why"
    assert seen == ([text, text] if ending == 0 else [text, ""])
    assert look(*others) == ["", ""], "it is told once"


def test_somebody_else_who_comes_and_goes(port):
    first = link(0, port)
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"host \n", b"x" * 1000):
        with socket.create_connection(("127.0.0.1", port + 1)) as stranger:
            stranger.sendall(said)
            assert look(first) == [""]
        assert look(first) == [""]
    first.close(True)


def test_the_first_host_cannot_be_reached(port, monkeypatch):
    monkeypatch.setattr(host_link, "PATIENCE_SECONDS", 0)
    second = link(1, port)
    assert look(second) == [""]
    assert second.notice().startswith(f"note: port {port + 1} of 127.0.0.1 cannot be reached")
    assert second.notice() == "", "once is enough"
    first = link(0, port)  # comes late
    assert look(second, first) == ["", ""]
    first.close(False)
    assert look(second) == ["host 0 has ended, and its log says why"]


def test_the_port_is_taken(port):
    with socket.create_server(("127.0.0.1", port + 1)), pytest.raises(ConfigError, match="Address already in use"):
        link(0, port)
    with pytest.raises(ConfigError, match="MASTER_ADDR has to be an address of this host"):
        HostLink(Hosts(2, 0, "192.0.2.7", (0,)), port)


def test_a_dead_network_is_noticed_in_time(port):
    """What the system is told to do; tests/distributed/test_two_hosts.py cuts a network through."""
    first, second = link(0, port), link(1, port)
    look(second, first)
    for one in (first, second):
        [peer] = one._peers
        idle, between, count, limit = (peer.connection.getsockopt(socket.IPPROTO_TCP, option) for option in (
            socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT))
        assert peer.connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle + between * count == host_link.SILENCE_SECONDS == limit / 1000
        one.close(True)


@pytest.fixture
def environment(monkeypatch):
    for name in ("NODE_NUM", "NODE_RANK", "MASTER_ADDR", "DEVICE_NUM", "SERVER_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def table(*servers: str) -> RankTable:
    return RankTable("t.json", tuple(Device(rank, 10 + rank, "", server) for rank, server in enumerate(servers)))


def test_hosts_of_a_rank_table(environment):
    assert hosts_of_rank_table(table("a", "a", "a")) == Hosts(1, 0, "127.0.0.1", (10, 11, 12))
    environment.setenv("SERVER_ID", "b")
    found = hosts_of_rank_table(table("c", "c", "b", "b"))
    assert found == Hosts(2, 1, "c", (12, 13)) and found.ranks == [2, 3]
    environment.setenv("MASTER_ADDR", "192.0.2.7")
    assert hosts_of_rank_table(table("c", "c", "b", "b")).address == "192.0.2.7"
    environment.setenv("NODE_NUM", "3")
    with pytest.raises(ConfigError, match=r"NODE_NUM is 3, but rank table t\.json lists 2 servers"):
        hosts_of_rank_table(table("c", "c", "b", "b"))


@pytest.mark.parametrize("servers", ["abab", "aab", "abb", "aabbba"])
def test_what_msrun_cannot_spread(environment, servers):
    environment.setenv("SERVER_ID", "a")
    with pytest.raises(ConfigError, match=r"rank table t\.json: msrun needs as many .* set LAUNCHER=rank_table"):
        hosts_of_rank_table(table(*servers))


def test_hosts_of_the_environment(environment):
    assert hosts_of_environment() == Hosts(1, 0, "127.0.0.1", tuple(range(8)))
    for name, value in (("NODE_NUM", "2"), ("NODE_RANK", "1"), ("MASTER_ADDR", "192.0.2.7"), ("DEVICE_NUM", "4")):
        environment.setenv(name, value)
    found = hosts_of_environment()
    assert found == Hosts(2, 1, "192.0.2.7", (0, 1, 2, 3)) and found.ranks == [4, 5, 6, 7]
