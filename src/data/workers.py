"""Batches made ahead of the one who takes them: by threads, or by forked processes that write into shared memory."""
import contextlib
import gc
import mmap
import os
import pickle
import signal
import struct
import threading
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn, TypeVar

import cv2
import numpy as np

from src.common.errors import DataError
from src.common.system import keep_freed_memory

T = TypeVar("T")
# Number of the step, epoch, slot and number of positions; written at once, so that it arrives whole at one process.
_TASK = struct.Struct("=4q")
_ALIGN = 64  # bytes; arrays in a slot begin at a cache line
_CHECK = 5.0  # seconds between two looks whether all processes live, where nothing else tells
_STOPS = (signal.SIGINT, signal.SIGTERM)

_fork_lock = threading.Lock()
_parent_ends: set[int] = set()  # file descriptors that no forked process may keep, or its siblings would never end

Work = Callable[[int, int, np.ndarray], tuple[list[np.ndarray], object]]


def in_threads(make: Callable[[int], T], steps: Iterable[int], workers: int) -> Iterator[T]:
    """What ``make`` returns for each step, in order, computed ahead by threads; closing the iterator ends them."""
    keep_freed_memory()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="crnn-data")
    pending = deque()
    try:
        for step in steps:
            pending.append(pool.submit(make, step))
            # Two more than threads: none waits while the network takes its time over a batch.
            if len(pending) >= workers + 2:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def can_fork() -> bool:
    """Whether this system can start worker processes: Linux can."""
    return hasattr(os, "fork") and hasattr(os, "waitid")


def room(*arrays: tuple[int, int]) -> int:
    """Bytes of a slot for arrays of so many values of so many bytes each."""
    return sum(-(-count * size // _ALIGN) * _ALIGN for count, size in arrays)


class WorkerProcesses:
    """Processes, forked from this one, that each make one step at a time and leave its arrays in shared memory.

    They know whatever this process knew when they were forked, at no cost; only numbers go through pipes. They end with
    this object, and with this process however it ends, as their pipe does. Ctrl-C and SIGTERM are up to this process.

    Args:
        work: called in a process with epoch, step and positions; returns arrays and something small that can be
            pickled. It must not use MindSpore, whose threads do not live on in a forked process.
        count: processes.
        slot_bytes: room for the arrays of a step, see :func:`room`.
        name: of the data set, for messages.
        prepare: called in each process once, before its first step.
    """

    def __init__(self, work: Work, count: int, slot_bytes: int, name: str, prepare: Callable[[], None] | None = None):
        keep_freed_memory()
        self._name = name
        # Two more than processes: none waits while the network takes its time over a batch.
        self._slots = [slice(first * slot_bytes, (first + 1) * slot_bytes) for first in range(count + 2)]
        # Anonymous, so that no small /dev/shm of a container limits it.
        self._memory = np.frombuffer(mmap.mmap(-1, slot_bytes * len(self._slots)), np.uint8)
        self._pids: dict[Connection, int] = {}
        with _fork_lock:
            tasks, self._tasks = os.pipe()
            _parent_ends.add(self._tasks)
            self._end = weakref.finalize(self, _end, self._pids, self._tasks, os.getpid())
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)  # ends OpenCV's own threads here: a forked process could not, and would wait for them
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
            try:
                for _ in range(count):
                    self._start(work, prepare, tasks)
            except OSError as error:
                self.close()
                raise DataError(f"{name}: no process to prepare batches can be started ({error.strerror}): lower "
                                "num_parallel_workers or take --loader=threads") from error
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                cv2.setNumThreads(threads)
                os.close(tasks)

    def _start(self, work: Work, prepare: Callable[[], None] | None, tasks: int) -> None:
        results, answers = Pipe(duplex=False)
        _parent_ends.add(results.fileno())
        try:
            with warnings.catch_warnings():
                # Newer Pythons warn of every fork beside threads; what the child runs needs none of their locks.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            _parent_ends.discard(results.fileno())
            results.close()
            answers.close()
            raise
        if not pid:
            _serve(work, prepare, tasks, answers, self._memory, self._slots)
        answers.close()
        self._pids[results] = pid

    def map(self, epoch: int, steps: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[list[np.ndarray], Any]]:
        """What ``work`` returns for each step, in order.

        Args:
            epoch: its number.
            steps: number and positions of each.

        Returns:
            An iterator. Its arrays lie in the shared memory and are those of the next step when that is asked for.

        Raises:
            DataError: a process has died.
            Exception: what ``work`` raised.
        """
        free, pending, done = deque(range(len(self._slots))), deque(), {}
        steps = iter(steps)
        while True:
            while free and (step := next(steps, None)) is not None:
                self._hand_out(epoch, *step, free[0])
                pending.append(free.popleft())
            if not pending:
                return
            slot = pending.popleft()
            while slot not in done:
                self._receive(done)
            shapes, rest, error = done.pop(slot)
            if error is not None:
                raise pickle.loads(error)
            yield _arrays(self._memory[self._slots[slot]], shapes), rest
            free.append(slot)

    def _hand_out(self, epoch: int, step: int, positions: np.ndarray, slot: int) -> None:
        _arrays(self._memory[self._slots[slot]], [("q", (len(positions),))])[0][:] = positions
        try:
            os.write(self._tasks, _TASK.pack(step, epoch, slot, len(positions)))
        except BrokenPipeError:  # all have closed it, so all of them end
            raise self._died(next(iter(self._pids.values()))) from None

    def _receive(self, done: dict) -> None:
        """Enters what has arrived, once something has."""
        ready: list[Any] = wait(self._pids, _CHECK)
        for results in ready:
            try:
                slot, *message = results.recv()
            except (EOFError, OSError):
                raise self._died(self._pids[results]) from None
            done[slot] = message
        if not ready and not self.is_alive():
            raise self._died(*self._pids.values())

    def is_alive(self) -> bool:
        """Whether all processes live."""
        return self._end.alive and not any(_has_ended(pid) for pid in self._pids.values())

    def _died(self, *pids: int) -> DataError:
        ended = (os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) for pid in pids if len(pids) == 1 or _has_ended(pid))
        try:
            how = next(ended)
            what = f"exit code {how.si_status}" if how.si_code == os.CLD_EXITED else signal.Signals(how.si_status).name
        except (ChildProcessError, StopIteration, ValueError):
            what = "unknown cause"
        self.close()
        return DataError(f"{self._name}: a process that prepares batches has died ({what}), perhaps for want of memory:"
                         " lower num_parallel_workers or take --loader=threads")

    def close(self) -> None:
        """Ends the processes at once."""
        self._end()


