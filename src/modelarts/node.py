"""What the processes of one node agree on through files: who copies in for all of them, and who copies out."""
import json
import time
from collections.abc import Callable

from src.common.errors import DataError
from src.common.files import FileLock, parse_json
from src.distributed.processes import is_running, this_process


def once_per_node(path: str, source: str, rank: int, action: Callable[[], None], what: str) -> None:
    """Runs an action once for all processes of a node.

    The first process that comes here runs it. The others wait until it is done and do not run it. If the first process
    dies, the next one runs the action again.

    The file keeps a note of who ran the action. The note of an earlier run does not count: its process has ended, or
    it says that this rank has used the result before.

    Args:
        path: a file for the note, on a disk of the node; it stays there.
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
        note = _read(lock, _is_of_action)
        if note.get("source") == source and (note["time"] >= arrived
                                             or (is_running(*note["process"]) and rank not in note["ranks"])):
            if note["error"]:
                raise DataError(note["error"])
            _write(lock, {**note, "ranks": [*note["ranks"], rank]})
            return
        _write(lock, {})  # if the action is interrupted, the older note must not count
        note = {"source": source, "process": this_process(), "ranks": [rank], "error": ""}
        try:
            action()
        except DataError as error:
            _write(lock, {**note, "error": str(error), "time": time.time()})
            raise
        _write(lock, {**note, "time": time.time()})
    finally:
        lock.release()


class LastAction:
    """Runs an action at the end of a run in one process of a node only: the lowest rank that is able to.

    Args:
        path: a file in which the processes note that they run, on a disk of the node.
        rank: of this process, which is noted now.
    """

    def __init__(self, path: str, rank: int):
        self._lock, self._rank = FileLock(path), str(rank)
        self._lock.acquire()
        try:
            note = _read(self._lock, _is_of_ranks)
            if not any(is_running(*other["process"]) for other in note.values()):
                note = {}  # of an earlier run
            _write(self._lock, {**note, self._rank: {"process": this_process(), "state": "running"}})
        finally:
            self._lock.release()

    def run(self, action: Callable[[], None]) -> bool:
        """Runs an action unless a lower rank has done so or is still there to do it; returns whether it ran.

        Raises:
            DataError: from the action; then the next rank that leaves tries again.
        """
        self._lock.acquire()
        try:
            note = _read(self._lock, _is_of_ranks)
            state = "left"
            try:
                if any(other["state"] == "copied" or (other["state"] == "running" and is_running(*other["process"]))
                       for rank, other in note.items() if int(rank) < int(self._rank)):
                    return False
                action()
                state = "copied"
                return True
            finally:
                _write(self._lock, {**note, self._rank: {"process": this_process(), "state": state}})
        finally:
            self._lock.release()


def _read(lock: FileLock, is_ours: Callable[[dict], bool]) -> dict:
    """The note in the file; an empty one where there is none, half of one, or another program's."""
    try:
        note = parse_json(lock.read())
    except json.JSONDecodeError:
        return {}
    return note if isinstance(note, dict) and is_ours(note) else {}


def _is_of_action(note: dict) -> bool:
    return (_is_process(note.get("process")) and isinstance(note.get("ranks"), list)
            and isinstance(note.get("error"), str) and isinstance(note.get("time"), int | float))


def _is_of_ranks(note: dict) -> bool:
    return all(rank.isdecimal() and isinstance(other, dict) and _is_process(other.get("process")) and "state" in other
               for rank, other in note.items())


def _is_process(process: object) -> bool:
    """Whether this is what :func:`src.distributed.processes.this_process` gives, after JSON."""
    return (isinstance(process, list) and len(process) == 2 and isinstance(process[0], int) and process[0] >= 0
            and isinstance(process[1], int | float))


def _write(lock: FileLock, note: dict) -> None:
    lock.write(json.dumps(note).encode())
