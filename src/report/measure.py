"""Reads the benchmark sets: once through the network, then with every decoder, counted by every protocol."""
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from src.common.charset import Charset
from src.common.errors import DataError
from src.data.batches import WordBatches
from src.data.protocol import select_words
from src.data.source import WordSource
from src.dataset import create_dataset
from src.metric import EvalResult, evaluate_readings
from src.model_utils.config import Config
from src.reading.reading import Forward, Reading
from src.reading.selection import Decoding, choose_decoder, lexicon_decoding
from src.report.benchmarks import BENCHMARKS, BY_KEY, GIVEN_LEXICON, LEXICON_TITLES
from src.report.discovery import FoundSet


@dataclass
class Row:
    """A benchmark read with one lexicon or without.

    Attributes:
        key: of the benchmark.
        lexicon: 'none', '50', '1k', 'full' or '50k'.
        result: the metrics, None where it is absent.
        note: why it is absent, or what makes it incomplete.
    """

    key: str
    lexicon: str
    result: EvalResult | None = None
    note: str = ""

    @property
    def complete(self) -> bool:
        """All words of the benchmark were read."""
        return self.result is not None and self.result.total == BY_KEY[self.key].words


@dataclass
class Measured:
    """A set that was read.

    Attributes:
        found: where it lies.
        rows: its results.
        source: its images.
        main: key of its benchmark with the most words: errors and curves are shown for that one.
        index: numbers of those of its words that were read.
        readings: of these, without a lexicon.
        unreadable: images that could not be read.
        messages: what a reader should know.
    """

    found: FoundSet
    rows: list[Row]
    source: WordSource
    main: str = ""
    index: list[int] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def measure(found: FoundSet, config: Config, forward: Forward, charset: Charset,
            on_batch: Callable[[int, int], None] | None = None) -> Measured:
    """Reads a set.

    Args:
        found: the set, converted.
        config: the configuration; chooses the decoder for reading without a lexicon.
        forward: the network.
        charset: its characters.
        on_batch: called with the words read so far and all words.

    Raises:
        DataError: the set cannot be read, or none of its words belongs to a benchmark.
    """
    dataset = create_dataset(found.dataset, found.path, config.batch_size, is_training=False, config=config)
    source = dataset.source
    measured = Measured(found, [], source, messages=[dataset.report.summary()])
    selections: dict[str, np.ndarray] = {}
    for key in found.keys:
        try:
            selections[key] = select_words(source, "whole" if found.dataset == "lmdb" else BY_KEY[key].protocol).numbers
        except DataError as error:
            measured.rows.append(Row(key, "none", note=str(error)))
    complete = [key for key, kept in selections.items() if len(kept) == BY_KEY[key].words]
    for key in [key for key in selections if complete and key not in complete]:
        measured.rows.append(Row(key, "none", note=f"{found.place} holds {len(selections.pop(key))} of its words"))
    if not selections:
        raise DataError(f"{found.place}: {'; '.join(row.note for row in measured.rows)}")
    counted = np.zeros(len(source), bool)
    for kept in selections.values():
        counted[kept] = True

    ways = {"none": choose_decoder(config, charset, source)}
    ways.update({name: lexicon_decoding(name, charset, source, config.temperature) for name in source.lexicon_names()})
    if config.lexicon_50k and any(GIVEN_LEXICON in BY_KEY[key].lexicons for key in selections):
        ways[GIVEN_LEXICON] = lexicon_decoding(config.lexicon_50k, charset, source, config.temperature)
    index, readings = _read(dataset, forward, ways, counted, on_batch)
    measured.unreadable = list(dataset.corrupted)
    for key, kept in selections.items():
        measured.rows += _rows(key, kept, index, readings, source, charset)
    for name, way in ways.items():
        measured.messages += [f"lexicon {name}: {line}" for line in way.report()]
    measured.main = max(selections, key=lambda key: len(selections[key]))
    places = np.flatnonzero(np.isin(index, selections[measured.main]))
    measured.index = [int(index[place]) for place in places]
    measured.readings = [readings["none"][place] for place in places]
    return measured


def _read(dataset: WordBatches, forward: Forward, ways: dict[str, Decoding], counted: np.ndarray,
          on_batch: Callable[[int, int], None] | None) -> tuple[np.ndarray, dict[str, list[Reading]]]:
    """Numbers of the words read, rising, and their readings by every way."""
    numbers, readings, done = [], {name: [] for name in ways}, 0
    for batch in dataset:
        rows = np.flatnonzero(counted[batch.index])
        done += len(batch)
        if len(rows):
            logits = forward(batch.image[rows])
            numbers.append(batch.index[rows])
            for name, way in ways.items():
                readings[name] += way(logits, batch.index[rows])
        if on_batch is not None:
            on_batch(done, dataset.num_samples)
    index = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    order = np.argsort(index)  # with keep_ratio batches come out of order
    return index[order], {name: [found[place] for place in order] for name, found in readings.items()}


def _rows(key: str, kept: np.ndarray, index: np.ndarray, readings: dict[str, list[Reading]], source: WordSource,
          charset: Charset) -> list[Row]:
    """The results of one benchmark, with those of its lexicons that are missing."""
    places = np.flatnonzero(np.isin(index, kept))
    truths = [source.text(int(index[place])) for place in places]
    benchmark, rows = BY_KEY[key], []
    for name in LEXICON_TITLES:
        if name not in readings:
            if name in benchmark.lexicons:
                rows.append(Row(key, name, note=_why_absent(name)))
            continue
        result = evaluate_readings(truths, [readings[name][place] for place in places], charset)
        note = "" if result.total == benchmark.words else f"{result.total} of {benchmark.words} words"
        rows.append(Row(key, name, result, note))
    return rows


def _why_absent(lexicon: str) -> str:
    return ("no word list was given (lexicon_50k)" if lexicon == GIVEN_LEXICON else
            "this lexicon does not lie beside the set")


def merge(measured: list[Measured], unreadable: dict[str, str] | None = None) -> list[Row]:
    """One row for each benchmark and lexicon, absent ones included, in the order of the tables.

    A benchmark in ``unreadable`` says why instead of that it was not found.

    Of several folders with the same benchmark a complete one goes before an incomplete one, then the first.
    """
    rows = []
    for benchmark in BENCHMARKS:
        found = [row for one in measured for row in one.rows if row.key == benchmark.key]
        reason = (unreadable or {}).get(benchmark.key)
        absent = f"unreadable: {reason}" if reason else "the set was not found"
        for name in LEXICON_TITLES:
            if name not in ("none", *benchmark.lexicons) and not any(r.lexicon == name and r.result for r in found):
                continue
            fits = [row for row in found if row.lexicon == name]
            fits.sort(key=lambda row: (not row.complete, row.result is None))
            note = _why_absent(name) if any(row.result for row in found) else absent
            rows.append(fits[0] if fits else Row(benchmark.key, name, note=note))
    return rows
