"""A lock on a file: one process at a time holds it, and the system takes it back however that process ends."""
import contextlib
import os

try:
    import fcntl
except ImportError:  # not a Unix: nothing is locked there
    fcntl = None


class FileLock:
    """The lock; the file may hold a note of whoever has it.

    Args:
        path: of the file; made when it is needed, with its folder.
    """

    def __init__(self, path: str):
        self.path = path
        self._handle = -1

    def acquire(self, wait: bool = True) -> bool:
        """Takes the lock; False where another process (or another object of this one) holds it.

        Args:
            wait: until it is free.

        Raises:
            OSError: the file cannot be made, or its file system has no locks.
        """
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if _is_file(handle, self.path):
                    self._handle = handle
                    return True
            except BlockingIOError:
                os.close(handle)
                return False
            except BaseException as error:
                os.close(handle)
                if isinstance(error, OSError):
                    error.filename = self.path
                raise
            os.close(handle)  # removed by the one who held it; whoever comes now makes a new one

    def read(self) -> bytes:
        """What the file holds; only while the lock is held."""
        return os.pread(self._handle, os.fstat(self._handle).st_size, 0)

    def write(self, data: bytes) -> None:
        """Replaces what the file holds; only while the lock is held."""
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, data, 0)

    def release(self, remove: bool = False) -> None:
        """Gives the lock back; does nothing when it is not held.

        Args:
            remove: the file, too.
        """
        if self._handle < 0:
            return
        if remove:
            with contextlib.suppress(OSError):
                os.remove(self.path)
        os.close(self._handle)
        self._handle = -1


def _is_file(handle: int, path: str) -> bool:
    """Whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
