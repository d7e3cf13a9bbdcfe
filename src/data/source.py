"""What every data source is: a list of (image, word) pairs read one by one, and the form most of them share."""
import os
from collections.abc import Sequence

import numpy as np

from src.common.errors import DataError
from src.common.files import printable, read_lines
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
        takes: which of ``show_progress``, ``image_folder`` and ``scripts`` its constructor has.
        notes: what was assumed about the files, for people.
    """

    name: str
    spelling_unknown = contradicted = 0
    takes: tuple[str, ...] = ()
    notes: Sequence[str] = ()
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
        lexicons = self.__dict__.setdefault("_lexicons", {})
        if name not in lexicons:
            path = self.companion(f"lexicon_{name}")
            if path is None or not os.path.isfile(path):
                there = ", ".join(self.lexicon_names()) or "none"
                raise DataError(f"{self.name}: there is no {name!r} lexicon{f' ({path})' if path else ''}; "
                                f"lexicons there: {there}")
            lexicons[name] = LexiconFile(path, shared=name == "full")
        return lexicons[name]


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
        read_starts: (N,) where the paths begin that lead to the images, if that is behind ``starts``.
    """

    def __init__(self, folder: str, paths: np.ndarray, starts: np.ndarray, ends: np.ndarray, texts: Sequence[str],
                 text_index: np.ndarray, read_starts: np.ndarray | None = None):
        self.folder = folder
        self.texts = texts
        self.text_index = text_index
        self._folder_bytes = os.fsencode(folder)
        self._paths, self._starts, self._ends = paths, starts, ends
        self._read_starts = starts if read_starts is None else read_starts

    def _relative(self, i: int) -> bytes:
        return self._paths[self._read_starts[i]:self._ends[i]].tobytes()

    def reference(self, i: int) -> str:
        """The path of image i, as annotated."""
        return printable(self._paths[self._starts[i]:self._ends[i]].tobytes())

    def location(self, i: int) -> str:
        """The full path of image i."""
        return os.path.normpath(os.path.join(self.folder, printable(self._relative(i))))

    def read(self, i: int) -> bytes:
        """The bytes of image file i; DataError when it is missing or may not be read."""
        return read_bytes(os.path.join(self._folder_bytes, self._relative(i)))

    def check(self) -> None:
        """Looks for up to 32 of the files, evenly spaced; DataError when not one of them exists."""
        looked_at = np.unique(np.linspace(0, len(self) - 1, 32).astype(np.int64))
        if not any(os.path.exists(os.path.join(self._folder_bytes, self._relative(i))) for i in looked_at):
            raise DataError(f"{self.name}: the images are not below {self.folder}: none of {len(looked_at)} looked for "
                            f"exists, for example {self.location(0)}")


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