def _has_ended(pid: int) -> bool:
    """Whether a child is no more; it stays to be waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _end(pids: dict[Connection, int], tasks: int, parent: int) -> None:
    """Ends the processes; a copy of their object in another forked process leaves them alone."""
    if os.getpid() != parent:
        return
    for pid in pids.values():
        if not _has_ended(pid):
            os.kill(pid, signal.SIGKILL)  # they hold nothing that others need
    for pid in pids.values():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    for results in pids:
        _parent_ends.discard(results.fileno())
        results.close()
    _parent_ends.discard(tasks)
    os.close(tasks)


def _arrays(slot: np.ndarray, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> list[np.ndarray]:
    """Views of arrays that lie in a slot one after the other."""
    arrays, first = [], 0
    for kind, shape in shapes:
        array = np.ndarray(shape, kind, slot.data, first)
        arrays.append(array)
        first += room((array.size, array.itemsize))
    return arrays


def _serve(work: Work, prepare: Callable[[], None] | None, tasks: int, answers: Connection, memory: np.ndarray,
           slots: list[slice]) -> NoReturn:
    """The life of a process: steps from the common pipe until its other end is closed."""
    code = 1
    try:
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        for end in _parent_ends:
            os.close(end)
        gc.freeze()  # looking through the parent's objects would copy the memory they lie in
        if prepare is not None:
            prepare()
        while task := os.read(tasks, _TASK.size):
            step, epoch, number, count = _TASK.unpack(task)
            slot = memory[slots[number]]
            shapes, rest, error = [], None, None
            try:
                arrays, rest = work(epoch, step, _arrays(slot, [("q", (count,))])[0].copy())
                shapes = [(array.dtype.str, array.shape) for array in arrays]
                for place, array in zip(_arrays(slot, shapes), arrays, strict=True):
                    place[:] = array
            except Exception as raised:  # whatever it is, the parent is to see it
                shapes, error = [], _pickled(raised)
            answers.send((number, shapes, rest, error))
        code = 0
    except BrokenPipeError:
        code = 0  # the parent has gone
    finally:
        os._exit(code)  # nothing of the parent's may be flushed or finalised here


def _pickled(error: Exception) -> bytes:
    """The error with where it came from; as a RuntimeError where it cannot be pickled."""
    where = traceback.format_exc()
    try:
        error.add_note(f"in a process that prepares batches:\n{where}")
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:  # a class of its own may fail in any way
        return pickle.dumps(RuntimeError(f"in a process that prepares batches:\n{where}"))
    return data
