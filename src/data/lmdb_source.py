"""LMDB in the layout of deep-text-recognition-benchmark: image-%09d, label-%09d from 1, and num-samples."""
import os
import threading
from array import array
from bisect import bisect_right
from typing import Any

import numpy as np

from src.common.errors import DataError
from src.common.progress import Progress
from src.data.lmdb_structure import Leaves, LmdbFileError, check_structure
from src.data.source import LEXICONS, WordSource, check_folder

try:
    import lmdb
except ImportError:  # everything but LMDB folders can be read without it, as where an ONNX file is evaluated
    lmdb = None  # type: ignore[assignment]

NUM_SAMPLES = b"num-samples"
SHARED_LEXICON = b"lexicon-full"
_SHOW_PROGRESS_FROM = 1_000_000
_MOST_DIGITS = 18  # of num-samples


def image_key(number: int) -> bytes:
    """The key of an image, numbered from 1."""
    return b"image-%09d" % number


def label_key(number: int) -> bytes:
    """The key of a label, numbered from 1."""
    return b"label-%09d" % number


def lexicon_key(name: str, number: int) -> bytes:
    """The key of the lexicon ('50' or '1k') of an image, numbered from 1; '50' as other tools have it."""
    return (b"lexicon-%09d" if name == "50" else b"lexicon-1k-%09d") % number


