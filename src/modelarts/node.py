"""What the processes of one node agree on through files: who copies in for all of them, and who copies out."""
import json
import os
import time
from collections.abc import Callable

from src.common.errors import DataError
from src.common.files import FileLock


def once_per_node(path: str, source: str, rank: int, action: Callable[[], None], what: str) -> None:
    """Runs an action in the first process of a node that comes here; the others wait, and go on when it is done.

    What an earlier run left behind is told by its process, which is gone, or by this rank being among those that used
    it; then the action runs again. Where the process that runs it dies, the next one takes over.

    Args:
        path: a file for the agreement, on a disk of the node; a note stays in it.
        source: what the action copies; another source is another action.
        rank: of this process.
        action: to run.
        what: for the message of those that wait, such as 'the data'.

    Raises:
        DataError: the action failed, here or in the process that this one waited for.
    """
    arrived, lock = time.time(), FileLock(path)
    if not lock.acquire(wait=False):
        print(f"rank {rank}: waiting for another process of this node to copy {what}", flush=True)
        lock.acquire()
    try:
        note = _read(lock)
        if note.get("source") == source and (note["time"] >= arrived
                                             or (_lives(note["process"]) and rank not in note["ranks"])):
            if note["error"]:
                raise DataError(note["error"])
            _write(lock, {**note, "ranks": [*note["ranks"], rank]})
            return
        _write(lock, {})  # whatever may interrupt the action, the older note is wrong from here on
        note = {"source": source, "process": _process(), "ranks": [rank], "error": ""}
        try:
            action()
        except DataError as error:
            _write(lock, {**note, "error": str(error), "time": time.time()})
            raise
        _write(lock, {**note, "time": time.time()})
    finally:
        lock.release()


class Farewell:
    """Finds out which process of a node hands the results over: the first rank that was there, and only that one.

    Args:
        path: a file for the agreement, on a disk of the node.
        rank: of this process, which takes part from now on.
    """

    def __init__(self, path: str, rank: int):
        self._lock, self._rank = FileLock(path), str(rank)
        self._lock.acquire()
        try:
            note = _read(self._lock)
            if not any(_lives(other["process"]) for other in note.values()):
                note = {}  # of an earlier run
            _write(self._lock, {**note, self._rank: {"process": _process(), "state": "running"}})
        finally:
            self._lock.release()

    def leave(self, action: Callable[[], None]) -> bool:
        """Runs an action unless a lower rank has done so or is still there to do it; returns whether it ran.

        Raises:
            DataError: from the action; then the next rank that leaves tries again.
        """
        self._lock.acquire()
        try:
            note = _read(self._lock)
            state = "left"
            try:
                if any(other["state"] == "copied" or (other["state"] == "running" and _lives(other["process"]))
                       for rank, other in note.items() if int(rank) < int(self._rank)):
                    return False
                action()
                state = "copied"
                return True
            finally:
                _write(self._lock, {**note, self._rank: {"process": _process(), "state": state}})
        finally:
            self._lock.release()


def _read(lock: FileLock) -> dict:
    """The note in the file; an empty one where there is none, or half of one."""
    try:
        note = json.loads(lock.read())
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _write(lock: FileLock, note: dict) -> None:
    lock.write(json.dumps(note).encode())


def _process() -> list:
    """Number of this process, and when it began, because numbers come again."""
    return [os.getpid(), _began(os.getpid())]


def _lives(process: list) -> bool:
    """Whether a process, as :func:`_process` gave it, is still there."""
    number, began = process
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # there, but another user's
    return _began(number) == began


def _began(number: int) -> str:
    """When a process began, in the system's own terms; '' where it does not tell."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # one that has ended and waits to be noticed is gone
