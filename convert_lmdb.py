"""Writes any data set as one LMDB in the layout of deep-text-recognition-benchmark, for `--train_dataset lmdb`."""
import argparse
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from src.common.cores import available_cores
from src.common.errors import ConfigError, DataError, run_main
from src.common.progress import Progress
from src.convert.conversion import ConversionReport
from src.convert.lmdb_writer import LmdbWriter
from src.data.lmdb_source import find_databases
from src.data.preprocess import decode_image
from src.data.protocol import PROTOCOLS, select_words
from src.data.source import WordSource
from src.dataset import SOURCES, open_source

_CHUNK = 128  # images a thread reads at a time

_DESCRIPTION = """Writes a data set as an LMDB: image-000000001 (the bytes of the file as they are), label-000000001,
..., num-samples, and the lexicons where the set has some. Interrupted, it goes on where it was when run again."""
_EPILOG = """Images that cannot be decoded are left out and listed in OUTPUT_DIR/report.txt. Lexicons become the keys
lexicon-000000001 (the "50" of each image), lexicon-1k-000000001 and lexicon-full, which --lexicon=50|1k|full reads and
other tools pass over.
Exit code 0: all words written; 3: some are left out; 2: error."""


def convert(source: WordSource, items: np.ndarray, writer: LmdbWriter, check: bool = True, strict: bool = False,
            workers: int = 0, show_progress: bool = True) -> list[tuple[str, str]]:
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


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-d", "--dataset", required=True, choices=list(SOURCES), help="kind of the data set")
    parser.add_argument("-p", "--dataset_path", required=True, help="folder of the data set")
    parser.add_argument("-o", "--output_dir", required=True, help="folder of the LMDB")
    parser.add_argument("-s", "--split", choices=["train", "val", "test"], default="train",
                        help="which one, where a folder holds several (default: %(default)s)")
    parser.add_argument("--eval_protocol", choices=["standard", "whole", *PROTOCOLS], default="whole",
                        help="write only the words that count in a benchmark's protocol (default: %(default)s)")
    parser.add_argument("--no_check", action="store_true",
                        help="do not look whether the images can be decoded: twice as fast")
    parser.add_argument("--workers", type=int, default=0, help="threads that read; 0: one for each core")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is an LMDB already")
    args = parser.parse_args(argv)
    if args.workers < 0:
        raise ConfigError(f"--workers {args.workers} must be 0 or more")

    if args.dataset == "lmdb" and os.path.realpath(args.output_dir) in map(os.path.realpath,
                                                                          find_databases(args.dataset_path)):
        raise ConfigError(f"{args.output_dir} is the LMDB to be read: give another -o/--output_dir")
    source = open_source(args.dataset, args.dataset_path, args.split)
    source.check()
    selection = select_words(source, args.eval_protocol)
    print(selection.summary())
    origin = (f"{args.dataset} {os.path.abspath(args.dataset_path)} ({args.split}, protocol {selection.protocol}, "
              f"{len(selection.kept)} of {len(source)} words{', unchecked' if args.no_check else ''}"
              f"{''.join(f', lexicon {name}' for name in source.lexicon_names())})")
    writer = LmdbWriter(args.output_dir, origin, _expected_bytes(source, selection.kept), args.overwrite)
    if writer.next:
        print(f"going on after {writer.next} of {len(selection.kept)} words")
    report = ConversionReport()
    report.problems = convert(source, selection.kept, writer, not args.no_check, args.strict, args.workers)
    code = report.finish(os.path.join(args.output_dir, "report.txt"))
    lexicons = ", ".join(source.lexicon_names())
    print(f"{args.output_dir}: {writer.count} words{f', with the lexicons {lexicons}' if lexicons else ''}\n"
          f"use it with: --train_dataset lmdb --train_dataset_path {args.output_dir}")
    return code


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


if __name__ == "__main__":
    run_main(main)
