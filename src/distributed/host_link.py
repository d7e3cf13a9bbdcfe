"""Tells the launchers of a run on several hosts of each other's end, which their ranks may not notice.

Ranks wait long or for ever when the host of msrun's scheduler is gone. So the launcher of each other host keeps a
connection to the first one's, on the port after the scheduler's. It breaks at once when a launcher ends or is killed,
and after ``SILENCE_SECONDS`` when a host or the network to it is dead. Who ends well says so before. Linux only.
"""
import contextlib
import socket
import time
from dataclasses import dataclass

from src.common.errors import ConfigError
from src.distributed.hosts import Hosts

SILENCE_SECONDS = 25
PATIENCE_SECONDS = 60  # before a host says that it cannot reach the first one
_PROBE_SECONDS = 5
_GOODBYE = b"end\n"
_GREETING = b"host "
_LONGEST = 32  # bytes of everything a launcher ever says


@dataclass
class _Peer:
    """Another launcher, and what it said."""

    connection: socket.socket
    said: bytes = b""

    @property
    def host(self) -> str:
        """Its number; empty where something else than a launcher has connected."""
        greeting, _, number = self.said.partition(b"\n")[0].rpartition(b" ")
        return number.decode() if greeting + b" " == _GREETING and number.isdigit() else ""

    def hear(self) -> str:
        """Reads what has come; returns "" while it is there, else why it is not."""
        try:
            data = self.connection.recv(_LONGEST)
        except BlockingIOError:
            return ""
        except OSError as error:
            return f"does not answer ({error.strerror})"
        self.said = (self.said + data)[:_LONGEST]
        return "" if data else "has ended, and its log says why"


class HostLink:
    """The connections of this launcher to the others.

    Args:
        hosts: who takes part; more than one.
        port: of msrun's scheduler; the next one is used.

    Raises:
        ConfigError: this is the first host, and the port cannot be used.
    """

    def __init__(self, hosts: Hosts, port: int):
        self._hosts, self._place = hosts, (hosts.address, port + 1)
        self._server: socket.socket | None = None
        self._peers: list[_Peer] = []
        self._is_met = hosts.rank == 0  # the others have to find the first one
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        if hosts.rank > 0:
            return
        try:
            family = socket.getaddrinfo(*self._place, type=socket.SOCK_STREAM)[0][0]
            self._server = socket.create_server(self._place, family=family, backlog=hosts.number)
        except OSError as error:
            raise ConfigError(f"port {port + 1} of {hosts.address}, by which the hosts notice each other's end, cannot "
                              f"be used here ({error.strerror}); MASTER_ADDR has to be an address of this host, and "
                              "MASTER_PORT a port that is free together with the next one") from error
        self._server.setblocking(False)

    def lost(self) -> str:
        """Which host is gone, as a sentence without its full stop; empty while all are there or ended well."""
        if self._server:
            with contextlib.suppress(BlockingIOError):
                self._peers.append(_Peer(_watched(self._server.accept()[0])))
        elif not self._is_met:
            self._meet()
        for peer in list(self._peers):
            if not (reason := peer.hear()):
                continue
            self._peers.remove(peer)
            peer.connection.close()
            if self._server and not peer.host or peer.said.endswith(_GOODBYE):
                continue
            return f"host {peer.host or 0} {reason}"
        return ""

    def notice(self) -> str:
        """What the user should know, once: that the first host cannot be reached."""
        if self._is_met or time.monotonic() < self._patient_until:
            return ""
        self._patient_until = float("inf")
        return (f"note: port {self._place[1]} of {self._place[0]} cannot be reached; until it can, this host does not "
                "notice the end of the first one")

    def close(self, is_well: bool) -> None:
        """Ends the connections; the others take it for a failure unless all is well."""
        for peer in self._peers:
            with contextlib.suppress(OSError):
                if is_well:
                    peer.connection.sendall(_GOODBYE)
            peer.connection.close()
        if self._server:
            self._server.close()

    def _meet(self) -> None:
        """Tries to reach the first host."""
        with contextlib.suppress(OSError):
            connection = _watched(socket.create_connection(self._place, timeout=1))
            connection.sendall(_GREETING + f"{self._hosts.rank}\n".encode())
            self._peers.append(_Peer(connection))
            self._is_met = True


def _watched(connection: socket.socket) -> socket.socket:
    """Lets the system look whether the other side is still there."""
    for option, value in ((socket.TCP_KEEPIDLE, _PROBE_SECONDS), (socket.TCP_KEEPINTVL, _PROBE_SECONDS),
                          (socket.TCP_USER_TIMEOUT, 1000 * SILENCE_SECONDS),
                          (socket.TCP_KEEPCNT, SILENCE_SECONDS // _PROBE_SECONDS - 1)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setblocking(False)
    return connection
