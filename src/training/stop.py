"""SIGTERM, Ctrl-C and a closed terminal while training: the step is finished and a checkpoint is written.

While MindSpore computes a step, it catches Ctrl-C itself and sends SIGTERM to its own process instead.
"""
import contextlib
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C", signal.SIGHUP: "a closed terminal (SIGHUP)"}
"""The signals that end a run, the most urgent first."""


class StopRequested(Exception):  # noqa: N818 - nothing went wrong
    """Leaves an evaluation that the user does not want to wait for."""


class StopSignals:
    """Catches :data:`NAMES` inside a block.

    The first signal is remembered. A second one ends the process at once with exit code 128 + its number, but only if
    it comes more than a second after the first: after one Ctrl-C a process may get two signals, one from the terminal
    and one from its launcher. SIGHUP stays ignored where it was ignored before, as under nohup.

    Attributes:
        received: the first signal that came, 0 before.
    """

    APART = 1.0

    def __init__(self) -> None:
        self.received = 0
        self._when = 0.0
        self._before: dict[int, Any] = {}
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            self._before = {number: signal.signal(number, self._on_signal) for number in NAMES
                            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            if time.monotonic() - self._when < self.APART:
                return
            self._write("interrupted")
            os._exit(128 + number)
        self.received, self._when = number, time.monotonic()
        if number == signal.SIGHUP:
            self._drop_terminal()
        self._write(f"{NAMES[signal.Signals(number)]}: finishing this step, then writing a checkpoint (a second Ctrl-C "
                   "ends at once)")

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody may be there to read it
            os.write(2, f"\n{line}\n".encode())  # no print: the signal may have come in the middle of one

    def _drop_terminal(self) -> None:
        """Sends output for the lost terminal to nowhere, so that printing does not fail; files still get theirs."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)

    def interrupting(self, items: Iterable[T]) -> Iterator[T]:
        """Passes items on, and raises :class:`StopRequested` before the next one after a signal came."""
        for item in items:
            if self.received:
                raise StopRequested
            yield item


def command_to_resume(checkpoint: object, arguments: list[str] | None = None) -> str:
    """The command that goes on from a checkpoint: the one that started this run, with ``--resume_ckpt``.

    A launcher gives the whole path of the program and starts it in a folder of its own, which the command goes to.

    Args:
        checkpoint: its path.
        arguments: the program and the words of its command line; None takes this process's.
    """
    program, *words = sys.argv if arguments is None else arguments
    kept = []
    while words:
        word = words.pop(0)
        name, joined, _ = word.partition("=")
        if name.lstrip("-") in ("resume_ckpt", "train_start_epoch") and name.startswith("--"):
            if not joined and words:
                words.pop(0)
        else:
            kept.append(word)
    found = shutil.which("python")
    python = "python" if found and os.path.samefile(found, sys.executable) else sys.executable
    folder = f"cd {shlex.quote(os.getcwd())} && " if os.path.isabs(program) else ""
    return f"{folder}{shlex.join([python, program, *kept, f'--resume_ckpt={checkpoint}'])}"
