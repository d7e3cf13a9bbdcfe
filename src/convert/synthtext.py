"""SynthText: its words cut out of their scenes, as gt.mat says, into a folder or an LMDB to train on."""
import contextlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.io import loadmat

from src.common.errors import ConfigError, DataError
from src.common.files import path_fault, write_bytes, write_lines
from src.common.progress import Progress
from src.common.system import available_cores
from src.convert.conversion import ConversionReport, unfinished
from src.convert.lmdb_writer import LmdbWriter
from src.convert.mat_file import sound_variables
from src.convert.tagset import clamp, crop_name, encode
from src.data.preprocess import decode_image, read_bytes

# place of the word in the file, its name for people, path of the crop, word, encoded crop, why there is none, clamped
Crop = tuple[int, str, str, str, bytes, str, bool]


class _ShownFile(io.RawIOBase):
    """A file that shows how far it has been read."""

    def __init__(self, path: str):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._progress = Progress(os.path.getsize(path) >> 20, f"reading {os.path.basename(path)}", "MiB")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._show()
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to another place; what is passed over counts as read."""
        place = self._file.seek(offset, whence)
        self._show()
        return place

    def close(self) -> None:
        if not self.closed:
            self._progress.close()
            self._file.close()
        super().close()

    def _show(self) -> None:
        self._progress.update(max((self._file.tell() >> 20) - self._progress.done, 0))


class SynthTextFile:
    """gt.mat: the scenes with their words and boxes.

    Args:
        path: of the file.

    Attributes:
        names: of the scenes.
        words: of each scene.
        first: number of the first word of each scene, over all scenes.
        total: words of all scenes.

    Raises:
        DataError: it is not there, cannot be read, or is something else.
    """

    def __init__(self, path: str):
        if not os.path.isfile(path):
            raise DataError(f"{path}: no such file; expected gt.mat of SynthText")
        try:
            with io.BufferedReader(_ShownFile(path), 1 << 20) as shown:
                # Not charBB, which is most of the file.
                data = loadmat(shown, variable_names=sound_variables(path, ("imnames", "wordBB", "txt")))
        except Exception as error:  # scipy raises whatever the broken bytes lead it to
            raise DataError(f"{path} cannot be read as a MATLAB 5 file, or is truncated: {error}") from error
        missing = [name for name in ("imnames", "wordBB", "txt") if name not in data]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}: expected gt.mat of SynthText")
        names, self._boxes, texts = (data[name].ravel() for name in ("imnames", "wordBB", "txt"))
        if not len(names) == len(self._boxes) == len(texts) or not len(names):
            raise DataError(f"{path}: imnames, wordBB and txt have {len(names)}, {len(self._boxes)} and {len(texts)} "
                            "entries")
        self.names = [str(np.ravel(name)[0]).strip() if np.size(name) else "" for name in names]
        self.words = [" ".join(map(str, np.ravel(text))).split() for text in texts]
        ends = np.cumsum([len(words) for words in self.words])
        self.first, self.total = ends - [len(words) for words in self.words], int(ends[-1])

    def boxes(self, scene: int) -> np.ndarray:
        """Corners of the words of a scene, (W, 4, 2) x and y; DataError where they are not as many as the words."""
        boxes = np.asarray(self._boxes[scene])
        if boxes.dtype.kind not in "fiub":
            raise DataError("its boxes are no numbers")
        boxes = boxes.astype(np.float64)
        boxes = boxes[:, :, None] if boxes.ndim == 2 else boxes
        count = len(self.words[scene])
        if boxes.shape != (2, 4, count):
            raise DataError(f"{count} words, but boxes of shape {boxes.shape}")
        return boxes.transpose(2, 1, 0)


def scene_crops(file: SynthTextFile, scene: int, image_dir: str, kind: str, seen_before: bool) -> list[Crop]:
    """Cuts out all words of a scene; runs in a thread."""
    name, words, first = file.names[scene], file.words[scene], int(file.first[scene])
    fault = path_fault(name) or ("the scene is there twice" if seen_before else "")
    try:
        if fault:
            raise DataError(fault)
        boxes = file.boxes(scene)
        picture = decode_image(read_bytes(os.path.join(image_dir, name)))
    except DataError as error:
        return [(first + i, f"{name} word {i} {word!r}", "", word, b"", str(error), False)
                for i, word in enumerate(words)]
    crops, taken, stem = [], set(), os.path.splitext(name)[0]
    for i, (word, corners) in enumerate(zip(words, boxes, strict=True)):
        (x, y), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        path, data, reason, clamped = "", b"", "", False
        try:
            box = clamp(x, y, right - x, bottom - y, *picture.shape[:2])
            clamped = bool(x < 0 or y < 0 or right > picture.shape[1] or bottom > picture.shape[0])
            path = crop_name(stem, i, word, kind, taken)
            data = encode(picture[box[1]:box[3], box[0]:box[2]], kind)
        except DataError as error:
            reason = str(error)
        crops.append((first + i, f"{name} word {i} {word!r}", path, word, data, reason, clamped))
    return crops


def all_crops(file: SynthTextFile, image_dir: str, kind: str, start: int, workers: int) -> Iterator[Crop]:
    """The crops of all words from number ``start`` on, in the order of the file, threads ahead."""
    seen: dict[str, int] = {}
    for scene, name in enumerate(file.names):
        seen.setdefault(name, scene)
    scenes = range(max(int(np.searchsorted(file.first, start, "right")) - 1, 0), len(file.names))
    pool, pending = ThreadPoolExecutor(workers, thread_name_prefix="crnn-synthtext"), deque()
    try:
        for scene in scenes:
            pending.append(pool.submit(scene_crops, file, scene, image_dir, kind, seen[file.names[scene]] != scene))
            if len(pending) > 4 * workers:
                yield from (crop for crop in pending.popleft().result() if crop[0] >= start)
        while pending:
            yield from (crop for crop in pending.popleft().result() if crop[0] >= start)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class FolderWriter:
    """Crops as files, with annotation_train.txt and lexicon.txt written at the end."""

    def __init__(self, folder: str):
        self.folder, self.next, self.count = folder, 0, 0
        self._annotation, self._rows = bytearray(), {}
        self._problems: list[tuple[str, str]] = []

    def add(self, item: int, path: str, data: bytes, word: str) -> None:
        """Writes one crop."""
        del item
        write_bytes(os.path.join(self.folder, path), data, durable=False)
        self._annotation += f"./{path} {self._rows.setdefault(word, len(self._rows))}\n".encode()
        self.count += 1

    def leave_out(self, item: int, reference: str, reason: str) -> None:
        """Notes a word that cannot be written."""
        del item
        self._problems.append((reference, reason))

    def finish(self) -> list[tuple[str, str]]:
        """Writes the lists; returns what was left out."""
        write_lines(os.path.join(self.folder, "lexicon.txt"), self._rows)
        write_bytes(os.path.join(self.folder, "annotation_train.txt"), bytes(self._annotation))
        return self._problems

    def close(self) -> None:
        """Nothing is open."""


def write_words(file: SynthTextFile, image_dir: str, kind: str, writer: LmdbWriter | FolderWriter, add: Callable,
                strict: bool, workers: int) -> tuple[list[tuple[str, str]], int]:
    """Writes all words from where the writer stands.

    Returns:
        What was left out with the reasons, and how many boxes reached out of their picture.
    """
    outside = 0
    with Progress(file.total, "cutting words", "word") as progress:
        progress.skip(writer.next)
        try:
            for item, name, path, word, data, reason, clamped in all_crops(file, image_dir, kind, writer.next, workers):
                if reason and strict:
                    raise DataError(f"{name}: {reason}")
                if reason:
                    writer.leave_out(item, name, reason)
                else:
                    add(item, path, data, word)
                outside += clamped
                progress.update()
            return writer.finish(), outside
        except BaseException:
            writer.close()
            raise


@dataclass(frozen=True)
class SynthTextOptions:
    """What to convert and how.

    Attributes:
        mat_file: gt.mat.
        image_dir: folder with the folders of the scenes.
        output_dir: folder of the data set.
        as_lmdb: write an LMDB instead of a file for every word.
        kind: 'png' or 'jpg', the format of the crops.
        workers: threads; 0 is one for each core.
        strict: stop at the first word that cannot be converted.
        overwrite: begin anew where there is a data set already.
    """

    mat_file: str
    image_dir: str
    output_dir: str
    as_lmdb: bool = False
    kind: str = "jpg"
    workers: int = 0
    strict: bool = False
    overwrite: bool = False


def convert_synthtext(options: SynthTextOptions) -> int:
    """Cuts all words out, saying what it does; returns the exit code of the program.

    Raises:
        ConfigError: a value that cannot be.
        DataError: gt.mat cannot be used, no word is left, or the folder holds something else.
    """
    if options.workers < 0:
        raise ConfigError(f"--workers {options.workers} must be 0 or more")
    file = SynthTextFile(options.mat_file)
    annotation = os.path.join(options.output_dir, "annotation_train.txt")
    if not options.as_lmdb and not options.overwrite and os.path.exists(annotation):
        raise DataError(f"{annotation} is already there: give another -o/--output_dir, or --overwrite")
    with contextlib.ExitStack() as stack:
        writer: LmdbWriter | FolderWriter
        add: Callable[[int, str, bytes, str], None]
        if options.as_lmdb:
            origin = f"SynthText {os.path.abspath(options.mat_file)} ({file.total} words, {options.kind})"
            lmdb_writer = writer = LmdbWriter(options.output_dir, origin, file.total * 4000, options.overwrite)
            if writer.next:
                print(f"going on after {writer.next} of {file.total} words")

            def add(item: int, path: str, data: bytes, word: str) -> None:
                del path
                lmdb_writer.add(item, data, word)
        else:
            stack.enter_context(unfinished(options.output_dir))
            folder_writer = FolderWriter(options.output_dir)
            writer, add = folder_writer, folder_writer.add
        begun = writer.next
        report = ConversionReport()
        report.problems, outside = write_words(file, options.image_dir, options.kind, writer, add, options.strict,
                                               options.workers or available_cores())
        code = report.finish(os.path.join(options.output_dir, "report.txt"))
        if not writer.count:
            raise report.nothing_left(f"{options.mat_file}: none of its {file.total} words can be converted")
    print(f"{options.output_dir}: {writer.count} of {file.total} words from {len(file.names)} scenes; "
          f"{len(report.problems)} left out (boxes empty or outside, scenes that cannot be read); {outside} boxes "
          f"reached out of the picture{' (in this run)' if begun else ''} and were clamped\n"
          f"use it with: --train_dataset {'lmdb' if options.as_lmdb else 'synth'} --train_dataset_path "
          f"{options.output_dir}")
    return code