def lexicon_words(text: bytes, where: str) -> list[str]:
    """The words of a lexicon: between tabs where there is one, otherwise between spaces.

    Args:
        text: as it is stored.
        where: folder and key, for the message.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        words = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte 0x{text[error.start]:02x}); write the LMDB anew with "
                        "lexicons in UTF-8") from error
    return [word for word in words.split("\t" if "\t" in words else None) if word]


class Database:
    """One LMDB folder, opened when it is first needed, once in every process, whoever asks.

    LMDB must not be opened twice in a process nor used after a fork: all objects of one folder share what is open, a
    forked process opens its own, and a pickled object opens it where it arrives.
    """

    _lock = threading.Lock()
    _open: dict[str, Any] = {}
    _leaves: dict[str, Leaves | None] = {}  # of what has been looked through; a forked process need not look again
    _fork_safe = False

    def __init__(self, folder: str):
        self.folder = folder
        self._key = os.path.realpath(folder)

    def __getstate__(self):
        return {"folder": self.folder}

    def __setstate__(self, state):
        self.__init__(state["folder"])

    def environment(self):
        """The open LMDB environment.

        Raises:
            DataError: it is no LMDB, or truncated.
        """
        found = self._open.get(self._key)
        if found is not None:
            return found
        with self._lock:
            if not Database._fork_safe and hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork)
                Database._fork_safe = True
            if self._key not in self._open:
                self._open[self._key] = self._new()
            return self._open[self._key]

    def _new(self):
        path = os.path.join(self.folder, "data.mdb")
        if lmdb is None:
            raise DataError(f"reading {path} needs the Python package lmdb: install it as requirements.txt says")
        try:
            if self._key not in self._leaves:
                self._leaves[self._key] = check_structure(path)
        except LmdbFileError as error:
            raise DataError(f"{path} is no LMDB file, or a broken one: {error}") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        try:
            # lock=False: readers only, also from a read-only disk; readahead=False: access is random.
            environment = lmdb.open(self.folder, readonly=True, create=False, lock=False, readahead=False,
                                    meminit=False)
        except lmdb.Error as error:
            raise DataError(f"{path} is no LMDB file, or a broken one: {error}") from error
        return environment

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        environment = self.environment()
        self.check_leaves(key)
        try:
            with environment.begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise DataError(f"{self.folder}: {key.decode()}: {error}") from error

    def check_leaves(self, key: bytes, last: bytes | None = None) -> None:
        """Looks at the pages that hold a key, or those from one key to another, before LMDB goes there.

        Raises:
            DataError: one is damaged.
        """
        leaves = self._leaves.get(self._key)
        if leaves is not None:
            try:
                leaves.check(key, last)
            except LmdbFileError as error:
                raise DataError(f"{self.folder}/data.mdb is a broken LMDB file: {error}") from error

    def close(self) -> None:
        """Closes it in this process, so that the file can be replaced."""
        with self._lock:
            self._leaves.pop(self._key, None)
            environment = self._open.pop(self._key, None)
            if environment is not None:
                environment.close()


def _after_fork() -> None:
    """Lets go, in a forked process, of what its parent opened; another thread may have held the lock."""
    Database._lock = threading.Lock()
    for environment in Database._open.values():
        environment.close()
    Database._open.clear()


class LmdbSource(WordSource):
    """One LMDB folder, or a tree with several such as ``MJ/MJ_train`` and ``ST``.

    Lexicons lie beside the labels: ``lexicon-%09d`` ('50') and ``lexicon-1k-%09d`` for each image, ``lexicon-full`` for
    all of them.

    Args:
        path: a folder with data.mdb, or one with such folders below it, taken in alphabetical order.
        split: unused, one LMDB is one set.
        show_progress: show how far the reading of millions of labels is.

    Attributes:
        parts: name (path below the given folder), first sample and the one past the last, of every LMDB.

    Raises:
        DataError: no LMDB there, one is unfinished or truncated, or its labels are not those num-samples says.
    """

    name = "lmdb"
    takes = ("show_progress",)

    def __init__(self, path: str, split: str = "train", show_progress: bool = True):
        del split
        path = check_folder(self.name, path, "a folder with data.mdb, or with such folders below it", allow_file=True)
        if os.path.isfile(path):
            if os.path.basename(path) != "data.mdb":
                raise DataError(f"lmdb: {path} is not a folder with data.mdb")
            path = os.path.dirname(path) or "."
        folders = find_databases(path)
        if not folders:
            raise DataError(f"lmdb: there is no data.mdb in {path} or below it")
        rows: dict[bytes, int] = {}
        index = array("i")
        self.parts: list[tuple[str, int, int]] = []
        self._databases: list[Database] = []
        for folder in folders:
            database, first = Database(folder), len(index)
            _read_labels(database, rows, index, show_progress)
            name = os.path.relpath(folder, path).replace(os.sep, "/")
            self.parts.append((os.path.basename(os.path.abspath(path)) if name == "." else name, first, len(index)))
            self._databases.append(database)
        if not index:
            raise DataError(f"lmdb: {path} holds no words: num-samples is 0")
        self._firsts = [first for _, first, _ in self.parts]
        self.text_index = np.frombuffer(index, np.int32)
        try:
            self.texts = [text.decode("utf-8") for text in rows]
        except UnicodeDecodeError as error:
            row = rows[error.object]
            place = self.location(int(np.flatnonzero(self.text_index == row)[0])).replace(" image-", " label-")
            raise DataError(f"{place} is not UTF-8 text: {error.object!r}") from error

    def _place(self, i: int) -> tuple[int, int]:
        """Which database sample i is in, and its number there, from 1."""
        i = int(i)
        part = bisect_right(self._firsts, i) - 1  # numpy's takes five times as long for one number
        return part, i - self._firsts[part] + 1

    def reference(self, i: int) -> str:
        """Name of the LMDB and key of image i."""
        part, number = self._place(i)
        return f"{self.parts[part][0]}:{image_key(number).decode()}"

    def location(self, i: int) -> str:
        """Folder of the LMDB and key of image i."""
        part, number = self._place(i)
        return f"{self._databases[part].folder} {image_key(number).decode()}"

    def read(self, i: int) -> bytes:
        """The bytes of image i; DataError when the key is missing."""
        part, number = self._place(i)
        data = self._databases[part].get(image_key(number))
        if data is None:
            raise DataError(f"{self.location(i)}: there is no such key")
        return data

    def check(self) -> None:
        """Looks for the first and the last image of every LMDB; DataError when not one of them is there."""
        looked_at = [i for _, first, end in self.parts if end > first for i in (first, end - 1)]
        for i in looked_at:
            part, number = self._place(i)
            if self._databases[part].get(image_key(number)) is not None:
                return
        raise DataError(f"lmdb: none of the images looked for is there, for example {self.location(0)}")

    def lexicon_names(self) -> tuple[str, ...]:
        """Those that every LMDB of the set has (looking at the first image); 'full' only where they have the same."""
        used = [database for database, (_, first, end) in zip(self._databases, self.parts, strict=True) if end > first]
        names = [name for name in LEXICONS[:2] if all(database.get(lexicon_key(name, 1)) for database in used)]
        shared = {database.get(SHARED_LEXICON) for database in used}
        return (*names, *([LEXICONS[2]] if len(shared) == 1 and all(shared) else []))

    def lexicon(self, name: str, i: int) -> list[str]:
        """The words among which sample i is to be read; DataError where there are none."""
        shared = self.shared_lexicon(name)
        if shared is not None:
            return shared
        part, number = self._place(i)
        key, database = lexicon_key(name, number), self._databases[part]
        text = database.get(key)
        if not text:
            raise DataError(f"{database.folder} has no {key.decode()}")
        return lexicon_words(text, f"{database.folder} {key.decode()}")

    def shared_lexicon(self, name: str) -> list[str] | None:
        """The 'full' lexicon; None for '50' and '1k'. DataError where the set does not have it."""
        known = self.__dict__.setdefault("_shared", {})
        if name not in known:
            if name not in self.lexicon_names():
                raise DataError(f"{self.name}: there is no {name!r} lexicon in {self._databases[0].folder}"
                                f"{' or in others of its tree' if len(self.parts) > 1 else ''}; lexicons there: "
                                f"{', '.join(self.lexicon_names()) or 'none'}")
            texts = ((database.get(SHARED_LEXICON), f"{database.folder} {SHARED_LEXICON.decode()}")
                     for database in self._databases) if name == LEXICONS[2] else ()
            known[name] = next((lexicon_words(text, where) for text, where in texts if text), None)
        return known[name]

    def close(self) -> None:
        """Closes the files in this process; reading opens them again."""
        for database in self._databases:
            database.close()


def find_databases(path: str) -> list[str]:
    """All folders with data.mdb, at ``path`` or below it, sorted; links are followed, each folder once."""
    found, seen = [], set()
    for folder, inner, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        if "data.mdb" in files:
            found.append(folder)
    return sorted(found)


def _read_labels(database: Database, rows: dict[bytes, int], index: array, show_progress: bool) -> None:
    """Reads all labels of an LMDB in the order of their keys, which is that of their pages.

    Args:
        database: to read.
        rows: label -> row of the table of words; grows.
        index: row of each sample; grows.
        show_progress: show it where there are many.
    """
    stored = database.get(NUM_SAMPLES)
    if stored is None:
        raise DataError(f"{database.folder} has no key num-samples: an unfinished LMDB (run its converter again), or "
                        "one of another layout")
    if not stored.isdigit() or len(stored) > _MOST_DIGITS:
        raise DataError(f"{database.folder}: num-samples is no number: {stored[:40]!r}")
    count = int(stored)
    enabled = show_progress and count >= _SHOW_PROGRESS_FROM
    database.check_leaves(label_key(1), label_key(count + 1))
    try:
        with database.environment().begin() as transaction, Progress(
                count if enabled else 0, "reading labels", "label", enabled=enabled) as progress:
            cursor = transaction.cursor()
            number = 0
            if count and cursor.set_range(label_key(1)):
                for key, text in cursor.iternext():
                    if number == count or key != b"label-%09d" % (number + 1):
                        break
                    number += 1
                    index.append(rows.setdefault(text, len(rows)))
                    if not number % 100_000:
                        progress.update(100_000)
            if number < count:
                raise DataError(f"{database.folder}: num-samples is {count}, but label-{number + 1:09d} is missing")
            if transaction.get(label_key(count + 1)) is not None:
                raise DataError(f"{database.folder}: num-samples is {count}, but there is label-{count + 1:09d} too")
    except lmdb.Error as error:
        raise DataError(f"{database.folder}: the labels cannot be read: {error}") from error
