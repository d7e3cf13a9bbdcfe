"""A data set that is a folder of images with a list of their words; most benchmarks are."""
import os
import posixpath
import re
import unicodedata
from array import array
from collections.abc import Sequence

import numpy as np

from src.common.errors import DataError
from src.common.files import path_fault
from src.data.image_places import ImagePlace, find_place
from src.data.list_format import MLT, Entry, ImageList, read_list
from src.data.source import FileSource, check_finished, check_folder, companion

_PROBES = 32


class ImageListSource(FileSource):
    """A folder with ``annotation.txt``: one image a line, ``path<TAB>word`` or ``path,word`` as the model zoo wrote it.

    Other formats are recognised, see :func:`src.data.list_format.read_list`, and so are other places of the images
    than the folder of the annotation, see :func:`src.data.image_places.find_place`. ``labels.tsv`` will do as a name,
    too. White space around path and word is dropped, blank lines are passed over. Text is UTF-8. An image that is
    listed more than once counts once; one that is listed with different words is left out, as nobody knows which is
    right.

    Beside the annotation may lie its companions: ``lexicon_50.txt``, ``lexicon_1k.txt`` and ``lexicon_full.txt`` (see
    :class:`src.data.source.LexiconFile`) and ``protocol_N.txt`` (see ``src.data.protocol``). An annotation called
    ``annotation_X.txt`` has ``lexicon_50_X.txt`` and so on.

    A data set of this form is a subclass with its ``name`` and, where files differ, the names of its annotations and
    image folders.

    Args:
        path: the folder, or the annotation file itself when it has another name.
        split: 'train', 'val' or 'test', where one folder holds several lists.
        image_folder: what the paths of the images are relative to; empty: it is looked for.

    Raises:
        DataError: the folder or the annotation is missing, empty, or has a line that cannot be read.
    """

    takes: tuple[str, ...] = ("image_folder",)
    annotation = "annotation.txt"
    genuine: dict[str, tuple[str, ...]] = {}  # lists of the set's authors by split: these go before annotation.txt
    more_annotations: dict[str, tuple[str, ...]] = {}  # further names by split, in order of preference
    image_folders: tuple[str, ...] = ()  # where images lie that are not beside the annotation
    usual: tuple[str, ...] = ("\t", ",")  # separators of formats that are not worth a note
    hint = ""

    def __init__(self, path: str, split: str = "test", image_folder: str = ""):
        self.notes: list[str] = []
        self.annotation_file = annotation = self.find(path, split)
        self._image_folder = image_folder
        listed = self.read_annotation(annotation)
        rows: dict[str, int] = {}
        paths, offsets, text_index = bytearray(), array("q", [0]), array("i")
        absolute = ""
        adjusted = [entry._replace(image=image, word=text) for entry in listed.entries for image, text in [
            self.adjusted(entry.image, entry.word, listed.separator == "," and "\t" not in entry.line)]]
        entries, said = _each_image_once(adjusted, listed.unit)
        for number, line, image, text in entries:
            reason = path_fault(image)
            if reason.endswith("relative to the folder"):  # its end may be, below this one
                absolute = absolute or (f"{annotation}, {listed.unit} {number}: {reason}, or end in a path below it: "
                                        f"{line!r}")
                image = image.lstrip("/\\")
                reason = path_fault(image.partition(":")[2].lstrip("/\\") if ":" in image[:3] else image)
            if reason:
                raise DataError(f"{annotation}, {listed.unit} {number}: {reason}: {line!r}")
            paths += image.encode("utf-8", "surrogateescape")
            offsets.append(len(paths))
            text_index.append(rows.setdefault(text, len(rows)))
        if not text_index:
            raise DataError(f"{annotation} holds no words" + "".join(f"; {note}" for note in said))
        self._place_images(np.frombuffer(bytes(paths), np.uint8), np.array(offsets, np.int64), list(rows),
                           np.array(text_index, np.int32), absolute)
        first = listed.entries[0]
        if listed.separator not in self.usual:
            self.notes.insert(0, f"{annotation} is read as {listed.format}, such as {first.image!r}: {first.word!r}")
        self.notes += [f"{annotation}: {note}" for note in (*listed.notes, *said)]

    def _place_images(self, paths: np.ndarray, offsets: np.ndarray, texts: list[str], text_index: np.ndarray,
                      absolute: str) -> None:
        """Finds out what the paths are relative to; ``absolute`` is the complaint about the first absolute one."""
        starts, ends = offsets[:-1], offsets[1:]
        looked_at = np.unique(np.linspace(0, len(ends) - 1, _PROBES).astype(np.int64))
        folder = os.path.dirname(self.annotation_file) or "."
        place = find_place(folder, [paths[starts[i]:ends[i]].tobytes() for i in looked_at], self._image_folder,
                           self.image_folders, bool(absolute))
        if absolute and not place.found:
            raise DataError(absolute + "; none is found there: name the folder of the images with --image_folder")
        if place.slashes:
            paths = np.where(paths == ord("\\"), np.uint8(ord("/")), paths)
        self._say_place(place, folder)
        super().__init__(place.folder, paths, starts, ends, texts, text_index,
                         _behind(paths, starts, ends, place.left_out))

    def _say_place(self, place: ImagePlace, folder: str) -> None:
        usual = (folder, *(os.path.join(folder, name) for name in self.image_folders))
        assumed = [f"their paths are relative to {place.folder}"] if place.folder not in usual else []
        assumed += [f"the first {place.left_out} folders of each path do not count"] if place.left_out else []
        assumed += ["backslashes in them separate folders"] if place.slashes else []
        if assumed and place.found:
            self.notes.append(f"{self.annotation_file}: the images are found where {' and '.join(assumed)}")

    def check(self) -> None:
        """As for any files; also says how to name their folder."""
        try:
            super().check()
        except DataError as error:
            raise DataError(f"{error}; if they are elsewhere, name the folder that the paths are relative to with "
                            "--image_folder") from error

    def find(self, path: str, split: str) -> str:
        """The annotation file in what the user gave; DataError when there is none."""
        expected = f"a folder with {self.annotation}" + (f" ({self.hint})" if self.hint else "")
        path = check_folder(self.name, path, expected, allow_file=True)
        if not os.path.isdir(path):
            return path
        further = [*self.more_annotations.get(split, ()), *_all(self.genuine), *_all(self.more_annotations)]
        genuine = [_as_it_lies(path, name) for name in self.genuine.get(split, ())]
        names = [*genuine, self.annotation, *further, "labels.tsv"]
        check_finished(self.name, path)
        there = [name for name in dict.fromkeys(names) if os.path.isfile(os.path.join(path, name))]
        if not there:
            raise DataError(f"{self.name}: {path} holds no {self.annotation}; expected {expected}")
        if there[0] in genuine and self.annotation in there:
            self.notes.append(f"{path}: {there[0]} of the set's authors is read, not {self.annotation} beside it")
        return os.path.join(path, there[0])

    def read_annotation(self, annotation: str) -> ImageList:
        """The entries of the annotation.

        Raises:
            DataError: it cannot be read, or is a list with a column that is not part of the words.
        """
        listed = read_list(annotation)
        if listed.format == MLT:
            raise DataError(f"{annotation} has a column of scripts between path and word, as in "
                            f"{listed.entries[0].line!r}: read it as mlt")
        return listed

    def adjusted(self, image: str, word: str, by_comma: bool) -> tuple[str, str]:
        """Path and word without what only lists of this set have.

        Args:
            image: path of the image.
            word: its word.
            by_comma: nothing but a comma stood between them.
        """
        del by_comma
        return image, word

    def companion(self, name: str) -> str:
        """The path that ``name.txt`` has beside this annotation."""
        return companion(self.annotation_file, name)


