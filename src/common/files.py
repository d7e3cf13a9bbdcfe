"""Files: reading lines, writing a file whole or not at all, paths that are safe to use, and a lock."""
import contextlib
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Self

from src.common.errors import ConfigError, DataError

try:
    import fcntl
except ImportError:  # not a Unix: nothing is locked there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: str | os.PathLike, durable: bool = True) -> Iterator[str]:
    """Lets others write a file that must be there whole or not at all; every writer of the project goes through this.

    Inside the block a temporary file is written beside the final one. When the block ends without an error it is
    brought to the disk and takes the final name; after any error, also Ctrl-C, it is removed and the old file is as it
    was. The new file has the permissions that any newly made file has, whatever a library gave the temporary one.

    What a link leads to is replaced, not the link. A pipe, a device and /dev/stdout are written directly.

    Args:
        path: of the file; its folder is made where it is missing.
        durable: waits until the disk has the data, so that even a loss of power leaves the old file or the new one.
            Without it that is left to the system, which is faster where thousands of small files are written.

    Yields:
        The path of the temporary file, an empty one with the ending of ``path``. It may be written or replaced. A block
        that removes it keeps the old file.

    Raises:
        OSError: with the name of the final file, for example when the disk is full.
    """
    path = os.fspath(path)
    place = os.path.realpath(path) if os.path.islink(path) else path
    if _is_passed_through(place) or _is_passed_through(path):
        yield path
        return
    folder = os.path.dirname(place) or "."
    temporary = os.path.join(folder, f".part-{os.getpid()}-{secrets.token_hex(4)}{os.path.splitext(path)[1]}")
    try:
        os.makedirs(folder, exist_ok=True)
        # Not mkstemp, whose files are the user's alone: this one gets its permissions as any other file.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        yield temporary
        if os.path.exists(temporary):
            os.chmod(temporary, mode)
            if durable:
                _sync(temporary)
            os.replace(temporary, place)
    except OSError as error:
        if error.filename in (None, temporary):
            error.filename, error.filename2 = path, None
        raise
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.remove(temporary)


def _is_passed_through(path: str) -> bool:
    """Whether what is written there goes elsewhere, as into a pipe, a device or what this process has open."""
    if path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/"):
        return os.path.exists(path) and not os.path.isdir(path)
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def keep_apart(output: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Makes sure that a result does not take the place of a file it is made from.

    Raises:
        ConfigError: it would.
    """
    keep_all_apart([output], inputs)


def keep_all_apart(outputs: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]) -> None:
    """The same for several results, each file looked at once.

    Raises:
        ConfigError: one would take the place of an input.
    """
    read = {_identity(path) for path in inputs if os.path.isfile(path)}
    for output in outputs:
        if os.path.isfile(output) and _identity(output) in read:
            raise ConfigError(f"{output} is read and would be overwritten by the result: give another name for it")


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    """Device and number of a file: the same for all its names."""
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(path: str | os.PathLike, durable: bool = True) -> Iterator[IO[str]]:
    """Opens a UTF-8 text file for writing as :func:`replacing` does; line breaks are written as they are given.

    Bytes of file names that are not UTF-8 are written as they were (``surrogateescape``).
    """
    with replacing(path, durable) as temporary, open(
            temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file


def write_bytes(path: str | os.PathLike, data: bytes, durable: bool = True) -> None:
    """Writes a file as :func:`replacing` does."""
    with replacing(path, durable) as temporary, open(temporary, "wb") as file:
        file.write(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file as :func:`writing` does."""
    with writing(path) as file:
        file.write(text)


def write_lines(path: str | os.PathLike, lines: Iterable[str]) -> None:
    """Writes a text file of lines as :func:`writing` does."""
    with writing(path) as file:
        file.writelines(f"{line}\n" for line in lines)


def read_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a file that a data set needs.

    Raises:
        DataError: it cannot be read; the message says why.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def check_unpacked(path: str | os.PathLike, most: int = 1 << 29) -> None:
    """Refuses a zip archive, such as a file of numpy, that would fill the memory.

    Args:
        path: of the archive.
        most: bytes that its files may have together.

    Raises:
        ValueError: it holds more.
        zipfile.BadZipFile, OSError: it is no archive, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > most:
        raise ValueError(f"its content has {size} bytes, more than {most}")


def parse_json(text: str | bytes, as_object: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text says.

    Args:
        text: of JSON; bytes are UTF-8.
        as_object: what becomes of the keys and values of an object; None makes a dict.

    Raises:
        json.JSONDecodeError: it is no JSON, no UTF-8, or has lists in lists a thousand times or numbers of thousands of
            digits, for which Python has errors of other kinds.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("not UTF-8 text", "", 0) from error
    try:
        return json.loads(text, object_pairs_hook=as_object)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise json.JSONDecodeError("nested too deep, or a number of too many digits", text, 0) from error


def read_lines(path: str) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text file (a byte order mark is dropped) that are not blank, each with its number from 1.

    Raises:
        DataError: the file cannot be read or is not UTF-8; the message names the line.
    """
    data = read_bytes(path)
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is text in UTF-16; save it as UTF-8") from error
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {number}: not UTF-8 text (byte 0x{data[error.start]:02x})") from error
    # Not splitlines(): it also breaks at characters that may stand inside a word, such as U+2028.
    lines = enumerate((line.rstrip("\r") for line in content.split("\n")), 1)
    return [(number, line) for number, line in lines if line.strip()]


def printable(path: str | bytes) -> str:
    r"""A path as text that can be printed and written: bytes that are not UTF-8 become ``\xe4`` and the like."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_fault(path: str) -> str:
    """Why an annotated image path cannot be used: empty, absolute, or climbing out of the folder; '' if it can."""
    if not path:
        return "the path of the image is empty"
    if "\0" in path:
        return "the path of the image holds a zero byte"
    if path[0] in "/\\" or (len(path) > 2 and path[1:3] in (":\\", ":/")):
        return "the path of the image must be relative to the folder"
    if ".." in path.replace("\\", "/").split("/"):
        return "the path of the image climbs out of the folder"
    return ""


class FileLock:
    """A lock on a file: one process at a time holds it, and the system takes it back however that process ends.

    The file may hold a note of whoever has it.

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

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

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
