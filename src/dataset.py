"""create_dataset: opens a source, leaves out the words that cannot be trained on (and says which), makes batches."""
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from src.common.charset import Charset
from src.common.errors import ConfigError, DataError
from src.cute80_dataset import CUTE80Source
from src.data.augment import create_augment
from src.data.batches import Augment, Batch, WordBatches
from src.data.filter import FilterReport, filter_words, spelling_note
from src.data.labels import LabelTable
from src.data.list_source import VALIDATION_LISTS, ListSource, validation_list
from src.data.lmdb_source import LmdbSource
from src.data.mlt_source import MLTSource
from src.data.options import AugmentOptions, LoaderOptions, WordOptions
from src.data.order import mixture
from src.data.preprocess import InputSpec
from src.data.protocol import select_words
from src.data.source import WordSource
from src.data.synth_source import SynthSource
from src.ic03_dataset import IC03Source
from src.ic13_dataset import IC13Source
from src.ic15_dataset import IC15Source
from src.iiit5k_dataset import IIIT5KSource
from src.network.description import num_steps
from src.svt_dataset import SVTSource
from src.svtp_dataset import SVTPSource

__all__ = ["Batch", "FilterReport", "SOURCES", "WordBatches", "create_dataset", "evaluation_split", "filter_words",
           "open_source"]

# A further set in the form of a list of images is a subclass of ImageListSource of three lines.
SOURCES: dict[str, type[WordSource]] = {
    "synth": SynthSource, "ic03": IC03Source, "ic13": IC13Source, "ic15": IC15Source, "svt": SVTSource,
    "svtp": SVTPSource, "cute80": CUTE80Source, "iiit5k": IIIT5KSource, "list": ListSource, "mlt": MLTSource,
    "lmdb": LmdbSource,
}


def open_source(name: str, path: str, split: str, show_progress: bool = True, image_folder: str = "",
                scripts: str = "") -> WordSource:
    """Opens a data set.

    Args:
        name: one of ``SOURCES``.
        path: where it lies.
        split: 'train', 'val' or 'test', for data sets that have all of them in one folder.
        show_progress: show how far it is where it takes a while.
        image_folder: what the paths of an image list are relative to; empty: it is looked for.
        scripts: those of mlt to read, with commas; empty: all.

    Raises:
        ConfigError: no data set of that name, or ``image_folder`` is no folder.
        DataError: it cannot be read.
    """
    if name not in SOURCES:
        raise ConfigError(f"unknown data set {name!r}: expected one of {', '.join(SOURCES)}")
    if image_folder and not os.path.isdir(image_folder):
        raise ConfigError(f"image_folder {image_folder} is no folder; name the one that the paths of the list begin in")
    further = {"show_progress": show_progress, "image_folder": image_folder, "scripts": scripts}
    kind: Any = SOURCES[name]
    source = kind(path, split, **{key: further[key] for key in kind.takes})
    for note in source.notes:
        print(f"{'' if note.startswith('warning') else 'note: '}{note}", file=sys.stderr)
    return source


def evaluation_split(name: str, path: str, say: Callable[[str], None]) -> str:
    """The split to evaluate on while training: 'val' for sets whose folder has it, otherwise 'test'.

    Args:
        name: of the data set, see ``SOURCES``.
        path: where it lies.
        say: told where a folder of lists has none of validation words.
    """
    if name == "synth" or (name in ("list", "mlt") and validation_list(path)):
        return "val"
    if name in ("list", "mlt") and os.path.isdir(path):
        say(f"note: {path} has no validation list ({', '.join(VALIDATION_LISTS)}): evaluating on the words that "
            "eval.py reads there")
    return "test"


def create_dataset(name: str, dataset_path: str, batch_size: int = 1, num_shards: int = 1, shard_id: int = 0,
                   is_training: bool = True, config: Any = None, augment: Augment | None = None,
                   split: str | None = None, cores: int = 0) -> WordBatches:
    """Opens a data set and makes its batches.

    Args:
        name: of the data set, see ``SOURCES``.
        dataset_path: its folder.
        batch_size: samples a batch, on each card.
        num_shards: number of cards.
        shard_id: this card, from 0.
        is_training: shuffled full batches of the words that can be learned, or every word that counts by
            ``eval_protocol`` once in the order of the file ('synth': from annotation_test.txt).
        config: any object with the keys of :mod:`src.data.options`; what it lacks has the value of
            default_config.yaml.
        augment: distorts training images, see :class:`WordBatches`; None takes what ``config.augment`` says.
        split: 'train', 'val' or 'test' where one folder holds them all; None takes 'train' or 'test'.
        cores: workers where ``num_parallel_workers`` is 0; 0 is one for each core that this process may use. Ranks of
            one host share its cores: :func:`src.distributed.ranks.share_of_cores`.

    Returns:
        The batches; what was left out is in their ``report``.

    Raises:
        ConfigError: a name or value that cannot be.
        DataError: the data cannot be read, or nothing of it can be used.
    """
    words, loading = WordOptions.from_config(config), LoaderOptions.from_config(config)
    charset, spec = Charset.from_config(words.label_dict), InputSpec.from_config(config)
    if is_training:
        spec = replace(spec, long_width=0)
    if words.blank is not None and words.blank != charset.blank:
        raise ConfigError(f"blank {words.blank} must be {charset.blank}, the number of characters in label_dict")
    if not loading.workers:
        loading = replace(loading, workers=cores)
    if words.max_text_length < 1:
        raise ConfigError(f"max_text_length {words.max_text_length} must be at least 1")

    source = open_source(name, dataset_path, split or ("train" if is_training else "test"), loading.show_progress,
                         words.image_folder, words.scripts)
    source.check()
    labels = LabelTable(source.texts, charset)
    selection = None if is_training else select_words(source, words.eval_protocol)
    numbers, report = filter_words(source, labels, words.max_text_length, num_steps(spec.largest_width), is_training,
                                   selection)
    report.spelling = spelling_note(source, charset)
    labels.release()
    if not len(numbers):
        raise DataError(f"{report.summary()}: nothing is left to train on")
    mix = None
    if is_training and words.train_mix:
        if not isinstance(source, LmdbSource):
            raise ConfigError(f"train_mix {words.train_mix!r} is for lmdb, not for {name}")
        numbers, mix = mixture(words.train_mix, source.parts, numbers)
        report.unmixed, report.used, report.mixture = report.used - len(numbers), len(numbers), mix.summary()
    if is_training and augment is None:
        augment = create_augment(AugmentOptions.from_config(config), spec)
    # In training all labels fit; in evaluation none is cut, so the longest sets the width.
    width = words.max_text_length
    if not is_training:
        width = max(width, int(labels.length[source.text_index].max()))
    batches = WordBatches(source, numbers, labels, spec, batch_size, loading, label_width=width, num_shards=num_shards,
                          shard_id=shard_id, is_training=is_training, augment=augment, report=report, mix=mix)
    if is_training:
        report.remainder = len(numbers) - batches.num_samples * num_shards
    return batches
