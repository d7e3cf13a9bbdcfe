"""What every data source is: a list of (image, word) pairs read one by one, and the form most of them share."""
import os
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from src.common.errors import DataError
from src.common.files import path_fault, printable, read_lines
from src.data.preprocess import read_bytes

LEXICONS = ("50", "1k", "full")
UNFINISHED = "unfinished.txt"  # lies in a folder while a conversion goes on, and after one that was cut off


class LexiconFile:
    """A lexicon beside a data set; split only when asked for: 3,000 lexicons of 1,000 words stay one block of text.

    Args:
        path: a word a line if shared; otherwise an image a line, its path and its words, separated by tabs.
        shared: one lexicon for all images.

    Attributes:
        shared: its words, or None.

    Raises:
        DataError: it cannot be read or holds nothing.
    """

    def __init__(self, path: str, shared: bool):
        lines = [line.strip() if shared else line for _, line in read_lines(path)]
        if not lines:
            raise DataError(f"{path} holds no words")
        self._path = path
        self.shared = lines if shared else None
        self._lines = {} if shared else dict(line.partition("\t")[::2] for line in lines)

    def words(self, reference: str) -> list[str]:
        """The lexicon of one image; DataError where there is none."""
        if self.shared is not None:
            return self.shared
        line = self._lines.get(reference, "")
        if not line:
            raise DataError(f"{self._path} has no lexicon for {reference}")
        return line.split("\t")


class WordSource:
    """Images with the word each one shows.

    Attributes:
        name: name of the data set, as in ``--train_dataset``.
        texts: table of the distinct words, as annotated (case kept).
        text_index: (N,) int32 or int64, the row of ``texts`` for each of the N samples.
        spelling_unknown: samples of which only the letters are known, not which of them are capitals.
        contradicted: samples whose file name tells of another word than the annotation.
        shows_progress: opening it can take a while, and its constructor has the argument ``show_progress``.
    """

    name: str
    spelling_unknown = contradicted = 0
    shows_progress = False
    texts: Sequence[str]
    text_index: np.ndarray

    def __len__(self) -> int:
        return len(self.text_index)

    def text(self, i: int) -> str:
        """The word of sample i, as annotated."""
        return self.texts[self.text_index[i]]

    def reference(self, i: int) -> str:
        """The path or key of sample i, as its annotation gives it."""
        raise NotImplementedError

    def location(self, i: int) -> str:
        """Where a person finds sample i: the full path of a file, or the key in a database."""
        return self.reference(i)

    def read(self, i: int) -> bytes:
        """The encoded image of sample i, as stored.

        Raises:
            DataError: this one image is missing or may not be read; the message names it.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Looks whether the images are there at all; called once before a data set is used.

        Raises:
            DataError: none of the images looked for exists.
        """

    def companion(self, name: str) -> str | None:
        """The path of a list that lies beside the annotation, such as ``lexicon_50``; None where sets have none."""
        del name
        return None

    def lexicon_names(self) -> tuple[str, ...]:
        """Which lexicons the set has: '50' and '1k' (one for each image), 'full' (one for all)."""
        return tuple(name for name in LEXICONS if os.path.isfile(self.companion(f"lexicon_{name}") or ""))

    def lexicon(self, name: str, i: int) -> list[str]:
        """The words among which sample i is to be read.

        Args:
            name: '50', '1k' or 'full'.
            i: number of the sample.

        Raises:
            DataError: the set has no such lexicon, or none for this image.
        """
        return self._lexicon_file(name).words(self.reference(i))

    def shared_lexicon(self, name: str) -> list[str] | None:
        """The lexicon that all images share ('full'), or None where each image has its own ('50', '1k').

        Raises:
            DataError: the set has no such lexicon.
        """
        return self._lexicon_file(name).shared

    def _lexicon_file(self, name: str) -> LexiconFile:
        if name not in self.__dict__.setdefault("_lexicons", {}):
            path = self.companion(f"lexicon_{name}")
            if path is None or not os.path.isfile(path):
                there = ", ".join(self.lexicon_names()) or "none"
                raise DataError(f"{self.name}: there is no {name!r} lexicon{f' ({path})' if path else ''}; "
                                f"lexicons there: {there}")
            self._lexicons[name] = LexiconFile(path, shared=name == "full")
        return self._lexicons[name]


