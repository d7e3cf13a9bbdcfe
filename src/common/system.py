"""What the machine and its libraries are asked: cores, the C library's memory allocator, quiet logs."""
import ctypes
import functools
import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def available_cores() -> int:
    """How many cores this process may use."""
    return len(usable_cores())


def cpu_facts(path: str = "/proc/cpuinfo") -> dict[str, str]:
    """What Linux tells of the first core, such as "model name" and "flags"; nothing elsewhere."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@functools.cache
def keep_freed_memory() -> bool:
    """Makes glibc keep up to 64 MiB of freed memory for blocks of up to 16 MiB, once for the process.

    A batch of images is megabytes, and one is freed as the next is made. By itself the allocator gives such memory back
    to the system and has it mapped and zeroed anew each time, which takes a quarter of the time of making a batch.

    Returns:
        Whether it was done; not where the user has set the allocator's variables, or the C library is another.
    """
    if any(os.environ.get(name) for name in _USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 16 << 20)) and bool(mallopt(_M_TRIM_THRESHOLD, 64 << 20))


@contextmanager
def loading() -> Iterator[None]:
    """What is made meanwhile stays: modules, networks. Nobody looks for garbage among it, now or later.

    That saves a program that reads one word a twentieth of its time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds a Ctrl-C back until the end: what is loaded meanwhile, such as MindSpore, must not be left half loaded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def muted(level: int = 30) -> Iterator[None]:
    """Mutes log lines of libraries up to a level, at first warnings: the caller handles what they complain of."""
    import logging  # here: hardly any program needs it, and it takes 9 ms

    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
