"""Which processes are there, from the system's list in ``/proc``. Linux only; elsewhere nothing is known of them."""
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that has not ended.

    Attributes:
        parent: number of the process that started it.
        began: when it began, in the system's own terms; tells it from an earlier process of the same number.
    """

    parent: int
    began: str


def find_process(number: int) -> Process | None:
    """Looks a process up; None where it has ended, also where its parent has not noticed that yet."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else Process(int(fields[1]), fields[19])


def descendants() -> list[int]:
    """Numbers of all processes that come from this one and have not ended."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (process := find_process(int(entry.name))):
            children.setdefault(process.parent, []).append(int(entry.name))
    found = list(children.get(os.getpid(), []))
    for number in found:  # grows while we go
        found += children.get(number, [])
    return found


def this_process() -> list:
    """Number and beginning of this process, for :func:`is_running`, as JSON can hold it."""
    own = find_process(os.getpid())
    return [os.getpid(), own.began if own else ""]


def is_running(number: int, began: str) -> bool:
    """Whether the very process that :func:`this_process` described is still there."""
    process = find_process(number)
    if process is None and not began:  # a system without /proc
        with contextlib.suppress(PermissionError):  # it is there, but another user's
            try:
                os.kill(number, 0)
            except ProcessLookupError:
                return False
        return True
    return process is not None and process.began == began
