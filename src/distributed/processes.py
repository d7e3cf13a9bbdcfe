"""Which processes are there, as psutil tells; one that has ended counts as gone before its parent has noticed."""
import os

import psutil


def is_running(number: int, began: float = 0.0) -> bool:
    """Whether a process is there and has not ended.

    Args:
        number: of the process.
        began: as :func:`this_process` gives it, which tells the process from a later one of the same number; 0: any.
    """
    try:
        process = psutil.Process(number)
        # psutil derives the time of day from the system's start, which moves a little as the clock is set.
        return process.status() != psutil.STATUS_ZOMBIE and (not began or abs(process.create_time() - began) < 2)
    except psutil.NoSuchProcess:
        return False


def is_stopped(number: int) -> bool:
    """Whether a process, or one that came from it, was stopped by a signal; by a debugger does not count."""
    try:
        process = psutil.Process(number)
        return any(one.status() == psutil.STATUS_STOPPED for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return False


def this_process() -> list:
    """Number and beginning of this process, for :func:`is_running`, as JSON can hold it."""
    return [os.getpid(), psutil.Process().create_time()]


def descendants() -> list[int]:
    """Numbers of all processes that come from this one and have not ended."""
    return [process.pid for process in psutil.Process().children(recursive=True) if is_running(process.pid)]
