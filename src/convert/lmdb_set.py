"""Any data set as one LMDB in the layout of deep-text-recognition-benchmark."""
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from src.common.charset import shows_nothing
from src.common.errors import ConfigError, DataError
from src.common.progress import Progress
from src.common.system import available_cores
from src.convert.conversion import ConversionReport
from src.convert.lmdb_writer import LmdbWriter
from src.data.lmdb_source import find_databases
from src.data.preprocess import decode_image
from src.data.protocol import select_words
from src.data.source import WordSource
from src.dataset import open_source

_CHUNK = 128  # images a thread reads at a time


@dataclass(frozen=True)
class LmdbOptions:
    """What to convert and how.

    Attributes:
        dataset: kind of the data set, see ``src.dataset.SOURCES``.
        dataset_path: its folder.
        output_dir: folder of the LMDB.
        split: 'train', 'val' or 'test', where a folder holds several.
        protocol: write only the words that count in it.
        check: decode every image, and leave out those that cannot be.
        workers: threads that read; 0 is one for each core.
        strict: stop at the first image that cannot be decoded.
        overwrite: begin anew where there is an LMDB already.
        image_folder: what the paths of an image list are relative to; empty: it is looked for.
        scripts: those of mlt to write, with commas; empty: all.
    """

    dataset: str
    dataset_path: str
    output_dir: str
    split: str = "train"
    protocol: str = "whole"
    check: bool = True
    workers: int = 0
    strict: bool = False
    overwrite: bool = False
    image_folder: str = ""
    scripts: str = ""


def convert_lmdb(options: LmdbOptions) -> int:
    """Writes a data set as an LMDB, saying what it does; returns the exit code of the program.

    Raises:
        ConfigError: a value that cannot be.
        DataError: the set cannot be read, or the LMDB not be written.
    """
    if options.workers < 0:
        raise ConfigError(f"--workers {options.workers} must be 0 or more")
    own = find_databases(options.dataset_path) if options.dataset == "lmdb" else []
    if os.path.realpath(options.output_dir) in map(os.path.realpath, own):
        raise ConfigError(f"{options.output_dir} is the LMDB to be read: give another -o/--output_dir")
    source = open_source(options.dataset, options.dataset_path, options.split, image_folder=options.image_folder,
                         scripts=options.scripts)
    source.check()
    selection = select_words(source, options.protocol)
    print(selection.summary())
    origin = (f"{options.dataset} {os.path.abspath(options.dataset_path)} ({options.split}, protocol "
              f"{selection.protocol}, {len(selection.numbers)} of {len(source)} words"
              f"{'' if options.check else ', unchecked'}"
              f"{''.join(f', lexicon {name}' for name in source.lexicon_names())})")
    writer = LmdbWriter(options.output_dir, origin, _expected_bytes(source, selection.numbers), options.overwrite)
    if writer.next:
        print(f"going on after {writer.next} of {len(selection.numbers)} words")
    report = ConversionReport()
    report.problems = write_samples(source, selection.numbers, writer, options.check, options.strict, options.workers)
    code = report.finish(os.path.join(options.output_dir, "report.txt"))
    lexicons = ", ".join(source.lexicon_names())
    print(f"{options.output_dir}: {writer.count} words{f', with the lexicons {lexicons}' if lexicons else ''}\n"
          f"use it with: --train_dataset lmdb --train_dataset_path {options.output_dir}")
    return code


def write_samples(source: WordSource, items: np.ndarray, writer: LmdbWriter, check: bool = True,
                  strict: bool = False, workers: int = 0, show_progress: bool = True) -> list[tuple[str, str]]:
    """Writes samples of a data set, going on where the writer stands.

    Args:
        source: the data set.
        items: (K,) numbers of the samples.
        writer: closed at the end.
        check: decode every image, and leave out those that cannot be.
        strict: stop at the first of these.
        workers: threads that read; 0 is one for each core.
        show_progress: show it.

    Returns:
        What was left out: reference and reason.
    """
    own, shared = [], []
    for name in source.lexicon_names():
        words = source.shared_lexicon(name)
        own, shared = (own + [name], shared) if words is None else (own, words)
    with Progress(len(items), "writing", enabled=show_progress) as progress:
        progress.skip(writer.next)
        try:
            for place, item, data, reason in _read(source, items, writer.next, check, workers or available_cores()):
                if reason:
                    if strict:
                        writer.commit()
                        raise DataError(reason)
                    writer.leave_out(place, source.reference(item), reason)
                else:
                    lexicons, missing = _lexicons(source, item, own)
                    if missing and strict:
                        writer.commit()
                        raise DataError(missing[0][1])
                    writer.add(place, data, source.text(item), lexicons, missing)
                progress.update()
            return writer.finish(shared)
        except BaseException:
            writer.close()
            raise


def _lexicons(source: WordSource, item: int, names: list[str]) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The lexicons of one sample, and what is missing of them with the reasons."""
    found, missing = {}, []
    for name in names:
        try:
            found[name] = source.lexicon(name, item)
        except DataError as error:
            missing.append((f"{source.reference(item)} lexicon {name}", str(error)))
    return found, missing


def _read(source: WordSource, items: np.ndarray, first: int, check: bool,
          workers: int) -> Iterator[tuple[int, int, bytes, str]]:
    """Reads samples in order, threads ahead; yields place in ``items``, number, bytes, and why it cannot be used."""
    def chunk(start: int) -> list[tuple[int, int, bytes, str]]:
        read = []
        for place, item in enumerate(items[start:start + _CHUNK].tolist(), start):
            data = b""
            try:
                if shows_nothing(source.text(item)):
                    raise DataError("the word is empty")
                data = source.read(item)
                if check:
                    decode_image(data)
                read.append((place, item, data, ""))
            except DataError as error:
                text = str(error)
                where = source.location(item)
                read.append((place, item, b"", text if where in text else f"{where}: {text}"))
        return read

    pool, pending = ThreadPoolExecutor(workers, thread_name_prefix="crnn-lmdb"), deque()
    try:
        for start in range(first, len(items), _CHUNK):
            pending.append(pool.submit(chunk, start))
            if len(pending) > workers + 1:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _expected_bytes(source: WordSource, items: np.ndarray) -> int:
    """Size the LMDB will about have, from a few images; too small a guess costs nothing, the map grows."""
    looked_at, total, count = np.unique(np.linspace(0, len(items) - 1, 64).astype(np.int64)), 0, 0
    for place in looked_at:
        try:
            total += len(source.read(int(items[place])))
            count += 1
        except DataError:
            continue
    return int(len(items) * (total / max(count, 1) + 400) * 1.25)
