"""MJSynth ('synth'): annotation_train/val/test.txt, lines `./3000/7/182_slinking_71711.jpg 71711`, and lexicon.txt."""
import glob
import os

import numpy as np

from src.common.errors import ConfigError, DataError
from src.common.files import path_fault
from src.common.progress import Progress
from src.data.source import FileSource, check_finished, check_folder
from src.data.spelling import Speller

SPLITS = ("train", "val", "test")
_BLOCK = 1 << 24  # bytes of annotation parsed at a time
_SHOW_PROGRESS_FROM = 32 << 20  # bytes, about a million lines
_INNER = os.path.join("mnt", "ramdisk", "max", "90kDICT32px")


class SynthSource(FileSource):
    """The MJSynth data set as its authors packed it, and sets of that layout such as `generate_synth.py` draws.

    The number at the end of an annotation line is the row of lexicon.txt, from 0, with the (lower-case) word; the name
    of the image has it as drawn (see :mod:`src.data.spelling`).

    Args:
        path: folder with annotation_train.txt, annotation_val.txt, annotation_test.txt (the one asked for is enough)
            and lexicon.txt; images lie below it.
        split: 'train', 'val' or 'test'.
        show_progress: show how far the reading of a large annotation is.

    Raises:
        DataError: something of this is missing or empty, or a line cannot be read; the message names file and line.
    """

    name = "synth"
    takes = ("show_progress",)

    def __init__(self, path: str, split: str, show_progress: bool = True):
        if split not in SPLITS:
            raise ConfigError(f"synth: unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        annotation_name = f"annotation_{split}.txt"
        folder = check_folder(self.name, path, f"a folder with {annotation_name} and lexicon.txt (MJSynth layout)")
        check_finished(self.name, folder)
        annotation = os.path.join(folder, annotation_name)
        lexicon = os.path.join(folder, "lexicon.txt")
        for file in (annotation, lexicon):
            if not os.path.isfile(file):
                raise DataError(_missing(folder, os.path.basename(file)))
        speller = Speller(_read_lexicon(lexicon))
        data = _read_file(annotation)
        with Progress(data.size >> 20, f"indexing {annotation_name}", "MiB",
                      enabled=show_progress and data.size >= _SHOW_PROGRESS_FROM) as progress:
            starts, ends, keys = _parse(data, annotation, speller, progress)
            progress.update(0, f"{len(keys)} images")
        super().__init__(folder, data, starts, ends, *speller.texts(keys))
        self.spelling_unknown, self.contradicted = speller.unknown, speller.contradicted
        self.annotation_file = annotation


def _missing(folder: str, wanted: str) -> str:
    """One sentence for a file that is not there, with what is."""
    there = sorted(os.path.basename(p) for p in glob.glob(os.path.join(glob.escape(folder), "*.txt")))
    message = f"synth: {folder} holds no {wanted}; text files there: {', '.join(there[:8]) or 'none'}"
    if os.path.isdir(os.path.join(folder, _INNER)):
        message += f"; did you mean {os.path.join(folder, _INNER)}?"
    return message


def _read_file(path: str) -> np.ndarray:
    """The bytes of a file; (P,) uint8."""
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _read_lexicon(path: str) -> list[str]:
    """The rows of lexicon.txt; blank ones stay, their numbers count."""
    try:
        content = _read_file(path).tobytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text") from error
    rows = [row.strip() for row in content.split("\n")]
    if not rows[-1]:
        rows.pop()
    if not any(rows):
        raise DataError(f"{path} holds no words: expected one a line")
    return rows


def _is_blank(data: np.ndarray) -> np.ndarray:
    """Marks spaces, tabs and carriage returns."""
    return (data == 32) | (data == 9) | (data == 13)


def _trim(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Moves ``ends`` back, in place, over blanks that end a piece of text."""
    moving = np.arange(len(ends))
    while moving.size:
        moving = moving[ends[moving] > starts[moving]]
        moving = moving[_is_blank(data[ends[moving] - 1])]
        ends[moving] -= 1


def _parse(data: np.ndarray, file: str, speller: Speller,
           progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds path and number in every line of an annotation.

    Array operations only (a Python loop takes minutes for 7.2 million lines), a block of lines at a time, so that
    the numbers made on the way do not add up.

    Args:
        data: (P,) uint8, the annotation.
        file: its path, for messages.
        speller: knows the lexicon.
        progress: told the MiB that are done.

    Returns:
        Start and end of each path in ``data``, and the speller's key of its word, each (N,); blank lines left out.
    """
    # 4 bytes an offset where they suffice: 7.2 million images, two offsets each.
    kind = np.uint32 if data.size < 2**32 else np.uint64
    parts = []
    position = 3 if data[:3].tobytes() == b"\xef\xbb\xbf" else 0
    line_number = 1
    while position < data.size:
        stop = data.size
        if position + _BLOCK < data.size:
            breaks = np.flatnonzero(data[position:position + _BLOCK] == 10)
            stop = position + int(breaks[-1]) + 1 if breaks.size else stop
        block = data[position:stop]
        starts, ends, rows, lines = _parse_block(block, file, line_number, len(speller))
        keys = speller.block(block, starts, ends, rows)
        parts.append(((starts + position).astype(kind), (ends + position).astype(kind), keys))
        progress.update((stop >> 20) - (position >> 20))
        position, line_number = stop, line_number + lines
    if not any(len(keys) for *_, keys in parts):
        raise DataError(f"{file} holds no words: expected lines of image path and row of lexicon.txt")
    starts, ends, keys = (np.concatenate(column) for column in zip(*parts, strict=True))
    return starts, ends, keys


def _parse_block(data: np.ndarray, file: str, line_number: int,
                 lexicon_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Does :func:`_parse` for whole lines, the first of which is ``line_number``; also returns how many lines."""
    line_ends = np.flatnonzero(data == 10)
    if data[-1] != 10:
        line_ends = np.append(line_ends, data.size)
    lines = len(line_ends)
    starts = np.append(0, line_ends[:-1] + 1)
    ends = line_ends.copy()
    _trim(data, starts, ends)
    numbers = np.flatnonzero(ends > starts)
    starts, ends = starts[numbers], ends[numbers]
    if not numbers.size:
        return starts, ends, starts, lines

    blanks = np.append(-1, np.flatnonzero(_is_blank(data)))
    separators = blanks[np.searchsorted(blanks, ends) - 1]
    path_ends = np.maximum(separators, starts)  # without a separator the path is empty, and so a fault
    _trim(data, starts, path_ends)

    digits = np.where(separators < starts, 0, ends - separators - 1)
    not_a_number = (digits < 1) | (digits > 9)
    rows = np.zeros(len(starts), np.int64)
    for k in range(min(int(digits.max()), 9)):
        active = np.flatnonzero(digits > k)
        digit = data[separators[active] + 1 + k].astype(np.int64) - 48
        not_a_number[active] |= (digit < 0) | (digit > 9)
        rows[active] = rows[active] * 10 + digit
    outside = not_a_number | (rows >= lexicon_rows)

    # Paths are looked at one by one only where an array operation sees something odd in them.
    odd = (path_ends <= starts) | (data[starts] == 47) | (data[starts] == 92)
    for hits in (np.flatnonzero((data[:-1] == 46) & (data[1:] == 46)), np.flatnonzero((data == 0) | (data == 58))):
        odd[np.searchsorted(starts, hits, "right") - 1] = True
    paths = {i: path_fault(data[starts[i]:path_ends[i]].tobytes().decode("utf-8", "surrogateescape"))
             for i in np.flatnonzero(odd)}

    bad = outside.copy()
    bad[[i for i, fault in paths.items() if fault]] = True
    if bad.any():
        first = int(bad.argmax())
        line = data[starts[first]:ends[first]].tobytes().decode("utf-8", "backslashreplace")
        if not_a_number[first]:
            reason = "expected image path, space and row of lexicon.txt"
        elif paths.get(first):
            reason = paths[first]
        else:
            reason = f"lexicon.txt has rows 0 to {lexicon_rows - 1}, not {rows[first]}"
        raise DataError(f"{file}, line {line_number + numbers[first]}: {reason}: {line!r}")
    return starts, path_ends, rows, lines
