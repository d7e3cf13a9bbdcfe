"""Writing LMDB in the layout of deep-text-recognition-benchmark, so that an interrupted run can go on."""
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import lmdb

from src.common.errors import DataError
from src.common.files import FileLock, parse_json
from src.data.lmdb_source import NUM_SAMPLES, SHARED_LEXICON, Database, image_key, label_key, lexicon_key

_STATE = b"conversion-state"  # there while the conversion is unfinished
_PROBLEM = b"conversion-problem-%09d"
_BATCH_SAMPLES = 4000
_BATCH_BYTES = 32 << 20
_SMALLEST_MAP = 16 << 20
_LOCK = "writing.lock"  # lmdb's own lock lets two programs take turns, which would mix their samples


class LmdbWriter:
    """Appends samples; what was committed stays, whatever interrupts the program, and the next run goes on from there.

    ``num-samples`` is written last, together with the removal of the notes about the unfinished conversion: a reader
    sees a whole data set or an unfinished one. The map grows when it is full.

    Args:
        folder: of the LMDB.
        origin: what is converted, in words; an unfinished LMDB goes on only with the same.
        expected_bytes: first size of the map.
        overwrite: begin anew where the folder holds an LMDB.

    Attributes:
        next: index of the first item that was not handled yet.
        count: samples written so far.
        problems: number of items left out so far.

    Raises:
        DataError: the folder holds a finished LMDB, or an unfinished one of something else, or another program writes
            into it at this moment.
    """

    def __init__(self, folder: str, origin: str, expected_bytes: int = 0, overwrite: bool = False):
        self.folder, self._origin = folder, origin
        self.next = self.count = self.problems = 0
        self._pending: list[tuple[bytes, bytes]] = []
        self._pending_bytes = 0
        self._handled = 0
        os.makedirs(folder, exist_ok=True)
        self._lock = FileLock(os.path.join(folder, _LOCK))
        if not self._lock.acquire(wait=False):
            raise DataError(f"{folder}: another program is writing this LMDB; wait for it, or give another "
                            "-o/--output_dir")
        self._path, self._environment = os.path.join(folder, "data.mdb"), None
        try:
            Database(folder).close()  # where it was read in this process
            if overwrite:
                _remove_lmdb(folder)
            present = os.path.exists(self._path) and os.path.getsize(self._path) > 0
            size = max(expected_bytes, _SMALLEST_MAP, os.path.getsize(self._path) * 5 // 4 if present else 0)
            self._environment = lmdb.open(folder, map_size=size - size % 4096, meminit=False)
            with self._environment.begin() as transaction:
                finished, state = transaction.get(NUM_SAMPLES), transaction.get(_STATE)
            self._resume(present, finished, state)
        except lmdb.Error as error:
            self.close()
            raise DataError(f"{self._path} cannot be opened: {error}") from error
        except BaseException:
            self.close()
            raise

    def _resume(self, present: bool, finished: bytes | None, state: bytes | None) -> None:
        if finished is not None:
            raise DataError(f"{self.folder} already holds a finished LMDB of {finished.decode()} samples: give another "
                            "-o/--output_dir, or --overwrite")
        if state is None:
            if present and self._environment.stat()["entries"]:
                raise DataError(f"{self.folder} holds an LMDB that this program did not begin: give another "
                                "-o/--output_dir, or --overwrite")
            return
        state = _entry(self.folder, state, dict)
        if "origin" not in state:
            raise _damaged(self.folder)
        if state["origin"] != self._origin:
            raise DataError(f"{self.folder} holds the unfinished conversion of {state['origin']}, not of "
                            f"{self._origin}: give another -o/--output_dir, or --overwrite")
        numbers = [state.get(name) for name in ("next", "count", "problems")]
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise _damaged(self.folder)
        self.next, self.count, self.problems = numbers
        self._handled = self.next

    def add(self, item: int, data: bytes, text: str, lexicons: Mapping[str, Sequence[str]] | None = None,
            problems: Sequence[tuple[str, str]] = ()) -> None:
        """Adds a sample.

        Args:
            item: its number in the origin.
            data: the bytes of its image.
            text: its word.
            lexicons: its own ones, '50' and '1k'.
            problems: what else of it cannot be written, and why.
        """
        self.count += 1
        own = [(lexicon_key(name, self.count), _lexicon_text(words)) for name, words in (lexicons or {}).items()]
        self._put(item, [(image_key(self.count), data), (label_key(self.count), text.encode("utf-8")), *own,
                         *self._notes(problems)])

    def leave_out(self, item: int, reference: str, reason: str) -> None:
        """Notes an item that cannot be written."""
        self._put(item, self._notes([(reference, reason)]))

    def _notes(self, problems: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
        first, self.problems = self.problems + 1, self.problems + len(problems)
        return [(_PROBLEM % number, json.dumps(problem).encode()) for number, problem in enumerate(problems, first)]

    def _put(self, item: int, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pending += pairs
        self._pending_bytes += sum(len(value) for _, value in pairs)
        self._handled = item + 1
        if len(self._pending) >= 2 * _BATCH_SAMPLES or self._pending_bytes >= _BATCH_BYTES:
            self.commit()

    def commit(self) -> None:
        """Writes what is pending.

        Raises:
            DataError: it cannot be written, for example because the disk is full; what was committed before stays.
        """
        state = {"origin": self._origin, "next": self._handled, "count": self.count, "problems": self.problems}
        self._write([*self._pending, (_STATE, json.dumps(state).encode())])
        self._pending.clear()
        self._pending_bytes = 0
        self.next = self._handled

    def finish(self, shared_lexicon: Sequence[str] = ()) -> list[tuple[str, str]]:
        """Writes num-samples (and the lexicon that all images share) and closes; returns what was left out, and why."""
        self.commit()
        with self._environment.begin() as transaction:
            notes = [_entry(self.folder, transaction.get(_PROBLEM % n), list) for n in range(1, self.problems + 1)]
        problems = [(str(note[0]), str(note[-1])) for note in notes if note]
        shared = [(SHARED_LEXICON, _lexicon_text(shared_lexicon))] if shared_lexicon else []
        self._write([(NUM_SAMPLES, str(self.count).encode()), *shared],
                    [_STATE, *(_PROBLEM % n for n in range(1, self.problems + 1))])
        self.close()
        return problems

    def close(self) -> None:
        """Closes the file and lets others write; what was not committed is lost."""
        if self._environment is not None:
            self._environment.close()
        self._lock.release(remove=True)

    def _write(self, pairs: list[tuple[bytes, bytes]], removed: Sequence[bytes] = ()) -> None:
        pairs.sort()  # neighbours in the file are written together, which halves the time
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key in removed:
                        transaction.delete(key)
                    with transaction.cursor() as cursor:
                        cursor.putmulti(pairs)
                return
            except lmdb.MapFullError:
                size = self._environment.info()["map_size"]
                self._environment.set_mapsize(size + max(size // 2, 2 * _BATCH_BYTES))
            except lmdb.Error as error:
                free = shutil.disk_usage(self.folder).free >> 20
                raise DataError(f"{self._path} cannot be written: {error} ({free} MiB free on the disk); the first "
                                f"{self.next} items are safe, run again to go on") from error


def _entry(folder: str, text: bytes | None, kind: type) -> Any:
    """What an entry of this program says, in JSON; DataError where it is missing or of another kind."""
    try:
        found = parse_json(text or b"")
    except json.JSONDecodeError as error:
        raise _damaged(folder) from error
    if not isinstance(found, kind):
        raise _damaged(folder)
    return found


def _damaged(folder: str) -> DataError:
    return DataError(f"{folder} holds an unfinished conversion whose notes are damaged: begin anew with --overwrite")


def _lexicon_text(words: Sequence[str]) -> bytes:
    """Words as one value: spaces between them, or tabs (one at least) where a word holds a space itself."""
    text = " ".join(words)
    return (text if not any(" " in word for word in words) else "\t".join([*words, ""])).encode("utf-8")


def _remove_lmdb(folder: str) -> None:
    """Removes the files of an LMDB, where there are any."""
    for name in ("data.mdb", "lock.mdb"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