class FileSource(WordSource):
    """A source whose images are files below one folder.

    The paths stay what they were in the annotation, one block of bytes with two offsets a sample: a Python string
    each would take 1 GB for the 7.2 million images of MJSynth.

    Args:
        folder: the folder the paths are relative to.
        paths: (P,) uint8, the bytes that hold the paths.
        starts: (N,) unsigned integers, first byte of each path.
        ends: (N,) unsigned integers, one past the last byte of each path.
        texts: the distinct words.
        text_index: (N,) row of ``texts`` for each image.
    """

    def __init__(self, folder: str, paths: np.ndarray, starts: np.ndarray, ends: np.ndarray, texts: Sequence[str],
                 text_index: np.ndarray):
        self.folder = folder
        self.texts = texts
        self.text_index = text_index
        self._folder_bytes = os.fsencode(folder)
        self._paths, self._starts, self._ends = paths, starts, ends

    def _relative(self, i: int) -> bytes:
        return self._paths[self._starts[i]:self._ends[i]].tobytes()

    def reference(self, i: int) -> str:
        """The path of image i relative to the folder, as annotated."""
        return printable(self._relative(i))

    def location(self, i: int) -> str:
        """The full path of image i."""
        return os.path.normpath(os.path.join(self.folder, self.reference(i)))

    def read(self, i: int) -> bytes:
        """The bytes of image file i; DataError when it is missing or may not be read."""
        return read_bytes(os.path.join(self._folder_bytes, self._relative(i)))

    def check(self) -> None:
        """Looks for up to 32 of the files, evenly spaced; DataError when not one of them exists."""
        looked_at = np.unique(np.linspace(0, len(self) - 1, 32).astype(np.int64))
        if not any(os.path.exists(os.path.join(self._folder_bytes, self._relative(i))) for i in looked_at):
            raise DataError(f"{self.name}: the images are not below {self.folder}: none of {len(looked_at)} looked for "
                            f"exists, for example {self.location(0)}")


