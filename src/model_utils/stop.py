"""SIGTERM and Ctrl-C while training: noted, so that the step is finished and a checkpoint written.

A Ctrl-C that comes while MindSpore computes a step reaches us as SIGTERM: MindSpore catches it and sends that instead.
"""
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class StopRequested(Exception):  # noqa: N818 - nothing went wrong
    """Leaves an evaluation that the user does not want to wait for."""


class StopSignals:
    """Catches SIGTERM and Ctrl-C inside a block; a second one ends the process at once with exit code 143 or 130.

    The second must come a second later: a launcher may hand on what the terminal has sent to all already.

    Attributes:
        received: the first signal that came, 0 before.
    """

    APART = 1.0

    def __init__(self) -> None:
        self.received = 0
        self._when = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            self._before = {number: signal.signal(number, self._note) for number in NAMES}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            if time.monotonic() - self._when < self.APART:
                return
            os.write(2, b"\ninterrupted\n")
            os._exit(128 + number)
        self.received, self._when = number, time.monotonic()
        # os.write: the signal may have come in the middle of a print
        os.write(2, f"\n{NAMES[signal.Signals(number)]}: finishing this step, then writing a checkpoint "
                    "(a second Ctrl-C ends at once)\n".encode())

    def interrupting(self, items: Iterable[T]) -> Iterator[T]:
        """Passes items on, and raises :class:`StopRequested` before the next one after a signal came."""
        for item in items:
            if self.received:
                raise StopRequested
            yield item


def command_to_resume(checkpoint: object, arguments: list[str] | None = None) -> str:
    """The command that goes on from a checkpoint: the one that started this run, with ``--resume_ckpt``.

    Args:
        checkpoint: its path.
        arguments: words of the command line; None takes this process's.
    """
    import shlex

    words, kept = list(sys.argv[1:] if arguments is None else arguments), []
    while words:
        word = words.pop(0)
        name, joined, _ = word.partition("=")
        if name.lstrip("-") in ("resume_ckpt", "train_start_epoch") and name.startswith("--"):
            if not joined and words:
                words.pop(0)
        else:
            kept.append(word)
    return f"python train.py {shlex.join([*kept, f'--resume_ckpt={checkpoint}'])}"