def _each_image_once(entries: Sequence[Entry], unit: str) -> tuple[Sequence[Entry], list[str]]:
    """The entries without repetitions, and without images that are listed with different words; what was left out."""
    first: dict[str, int] = {}
    differs: dict[int, int] = {}  # place of the first entry of an image -> of the first one with another word
    again: dict[int, int] = {}  # place of an entry that says what an earlier one says -> of that one
    for place, entry in enumerate(entries):
        before = first.setdefault(_same_path(entry.image), place)
        if before != place:
            again[place] = before
            if unicodedata.normalize("NFC", entries[before].word) != unicodedata.normalize("NFC", entry.word):
                differs.setdefault(before, place)
    if not again:
        return entries, []
    notes, units = [], "entries" if unit == "entry" else f"{unit}s"
    if differs:
        one, other = (entries[place] for place in next(iter(differs.items())))
        count = len(differs) + sum(before in differs for before in again.values())
        notes.append(f"warning: {len(differs)} images are listed with different words and left out, {count} {units} in "
                     f"all, such as {one.image!r}: {one.word!r} in {unit} {one.number}, {other.word!r} in {unit} "
                     f"{other.number}")
    repeated = [place for place, before in again.items() if before not in differs]
    if repeated:
        one, other = entries[repeated[0]], entries[again[repeated[0]]]
        notes.append(f"{len(repeated)} {units} repeat an image with the same word and do not count again, such as "
                     f"{one.image!r} in {unit} {one.number}, first in {unit} {other.number}")
    return [entry for place, entry in enumerate(entries) if place not in again and place not in differs], notes


def _same_path(image: str) -> str:
    """The path in one spelling: ``./a.jpg`` and ``b//a.jpg`` are ``a.jpg`` and ``b/a.jpg``."""
    if "\\" in image or "./" in image or "//" in image:
        return posixpath.normpath(image.replace("\\", "/"))
    return image


def _as_it_lies(folder: str, name: str) -> str:
    """The name that a genuine file has after downloads, such as ``GT (1).txt``, ``GT.txt.txt`` or in other case."""
    place = os.path.join(folder, os.path.dirname(name))
    if os.path.isfile(os.path.join(folder, name)) or not os.path.isdir(place):
        return name
    wanted = _downloaded_name(os.path.basename(name))
    found = [other for other in sorted(os.listdir(place)) if _downloaded_name(other) == wanted]
    return os.path.join(os.path.dirname(name), found[0]) if found else name


def _downloaded_name(name: str) -> str:
    return re.sub(r"( \(\d+\))?(\.txt)+$", ".txt", name.lower())


def _all(names: dict[str, tuple[str, ...]]) -> Sequence[str]:
    return [name for of_split in names.values() for name in of_split]


def _behind(paths: np.ndarray, starts: np.ndarray, ends: np.ndarray, left_out: int) -> np.ndarray | None:
    """Where paths begin without their first folders; shorter ones stay as they are."""
    if not left_out:
        return None
    slashes = np.append(np.flatnonzero(paths == ord("/")), len(paths))
    behind = slashes[np.minimum(np.searchsorted(slashes, starts) + left_out - 1, len(slashes) - 1)] + 1
    return np.where(behind < ends, behind, starts)
