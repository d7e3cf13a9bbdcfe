"""Finds the benchmark sets under a folder: converted ones, LMDB folders, and genuine ones, which it has converted."""
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from src.common.errors import DataError
from src.convert.genuine import GENUINE, converted
from src.data.source import UNFINISHED
from src.dataset import SOURCES
from src.report.benchmarks import BENCHMARKS

_DEPTH = 5
_LISTS = ("annotation.txt", "labels.tsv")
# What the name of a folder must begin with, letters and digits only; the longest that fits counts.
_NAMES = {"iiit5k": "iiit5k", "iiit": "iiit5k", "svt": "svt", "svtp": "svtp", "svtperspective": "svtp", "ic03": "ic03",
          "icdar03": "ic03", "icdar2003": "ic03", "ic13": "ic13", "icdar13": "ic13", "icdar2013": "ic13",
          "ic15": "ic15", "icdar15": "ic15", "icdar2015": "ic15", "cute": "cute80", "cute80": "cute80"}
# Genuine files that are read as they come.
_READY = {"Challenge2_Test_Task3_GT.txt": "ic13", "Challenge4_Test_Task3_GT.txt": "ic15"}


@dataclass
class FoundSet:
    """A benchmark set that lies under the folder.

    Attributes:
        dataset: name for ``create_dataset``.
        place: where it was found.
        path: what ``create_dataset`` reads; the folder of the conversion where it was converted.
        keys: the benchmarks it can give.
        genuine: the genuine file to convert it from, '' where none is needed.
        notes: what a reader of the report should know.
    """

    dataset: str
    place: str
    path: str
    keys: tuple[str, ...]
    genuine: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class Discovery:
    """All that was found.

    Attributes:
        sets: usable sets, in the order of the tables.
        skipped: folder -> why it is not used.
        unreadable: benchmark -> why its set, which is there, cannot be read.
    """

    sets: list[FoundSet] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def find_sets(root: str, leave_out: str = "") -> Discovery:
    """Looks for benchmark sets, at most five folders deep.

    A folder is known by its genuine files, or, with an annotation of its own or an LMDB, by its name (or that of the
    folder around it), such as ``iiit5k``, ``IC13_857`` or ``svt/test``. Folders with 'train' in their name are not
    used: nothing but the test split is a benchmark.

    Args:
        root: the folder.
        leave_out: a folder not to look into.

    Raises:
        DataError: the folder does not exist.
    """
    if not root:
        raise DataError("no folder given: add --data_root=DIR, the folder with the benchmark sets")
    if not os.path.isdir(root):
        raise DataError(f"data_root {root} " + ("is not a folder" if os.path.exists(root) else "does not exist"))
    found = Discovery()
    for folder, files in _folders(root, os.path.realpath(leave_out) if leave_out else "", found.skipped):
        entry = _classify(root, folder, files)
        if isinstance(entry, FoundSet):
            found.sets.append(entry)
        elif entry:
            found.skipped[folder] = entry
    order = [benchmark.key for benchmark in BENCHMARKS]
    found.sets.sort(key=lambda one: order.index(one.keys[0]))
    return found


def _folders(root: str, leave_out: str, skipped: dict[str, str]) -> Iterator[tuple[str, set[str]]]:
    """Folders and the files in them, sorted; not below one that is a data set, nor twice through links.

    Folders that cannot be read go into ``skipped``.
    """
    seen: set[str] = set()
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        real = os.path.realpath(folder)
        if real in seen or real == leave_out:
            continue
        seen.add(real)
        try:
            files, inside = _contents(folder)
        except OSError as error:
            skipped[folder] = f"cannot be read: {error.strerror}"
            continue
        yield folder, files
        if depth < _DEPTH and not files.intersection(("data.mdb", *_LISTS, *GENUINE, *_READY)):
            pending += [(path, depth + 1) for path in sorted(inside, reverse=True)]


def _contents(folder: str) -> tuple[set[str], list[str]]:
    """Names of the files in a folder, and paths of the folders in it that are not hidden; OSError if unreadable."""
    files, folders = set(), []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # a link into a folder that may not be entered
                if entry.is_file():
                    files.add(entry.name)
                elif entry.is_dir() and not entry.name.startswith("."):
                    folders.append(entry.path)
    return files, folders


def _classify(root: str, folder: str, files: set[str]) -> FoundSet | str:
    """The set in a folder, or why there is none ('' where it does not look like one)."""
    marks = files.intersection(("data.mdb", *_LISTS, *GENUINE, *_READY))
    if not marks:
        return ""
    if UNFINISHED in files:
        return "an unfinished conversion"
    inside = os.path.relpath(folder, root)
    names = [os.path.basename(os.path.abspath(root))] + ([] if inside == "." else inside.split(os.sep))
    if "train" in names[-1].lower():
        return "training data, by its name"
    if "data.mdb" in marks:
        return _lmdb(folder, names)
    ready = next((name for name in _READY if name in marks), None)
    listed = next((name for name in _LISTS if name in marks), None)
    if ready:  # it goes before somebody's annotation.txt
        return _found(_READY[ready], folder)
    if listed:
        dataset = _by_name(names)
        if dataset is None:
            return f"holds {listed}, but its name is not that of a benchmark set"
        return _found(dataset, folder)
    genuine = next(name for name in GENUINE if name in marks)
    return _found(GENUINE[genuine], folder, genuine)


def _found(dataset: str, folder: str, genuine: str = "") -> FoundSet | str:
    if dataset not in SOURCES:
        return f"the data set {dataset} cannot be read by this version"
    keys = tuple(benchmark.key for benchmark in BENCHMARKS if benchmark.dataset == dataset)
    return FoundSet(dataset, folder, folder, keys, genuine)


def _lmdb(folder: str, names: list[str]) -> FoundSet | str:
    """An LMDB folder holds one benchmark, which its name tells: IIIt5k_3000, SVT, IC03_860, ..."""
    if "lmdb" not in SOURCES:
        return "LMDB folders cannot be read by this version"
    name = _plain(names[-1])
    name = {"iiit5k3000": "iiit5k", "cute": "cute80"}.get(name, name)
    key = next((benchmark.key for benchmark in BENCHMARKS if _plain(benchmark.key) == name), None)
    return FoundSet("lmdb", folder, folder, (key,)) if key else "an LMDB, but its name is not that of a benchmark set"


def _plain(name: str) -> str:
    return re.sub("[^0-9a-z]", "", name.lower())


def _by_name(names: list[str]) -> str | None:
    """The data set that the innermost telling folder is named after."""
    for name in reversed(names):
        fits = [key for key in _NAMES if _plain(name).startswith(key)]
        if fits:
            return _NAMES[max(fits, key=len)]
    return None


def convert(found: FoundSet, cache: str) -> None:
    """Converts a genuine set as :func:`src.convert.genuine.converted` does, and sets its ``path``.

    Args:
        found: the set; one that needs no conversion stays as it is.
        cache: where conversions go; nothing is written where the set lies.

    Raises:
        DataError: it cannot be converted.
    """
    if not found.genuine:
        return
    found.path, notes = converted(os.path.join(found.place, found.genuine), cache)
    found.notes += notes
