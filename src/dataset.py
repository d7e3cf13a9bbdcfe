"""create_dataset: opens a source, leaves out the words that cannot be trained on (and says which), makes batches."""
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError, DataError
from src.data.augment import create_augment
from src.data.batches import Augment, Batch, WordBatches
from src.data.labels import LabelTable
from src.data.list_source import VALIDATION_LISTS, validation_list
from src.data.order import mixture
from src.data.preprocess import InputSpec, num_steps
from src.data.protocol import Selection, select_words
from src.data.source import WordSource

__all__ = ["Batch", "FilterReport", "SOURCES", "WordBatches", "create_dataset", "evaluation_split", "filter_words",
           "open_source"]

# name of the data set -> module and class; a further one of the "image list" form is a subclass of three lines.
SOURCES = {
    "synth": ("src.data.synth_source", "SynthSource"),
    "ic03": ("src.ic03_dataset", "IC03Source"),
    "ic13": ("src.ic13_dataset", "IC13Source"),
    "ic15": ("src.ic15_dataset", "IC15Source"),
    "svt": ("src.svt_dataset", "SVTSource"),
    "svtp": ("src.svtp_dataset", "SVTPSource"),
    "cute80": ("src.cute80_dataset", "CUTE80Source"),
    "iiit5k": ("src.iiit5k_dataset", "IIIT5KSource"),
    "list": ("src.data.list_source", "ListSource"),
    "lmdb": ("src.data.lmdb_source", "LmdbSource"),
}

_EXAMPLES = 5


@dataclass
class FilterReport:
    """How many words of a data set are used, and why the others are not; every word counts under one reason.

    In evaluation only the protocol leaves words out, and the counts say how many of the others the network can never
    read in full.

    Attributes:
        name: of the data set.
        total: words in its annotation.
        kept: words used.
        outside_charset: words with characters outside the charset.
        too_long: other words longer than ``max_text_length``.
        infeasible: other words that need more CTC steps than the network gives.
        outside_characters: the characters outside the charset, each once.
        examples: up to five of these words with their reason and image.
        is_training: whether the words were left out.
        max_text_length: characters.
        steps: CTC steps the network gives.
        remainder: words an epoch leaves out because they do not fill a batch on every card; others in each epoch.
        selection: in evaluation, the words that count by the protocol; None in training.
        mixture: the shares of the parts of the set in an epoch, in words; '' where there are none.
        unmixed: words that could be used but are in no part of the mixture.
    """

    name: str
    total: int
    kept: int
    outside_charset: int = 0
    too_long: int = 0
    infeasible: int = 0
    outside_characters: str = ""
    examples: list[str] = field(default_factory=list)
    is_training: bool = True
    max_text_length: int = 0
    steps: int = 0
    remainder: int = 0
    selection: Selection | None = None
    mixture: str = ""
    unmixed: int = 0

    def summary(self) -> str:
        """One line for people."""
        reasons = []
        if self.outside_charset:
            shown = " ".join(repr(c)[1:-1] for c in self.outside_characters[:40])
            reasons.append(f"{self.outside_charset} with characters outside the charset ({shown})")
        if self.too_long:
            reasons.append(f"{self.too_long} longer than max_text_length {self.max_text_length}")
        if self.infeasible:
            reasons.append(f"{self.infeasible} that need more than {self.steps} CTC steps")
        if self.is_training:
            line = f"{self.name}: {self.kept} of {self.total} words used for training"
            verb = "left out"
        else:
            chosen = f" ({self.selection.summary()})" if self.selection else ""
            line = f"{self.name}: {self.kept} words{chosen}, all evaluated"
            verb = "beyond the network or its training"
        if reasons:
            line += f"; {verb}: {', '.join(reasons)}, such as {'; '.join(self.examples)}"
        if self.mixture:
            line += f"; {self.mixture}" + (f"; {self.unmixed} in parts not named" if self.unmixed else "")
        if self.remainder:
            line += f"; {self.remainder} do not fill a batch and wait for another epoch"
        return line


def open_source(name: str, path: str, split: str, show_progress: bool = True) -> WordSource:
    """Opens a data set.

    Args:
        name: one of ``SOURCES``.
        path: where it lies.
        split: 'train', 'val' or 'test', for data sets that have all of them in one folder.
        show_progress: show how far it is where it takes a while.

    Raises:
        ConfigError: no data set of that name.
        DataError: it cannot be read.
    """
    if name not in SOURCES:
        raise ConfigError(f"unknown data set {name!r}: expected one of {', '.join(SOURCES)}")
    module, kind = SOURCES[name]
    source = getattr(importlib.import_module(module), kind)
    return source(path, split, show_progress) if source.shows_progress else source(path, split)


def evaluation_split(name: str, path: str, say: Callable[[str], None]) -> str:
    """The split to evaluate on while training: 'val' for sets whose folder has it, otherwise 'test'.

    Args:
        name: of the data set, see ``SOURCES``.
        path: where it lies.
        say: told where a folder of lists has none of validation words.
    """
    if name == "synth" or (name == "list" and validation_list(path)):
        return "val"
    if name == "list" and os.path.isdir(path):
        say(f"note: {path} has no validation list ({', '.join(VALIDATION_LISTS)}): evaluating on the words that "
            "eval.py reads there")
    return "test"


