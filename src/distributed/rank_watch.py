"""Watches the processes of a distributed training and ends all of them when one fails; launch.py starts them."""
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from src.common.errors import ConfigError
from src.distributed import rank_process
from src.distributed.environment import RANK
from src.distributed.host_link import HostLink
from src.distributed.processes import descendants, is_running, is_stopped

TAIL_LINES = 20
FAILURE_SECONDS = 10  # for the other ranks to end after one failed; they mostly hang in a collective operation
STOP_SECONDS = 120  # for the ranks to write their checkpoint and end after Ctrl-C or SIGTERM; CRNN_STOP_SECONDS
LAST_SECONDS = 30  # for the others after the first of them has ended so
REST_SECONDS = 15  # for msrun's scheduler, or mpirun, to end after the ranks
HANG_SECONDS = 30  # that some processes may be stopped while others run; MindSpore's heartbeat takes 45 or misses it
LOST_CODE = 2  # exit code when another host is gone, or a process hangs
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class State:
    """What is known of a rank or of msrun's scheduler."""

    pid: int
    code: int | None = None  # its exit code, 128 + n after signal n; None while it runs
    ended: float = field(default_factory=time.monotonic)


class Launch:
    """One run: its processes and how they are.

    Args:
        ranks: the ranks of this host.
        folder: working folders are this and the rank.
        environment: for all processes.
        launcher: what starts the ranks, for messages.
    """

    def __init__(self, ranks: list[int], folder: str, environment: dict[str, str], launcher: str):
        self.names = [str(rank) for rank in ranks]
        self.folder = folder
        self.environment = environment
        self.launcher = launcher
        self.states: dict[str, State] = {}
        self.top: subprocess.Popen | None = None  # msrun or mpirun
        self.link: HostLink | None = None  # to the other hosts
        self.exits: dict[int, int] = {}  # of our children, by process
        self.signals: list[int] = []
        self._shown = 0
        self._all_alike = time.monotonic()  # when all processes ran, or all were stopped, last
        self._next_look = self._all_alike
        self._temporary = tempfile.TemporaryDirectory(prefix="crnn_launch_")
        self.notes = Path(self._temporary.name)
        stop_seconds()  # a mistake in it is told now, not when it is too late
        environment[rank_process.FOLDER_VARIABLE] = folder
        environment[rank_process.STATE_VARIABLE] = str(self.notes)
        environment[rank_process.PID_VARIABLE] = str(os.getpid())
        environment[rank_process.RANKS_VARIABLE] = " ".join(RANK)
        # Processes whose parents have ended, such as those of msrun, become ours, so that none can get away.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, lambda number, frame: self.signals.append(number))

    def start(self, command: list[str], log: str, **variables: str) -> subprocess.Popen:
        """Starts a process; what it prints goes to a file among the notes."""
        with open(self.notes / log, "wb") as file:
            return subprocess.Popen(command, env={**self.environment, **variables}, stdin=subprocess.DEVNULL,
                                    stdout=file, stderr=subprocess.STDOUT, start_new_session=True)

    def watch(self) -> int:
        """Waits until all ranks have ended, or one fails, or another host is lost; leaves no process behind.

        Returns:
            0, or the exit code of the rank that failed first; after a signal the highest exit code.
        """
        is_well = False
        try:
            while True:
                self._look()
                codes = self._codes()
                if self.signals:
                    is_well = True
                    return self._stop()
                if self._is_host_lost() or self._hangs():
                    self._end_ranks()
                    return LOST_CODE
                if any(codes) or self._lost():
                    return self._fail()
                if len(codes) == len(self.names) and None not in codes:
                    self._wait_for_rest()
                    is_well = True
                    return 0
                time.sleep(0.1)
        finally:
            if self.link:
                self.link.close(is_well)
            self._end_everything()
            self._temporary.cleanup()

    def _codes(self) -> list[int | None]:
        """The exit codes of the ranks that have started."""
        return [self.states[name].code for name in self.names if name in self.states]

    def _look(self) -> None:
        """Brings the states up to date and prints what the first rank has written since."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self.exits[found[0]] = os.waitstatus_to_exitcode(found[1])
        for name in [*self.names, rank_process.SCHEDULER]:
            state = self.states.get(name)
            if state and state.code is not None:
                continue
            gone = state is not None and not is_running(state.pid)  # asked before the file is read
            with contextlib.suppress(FileNotFoundError):
                self.states[name] = state = State(**json.loads((self.notes / name).read_text()))
            if gone and state.code is None:
                state.code = 128 + signal.SIGKILL
        if self.names[0] in self.states:
            with contextlib.suppress(FileNotFoundError), open(self._log(self.names[0]), "rb") as file:
                file.seek(self._shown)
                text = file.read()
                self._shown += len(text)
                sys.stdout.buffer.write(text)
                sys.stdout.flush()

    def _log(self, name: str) -> Path:
        """The log of a rank or of the scheduler."""
        return Path(f"{self.folder}{name}/log.txt")

    def _lost(self) -> bool:
        """Whether something else than a rank failed: msrun, mpirun, the scheduler, or a process before its start."""
        scheduler = self.states.get(rank_process.SCHEDULER)
        if scheduler and scheduler.code or self.top and self.exits.get(self.top.pid):
            return True
        if len(self._codes()) == len(self.names):
            return self.launcher == "mpirun" and self.top.pid in self.exits and None in self._codes()
        known = {state.pid for state in self.states.values()}
        if any(code for pid, code in self.exits.items() if pid not in known):
            return True
        if descendants():
            return False
        self._look()
        return len(self._codes()) < len(self.names)  # nobody is left who could start the others

    def _is_host_lost(self) -> bool:
        """Whether another host is gone; says which."""
        if self.link is None:
            return False
        reason = self.link.lost()
        if notice := self.link.notice():
            say(notice)
        if reason:
            say(f"error: {reason}; the run is ended here, too. Its last checkpoint is to go on from")
        return bool(reason)

    def _hangs(self) -> bool:
        """Whether a rank or the scheduler has been stopped for long, so that the others wait for it; says which.

        A run that is stopped as a whole may go on later.
        """
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + 1
        stopped = {name: is_stopped(state.pid) for name, state in self.states.items() if state.code is None}
        if any(stopped.values()) == all(stopped.values()):
            self._all_alike = now
        if now - self._all_alike < HANG_SECONDS:
            return False
        names = [f"rank {name}" if name in self.names else "the scheduler of msrun"
                 for name, is_so in stopped.items() if is_so]
        say(f"error: {' and '.join(names)} hangs: stopped (SIGSTOP) for {HANG_SECONDS} s while others wait for it; the "
            "run is ended. Its last checkpoint is to go on from")
        return True

    def _fail(self) -> int:
        """Tells who failed first and shows the end of its log; returns the exit code."""
        time.sleep(0.3)  # the cause and its effects come close together
        self._look()
        failed = [name for _, name in sorted((state.ended, name) for name, state in self.states.items() if state.code)]
        ranks = [name for name in failed if name in self.names]
        if failed:
            name = (ranks or failed)[0]
            code, log = self.states[name].code or 0, self._log(name)
            also = f" (after it: rank {', '.join(ranks[1:])})" if ranks[1:] else ""
            say(f"error: {f'rank {name}' if ranks else 'the scheduler of msrun'} {describe(code)}{also}; the run is "
                f"ended. The last lines of {log}:")
        else:
            code = next((code for code in self.exits.values() if code), 0)
            code = 128 - code if code < 0 else code
            log, end = self.notes, describe(code) if code else "ended before all ranks had started"
            say(f"error: {self.launcher} {end}; the run is ended. The last lines it printed:")
            code = code or 1
        if not log.is_file():  # it did not come so far
            log = max(self.notes.glob("*.log"), key=lambda path: path.stat().st_size, default=log)
        if log.is_file():
            say(*(f"| {line}" for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]))
        self._end_ranks()
        return code

    def _end_ranks(self) -> None:
        """Asks the ranks to end and gives them a little time for it."""
        self._send_to_ranks(signal.SIGTERM, set())
        until = time.monotonic() + min(FAILURE_SECONDS, stop_seconds())
        while None in self._codes() and time.monotonic() < until and not self.signals:
            time.sleep(0.1)
            self._look()

    def _stop(self) -> int:
        """Hands a signal on and waits for the ranks to end cleanly; a second signal ends them at once."""
        number, received = self.signals[0], len(self.signals)
        seconds = stop_seconds()
        say(f"{signal.Signals(number).name}: the ranks have {seconds:.0f} s to end; once more ends them at once")
        until, reached, last = time.monotonic() + seconds, set(), None
        while time.monotonic() < until and len(self.signals) == received and not self._lost():
            self._send_to_ranks(number, reached)
            time.sleep(0.1)
            self._look()
            codes = self._codes()
            if len(codes) == len(self.names) and None not in codes:
                return max(code for code in codes if code is not None)
            if last is None and any(code is not None for code in codes):
                last = time.monotonic() + LAST_SECONDS
                until = min(until, last)
        left = [name for name in self.names if name not in self.states or self.states[name].code is None]
        say(f"error: rank {', '.join(left)} did not end and is killed")
        return 128 + number

    def _send_to_ranks(self, number: int, reached: set[str]) -> None:
        """Sends a signal to all ranks that run and have not had it yet; adds them to those reached."""
        for name, state in self.states.items():
            if state.code is None and name in self.names and name not in reached:
                reached.add(name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(state.pid, number)

    def _wait_for_rest(self) -> None:
        """Gives the scheduler and mpirun time to end by themselves."""
        until = time.monotonic() + REST_SECONDS
        while descendants() and time.monotonic() < until and not self.signals:
            time.sleep(0.1)
            self._look()

    def _end_everything(self) -> None:
        """Kills what is left of us, also grandchildren whose parents are gone."""
        while left := descendants():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def stop_seconds() -> float:
    """How long the ranks may take to end after a signal: ``CRNN_STOP_SECONDS``.

    Raises:
        ConfigError: it is no number.
    """
    text = os.environ.get("CRNN_STOP_SECONDS") or str(STOP_SECONDS)
    if not text.replace(".", "", 1).isdecimal():
        raise ConfigError(f"environment variable CRNN_STOP_SECONDS: expected a number, got {text!r}")
    return float(text)


def describe(code: int) -> str:
    """An exit code in words."""
    names = {number.value: number.name for number in signal.Signals}
    if code - 128 in names:
        memory = " (the system does that when memory runs out)" if code - 128 == signal.SIGKILL else ""
        return f"was ended by {names[code - 128]}{memory}"
    return f"failed with exit code {code}"


def say(*lines: str) -> None:
    """Prints to standard error."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)