class ImageListSource(FileSource):
    """A folder with ``annotation.txt``: one image a line, ``path<TAB>word`` or ``path,word`` as the model zoo wrote it.

    The word is everything after the first tab, or without a tab after the first comma, so that commas and spaces in
    words survive; white space around path and word is dropped, blank lines are passed over. Text is UTF-8, paths are
    relative to the folder of the annotation and stay inside it. ``labels.tsv`` will do as a name, too.

    Beside the annotation may lie its companions: ``lexicon_50.txt``, ``lexicon_1k.txt`` and ``lexicon_full.txt`` (see
    :class:`LexiconFile`) and ``protocol_N.txt`` (see ``src.data.protocol``). An annotation called
    ``annotation_X.txt`` has ``lexicon_50_X.txt`` and so on.

    A data set of this form is a subclass with its ``name`` and, where files differ, the names of its annotations and
    image folders and its own :meth:`parse_line`.

    Args:
        path: the folder, or the annotation file itself when it has another name.
        split: 'train', 'val' or 'test', where one folder holds several lists.

    Raises:
        DataError: the folder or the annotation is missing, empty, or has a line that cannot be read.
    """

    annotation = "annotation.txt"
    more_annotations: dict[str, tuple[str, ...]] = {}  # further names by split, in order of preference
    image_folders: tuple[str, ...] = ()  # where images lie that are not beside the annotation
    hint = ""

    def __init__(self, path: str, split: str = "test"):
        self.annotation_file = annotation = self.find(path, split)
        folder = os.path.dirname(annotation) or "."
        rows: dict[str, int] = {}
        paths, offsets, text_index = bytearray(), array("q", [0]), array("i")
        first = ""
        for number, line, image, text in self.entries(annotation):
            reason = path_fault(image)
            if reason:
                raise DataError(f"{annotation}, line {number}: {reason}: {line!r}")
            first = first or image
            paths += image.encode("utf-8", "surrogateescape")
            offsets.append(len(paths))
            text_index.append(rows.setdefault(text, len(rows)))
        if not text_index:
            raise DataError(f"{annotation} holds no words: expected lines of path, tab (or comma) and word")
        for inner in self.image_folders:
            if not os.path.exists(os.path.join(folder, first)) and os.path.exists(os.path.join(folder, inner, first)):
                folder = os.path.join(folder, inner)
        ends = np.array(offsets, np.int64)
        super().__init__(folder, np.frombuffer(bytes(paths), np.uint8), ends[:-1], ends[1:], list(rows),
                         np.array(text_index, np.int32))

    def find(self, path: str, split: str) -> str:
        """The annotation file in what the user gave; DataError when there is none."""
        expected = f"a folder with {self.annotation}" + (f" ({self.hint})" if self.hint else "")
        path = check_folder(self.name, path, expected, allow_file=True)
        if not os.path.isdir(path):
            return path
        further = self.more_annotations
        names = [self.annotation, *further.get(split, ()), *(n for names in further.values() for n in names),
                 "labels.tsv"]
        check_finished(self.name, path)
        for name in names:
            if os.path.isfile(os.path.join(path, name)):
                return os.path.join(path, name)
        raise DataError(f"{self.name}: {path} holds no {self.annotation}; expected {expected}")

    def entries(self, annotation: str) -> Iterable[tuple[int, str, str, str]]:
        """Number, line, path of the image and word of every line that is not blank."""
        for number, line in read_lines(annotation):
            yield number, line, *self.parse_line(line, annotation, number)

    def companion(self, name: str) -> str:
        """The path that ``name.txt`` has beside this annotation."""
        return companion(self.annotation_file, name)

    def parse_line(self, line: str, file: str, number: int) -> tuple[str, str]:
        """Splits one line into the path of the image and its word.

        Args:
            line: the line without its line break, not blank.
            file: the annotation, for messages.
            number: of the line, from 1.

        Raises:
            DataError: the line does not have the form.
        """
        image, separator, text = line.partition("\t" if "\t" in line else ",")
        if not separator or "\t" in text:
            raise DataError(f"{file}, line {number}: expected path, tab (or comma) and word: {line!r}")
        return image.strip(), text.strip()


def companion(annotation: str, name: str) -> str:
    """The path of a list that belongs to an annotation: ``lexicon_50_x.txt`` beside ``annotation_x.txt``."""
    folder, file = os.path.split(annotation)
    stem = os.path.splitext(file)[0]
    suffix = stem.removeprefix("annotation") if stem.startswith("annotation") else ""
    return os.path.join(folder, f"{name}{suffix}.txt")


def check_folder(name: str, path: str, expected: str, allow_file: bool = False) -> str:
    """Checks the path a user gave for a data set and returns it as a string.

    Args:
        name: of the data set, for the message.
        path: what the user gave.
        expected: what should be there, for the message.
        allow_file: a file will do as well as a folder.

    Raises:
        DataError: nothing given, nothing there, or a file where a folder is expected.
    """
    path = os.fspath(path) if path else ""
    if not path:
        raise DataError(f"{name}: no path given: expected {expected}")
    if not os.path.exists(path):
        raise DataError(f"{name}: {path} does not exist: expected {expected}")
    if not allow_file and not os.path.isdir(path):
        raise DataError(f"{name}: {path} is not a folder: expected {expected}")
    return path


def check_finished(name: str, folder: str) -> None:
    """DataError where a conversion into a folder was cut off, whatever else of earlier ones may lie there."""
    if os.path.exists(os.path.join(folder, UNFINISHED)):
        raise DataError(f"{name}: {folder} holds an unfinished conversion: run its converter again (see {UNFINISHED} "
                        "there)")