def filter_words(source: WordSource, labels: LabelTable, max_text_length: int, steps: int, is_training: bool,
                 selection: Selection | None = None) -> tuple[np.ndarray, FilterReport]:
    """Finds the words that can be trained on; in evaluation counts the others, but keeps them.

    Args:
        source: images and words.
        labels: of ``source.texts``.
        max_text_length: longest label in characters.
        steps: CTC steps of the network.
        is_training: leave them out.
        selection: the words to look at at all; None takes every one.

    Returns:
        (K,) numbers of the samples to use, and the report. Labels are never cut.
    """
    reason = np.select([labels.outside > 0, labels.text_length > max_text_length, labels.required > steps], [1, 2, 3])
    reason = reason.astype(np.uint8)
    chosen = slice(None) if selection is None else selection.kept
    used = np.bincount(source.text_index[chosen], minlength=len(reason))
    count = [int(used[reason == k].sum()) for k in range(4)]
    sample_reason = reason[source.text_index]
    names = ("", "outside the charset", "too long", "too many CTC steps")
    kept = np.arange(len(source)) if selection is None else selection.kept
    bad = kept[np.flatnonzero(sample_reason[chosen])[:_EXAMPLES]]
    examples = [f"{source.text(i)!r} ({names[sample_reason[i]]}; {source.reference(i)})" for i in bad]
    if is_training:
        kept = kept[sample_reason[chosen] == 0]
    if len(source) < 2**31:
        kept = kept.astype(np.int32)
    report = FilterReport(source.name, len(source), len(kept), count[1], count[2], count[3],
                          labels.outside_characters(used > 0), examples, is_training, max_text_length, steps,
                          selection=selection)
    return kept, report


def create_dataset(name: str, dataset_path: str, batch_size: int = 1, num_shards: int = 1, shard_id: int = 0,
                   is_training: bool = True, config=None, augment: Augment | None = None,
                   split: str | None = None) -> WordBatches:
    """Opens a data set and makes its batches.

    Args:
        name: of the data set, see ``SOURCES``.
        dataset_path: its folder.
        batch_size: samples a batch, on each card.
        num_shards: number of cards.
        shard_id: this card, from 0.
        is_training: shuffled full batches of the words that can be learned, or every word that counts by
            ``eval_protocol`` once in the order of the file ('synth': from annotation_test.txt).
        config: any object with ``label_dict``, ``max_text_length``, ``image_width``, ``image_height``, ``seed``,
            ``num_parallel_workers``, ``loader``, ``keep_ratio``, ``bucket_widths``, ``train_mix``, ``augment``,
            ``augment_strengths``, ``eval_protocol`` and ``show_progress``; what it lacks has the value of
            default_config.yaml.
        augment: distorts training images, see :class:`WordBatches`; None takes what ``config.augment`` says.
        split: 'train', 'val' or 'test' where one folder holds them all; None takes 'train' or 'test'.

    Returns:
        The batches; what was left out is in their ``report``.

    Raises:
        ConfigError: a name or value that cannot be.
        DataError: the data cannot be read, or nothing of it can be used.
    """
    charset = Charset.from_config(getattr(config, "label_dict", "abcdefghijklmnopqrstuvwxyz0123456789"))
    max_text_length = getattr(config, "max_text_length", 23)
    spec = InputSpec.from_config(config)
    blank = getattr(config, "blank", None)
    if blank is not None and blank != charset.blank:
        raise ConfigError(f"blank {blank} must be {charset.blank}, the number of characters in label_dict")
    if max_text_length < 1:
        raise ConfigError(f"max_text_length {max_text_length} must be at least 1")

    source = open_source(name, dataset_path, split or ("train" if is_training else "test"),
                         getattr(config, "show_progress", "auto") != "never")
    source.check()
    labels = LabelTable(source.texts, charset)
    selection = None if is_training else select_words(source, getattr(config, "eval_protocol", "standard"))
    kept, report = filter_words(source, labels, max_text_length, num_steps(spec.largest_width), is_training, selection)
    labels.release()
    if not len(kept):
        raise DataError(f"{report.summary()}: nothing is left to train on")
    mix = None
    if is_training and getattr(config, "train_mix", ""):
        parts = getattr(source, "parts", None)
        if parts is None:
            raise ConfigError(f"train_mix {config.train_mix!r} is for lmdb, not for {name}")
        kept, mix = mixture(config.train_mix, parts, kept)
        report.unmixed, report.kept, report.mixture = report.kept - len(kept), len(kept), mix.summary()
    if is_training and augment is None:
        augment = create_augment(config, spec)
    # In training all labels fit; in evaluation none is cut, so the longest sets the width.
    width = max_text_length if is_training else max(max_text_length, int(labels.length[source.text_index].max()))
    batches = WordBatches(source, kept, labels, spec, batch_size, label_width=width, num_shards=num_shards,
                          shard_id=shard_id, is_training=is_training, seed=getattr(config, "seed", 1),
                          workers=getattr(config, "num_parallel_workers", 0), augment=augment, report=report,
                          mix=mix, loader=getattr(config, "loader", "threads"))
    if is_training:
        report.remainder = len(kept) - batches.num_samples * num_shards
    return batches
