"""Batches of network input from a source, made ahead; their order depends on seed and epoch only."""
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from src.common.errors import ConfigError, DataError
from src.common.system import available_cores
from src.data.filter import FilterReport
from src.data.labels import LabelTable
from src.data.options import LoaderOptions
from src.data.order import Mixture, group_by_length
from src.data.preprocess import InputSpec, normalise, to_planes, width_for_steps
from src.data.samples import Augment, SampleReader, WorkerReport
from src.data.source import WordSource
from src.data.workers import WorkerProcesses, can_fork, in_threads, room
from src.network.description import num_steps

LOADERS = ("threads", "processes")
Masks = Callable[[int, int, int], np.ndarray]


@dataclass
class Batch:
    """What one step gets.

    Attributes:
        image: (n, 3, height, width) float32; with ``keep_ratio`` or ``long_width`` the width differs between batches.
        label: (n, label_width) int32 class indices, padded with the blank.
        label_length: (n,) int32, classes in each label.
        text: the n words as annotated.
        reference: the path or key of each image.
        index: (n,) int64, number of each sample in the source.
        mask: what ``WordBatches.masks`` gave for the step, made by the worker; None without.
    """

    image: np.ndarray
    label: np.ndarray
    label_length: np.ndarray
    text: list[str]
    reference: list[str]
    index: np.ndarray
    mask: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)


class WordBatches:
    """The batches of one shard (card) of a data set, made ahead by threads or processes.

    Training: every epoch has its own order, a function of ``(seed, epoch)``; the shards share it out, rank r taking
    every ``num_shards``-th sample. All shards have the same number of steps, every batch is full, and what is left
    over (``report.remainder``) is another part of the set in each epoch. Evaluation: the order of the file, every
    sample exactly once, the last batch smaller.

    An image that cannot be read is named once on standard error, counted, and left out. In evaluation its batch
    is smaller by one (a batch without any image is not delivered). In training the batch is filled up from the samples
    the shard's order leaves over in this epoch, and if these run out from the samples that follow in the order (then
    one sample comes twice in the epoch; ``repeated`` counts these). Which ones depends on the step only,
    so that neither the kind and number of workers nor a resumed epoch changes any batch.

    With ``spec.keep_ratio`` all images of a batch are padded to one of ``spec.widths``. In training words of similar
    length come together, and a batch is as wide as its widest image or what CTC needs for its longest word. In
    evaluation, also with ``spec.long_width``, the width of an image depends on nothing but the image: batches gather
    images of one width, so that they come out of order (``Batch.index`` tells) and up to ``len(spec.all_widths) - 1``
    of them more than ``get_dataset_size`` says, which then is the least number.

    Args:
        source: the images and words.
        numbers: (K,) numbers of the samples to use.
        labels: class indices of ``source.texts``.
        spec: the network input.
        batch_size: samples a batch.
        loading: seed, and what makes the batches. Processes are forked when the first epoch starts, so that ``source``
            and ``augment`` are what they were then, and wait for the next epoch after one that was gone through in
            full.
        label_width: columns of the labels.
        num_shards: number of cards.
        shard_id: the card these batches are for, from 0.
        is_training: shuffled full batches, or every sample once.
        augment: called in training with a decoded (H, W, 3) uint8 BGR image, before it is resized, and a generator of
            random numbers that depends only on the seed, the epoch, the sample and its place in the epoch's order (with
            ``mix`` a sample comes several times, each time another image). Returns an image of that kind.
        report: what was filtered out; see :class:`src.data.filter.FilterReport`.
        mix: shares of the parts of the set in a training epoch; None takes every sample once.

    Attributes:
        samples: reads the images; its ``corrupted``, ``repeated`` and ``squeezed`` can be had here, too.
        num_samples: samples this shard delivers in an epoch.
        masks: in training, called with the steps of all epochs before this one, the time steps of its images and their
            number; what it returns comes with the batch. Set it before the first epoch starts.

    Raises:
        DataError: not one full batch for every shard, in training.
    """

    def __init__(self, source: WordSource, numbers: np.ndarray, labels: LabelTable, spec: InputSpec,
                 batch_size: int, loading: LoaderOptions, *, label_width: int, num_shards: int = 1, shard_id: int = 0,
                 is_training: bool = True, augment: Augment | None = None, report: FilterReport | None = None,
                 mix: Mixture | None = None):
        if batch_size < 1:
            raise ConfigError(f"batch_size {batch_size} must be at least 1")
        if num_shards < 1 or not 0 <= shard_id < num_shards:
            raise ConfigError(f"shard_id {shard_id} must be 0 to num_shards - 1, num_shards ({num_shards}) at least 1")
        if loading.workers < 0:
            raise ConfigError(f"num_parallel_workers {loading.workers} must be 0 (one for each core) or more")
        loader, seed = loading.loader, loading.seed
        if loader not in LOADERS:
            raise ConfigError(f"loader {loader!r}: expected one of {', '.join(LOADERS)}")
        if loader == "processes" and not can_fork():
            print("warning: this system cannot fork processes: threads prepare the batches", file=sys.stderr)
            loader = "threads"
        self.source, self.spec, self.batch_size, self.is_training = source, spec, batch_size, is_training
        self.num_shards, self.shard_id, self.seed, self.report = num_shards, shard_id, seed, report
        self.workers, self.loader = loading.workers or available_cores(), loader
        self.label_width = label_width
        self.samples = SampleReader(source, numbers, spec, seed, augment if is_training else None)
        self.masks: Masks | None = None
        self._mix = mix if is_training else None
        self._numbers, self._labels = numbers, labels
        self._waits_for_width = len(spec.all_widths) > 1 and not is_training
        self._idle: WorkerProcesses | None = None
        self._known_order: tuple[int, np.ndarray] | None = None  # of an epoch, in a worker process that needed it
        self._next_epoch = 0
        if is_training:
            self._steps = len(numbers) // num_shards // batch_size
            self.num_samples = self._steps * batch_size
            if not self._steps:
                cards = f" on each of {num_shards} cards" if num_shards > 1 else ""
                raise DataError(f"{source.name}: {len(numbers)} words are too few for one batch of {batch_size}{cards}"
                                ": use a smaller batch_size or more data")
        else:
            self.num_samples = len(range(shard_id, len(numbers), num_shards))
            self._steps = -(-self.num_samples // batch_size)

    @property
    def corrupted(self) -> list[str]:
        """References of the images that could not be read, each once, in the order they were met."""
        return self.samples.corrupted

    @property
    def repeated(self) -> int:
        """How often a sample had to come twice in an epoch in place of an unreadable one."""
        return self.samples.repeated

    @property
    def squeezed(self) -> int:
        """How often an image was narrowed to the largest width, with ``keep_ratio``."""
        return self.samples.squeezed

    def get_dataset_size(self) -> int:
        """Number of batches this shard has in an epoch."""
        return self._steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Iterates over one epoch; in training each call takes the next one, from 0."""
        epoch = self._next_epoch
        self._next_epoch += 1
        return self.epoch(epoch)

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: which one, from 0; it sets the order and the augmentation in training, nothing in evaluation.
            start_step: batches to leave out at the start (resuming); the others are exactly those of the whole epoch.

        Returns:
            An iterator. Closing it early, or letting it go, ends its threads or processes.

        Raises:
            ValueError: ``epoch`` or ``start_step`` out of range.
            DataError: from the iterator, when no image can be read.
        """
        if epoch < 0 or not 0 <= start_step <= self._steps:
            raise ValueError(f"epoch {epoch} must be 0 or more, start_step {start_step} 0 to {self._steps}")
        if self._waits_for_width:
            return itertools.islice(self._by_width(), start_step, None)
        return self._run(epoch, start_step)

    def order(self, epoch: int) -> np.ndarray:
        """Positions among the samples used this shard goes through in an epoch, left-over ones last; int64."""
        if not self.is_training:
            return np.arange(self.shard_id, len(self._numbers), self.num_shards)
        rng = np.random.default_rng([self.seed % 2**64, epoch])
        shuffled = self._mix.draw(rng) if self._mix else rng.permutation(len(self._numbers))
        # A copy, so that the shuffled numbers of all the shards are not kept alive.
        own = shuffled[self.shard_id::self.num_shards].copy()
        if self.spec.keep_ratio:
            length = self._labels.length[self.source.text_index[self._numbers[own]]]
            own = group_by_length(own, length, self.batch_size, rng)
        return own

    def _run(self, epoch: int, start_step: int) -> Iterator[Batch]:
        order, steps = self.order(epoch), range(start_step, self._steps)
        ahead = (self._from_processes(order, epoch, steps) if self.loader == "processes" else
                 in_threads(lambda step: self._make(order, epoch, step), steps, self.workers))
        delivered = False
        # Closing this iterator must end the workers at once.
        with contextlib.closing(ahead) as batches:
            for batch in batches:
                if len(batch):
                    delivered = True
                    yield batch
        if not delivered and start_step == 0 and self.num_samples:
            raise self.samples.nothing_readable()

    def _by_width(self) -> Iterator[Batch]:
        """The batches of evaluation with several widths: each of images of one width, in the order they fill up."""
        order, delivered = self.order(0), False
        waiting: dict[int, list[tuple[np.ndarray, int]]] = {width: [] for width in self.spec.all_widths}
        ahead = (self._from_processes(order, 0, range(self._steps)) if self.loader == "processes" else
                 in_threads(lambda step: self._read(order, 0, step), range(self._steps), self.workers))
        with contextlib.closing(ahead) as parts:
            for part in parts:
                for sample in zip(*part, strict=True):
                    rows = waiting[self.spec.bucket(sample[0].shape[1])]
                    rows.append(sample)
                    if len(rows) == self.batch_size:
                        delivered = True
                        yield self._batch(*zip(*rows, strict=True))
                        rows.clear()
        for rows in filter(None, waiting.values()):
            delivered = True
            yield self._batch(*zip(*rows, strict=True))
        if not delivered and self.num_samples:
            raise self.samples.nothing_readable()

    def _planned(self, order: np.ndarray, step: int) -> np.ndarray:
        return order[step * self.batch_size:(step + 1) * self.batch_size]

    def _read(self, order: np.ndarray, epoch: int, step: int) -> tuple[list[np.ndarray], list[int]]:
        """Images and positions of those samples of one step that can be read; runs in a thread."""
        return self.samples.read(self._planned(order, step), epoch, step * self.batch_size)

    def _make(self, order: np.ndarray, epoch: int, step: int) -> Batch:
        """Reads, decodes and normalises the samples of one batch; runs in a thread."""
        images, positions = self._read(order, epoch, step)
        if self.is_training and len(images) < self.batch_size:
            self.samples.fill_up(images, positions, order, epoch, step, self._steps, self.batch_size)
            if len(images) < self.batch_size:
                raise self.samples.nothing_readable()
        batch = self._batch(images, positions)
        batch.mask = self._mask(epoch, step, batch.image)
        return batch

    def _mask(self, epoch: int, step: int, image: np.ndarray) -> np.ndarray | None:
        return self.masks(epoch * self._steps + step, num_steps(image.shape[3]), len(image)) if self.masks else None

    def _from_processes(self, order: np.ndarray, epoch: int, steps: range) -> Iterator:
        """What ``_make`` returns for each step, or for ``_by_width`` what ``_read`` returns, made by processes."""
        pool, self._idle = self._idle, None
        if pool is None or not pool.is_alive():
            row = self.label_width * 4 + 3 * 64  # label, its length, index and where each image begins, generously
            mask = self.masks(0, num_steps(self.spec.largest_width), self.batch_size).nbytes if self.masks else 0
            pool = WorkerProcesses(self._work, self.workers, room(
                (self.batch_size * self.spec.height * self.spec.largest_width * 3, 1), (self.batch_size, row), (64, 8),
                (mask, 1)), self.source.name, self.samples.enter_worker)
        try:
            for arrays, report in pool.map(epoch, ((step, self._planned(order, step)) for step in steps)):
                self.samples.add_report(report)
                if self._waits_for_width:
                    *images, positions = (array.copy() for array in arrays)
                    yield images, positions
                    continue
                planes, *others = arrays
                if self.is_training and len(planes) < self.batch_size:
                    raise self.samples.nothing_readable()
                others = [array.copy() for array in others]
                batch = self._finish(planes, *others[:3])
                batch.mask = others[3] if self.masks else None
                yield batch
            pool, self._idle = self._idle, pool
        finally:
            if pool is not None:
                pool.close()

    def _work(self, epoch: int, step: int, planned: np.ndarray) -> tuple[list[np.ndarray], WorkerReport]:
        """The arrays of one step, and what was noted meanwhile; runs in a process."""
        images, positions = self.samples.read(planned, epoch, step * self.batch_size)
        if self._waits_for_width:
            return [*images, np.array(positions, np.int64)], self.samples.take_report()
        if self.is_training and len(images) < self.batch_size:
            if self._known_order is None or self._known_order[0] != epoch:
                self._known_order = epoch, self.order(epoch)
            self.samples.fill_up(images, positions, self._known_order[1], epoch, step, self._steps, self.batch_size)
        arrays = self._arrays(images, positions)
        mask = self._mask(epoch, step, arrays[0])
        return arrays if mask is None else [*arrays, mask], self.samples.take_report()

    def _batch(self, images: Sequence[np.ndarray], positions: Sequence[int]) -> Batch:
        return self._finish(*self._arrays(images, positions))

    def _arrays(self, images: Sequence[np.ndarray], positions: Sequence[int]) -> list[np.ndarray]:
        """Images as planes of bytes, labels, their lengths and the numbers of the samples."""
        index = self._numbers[np.array(positions, np.int64)].astype(np.int64)
        rows = self.source.text_index[index]
        # In evaluation the words must not help to read the images, so there the width is that of the images.
        least = width_for_steps(int(self._labels.required[rows].max())) if self.is_training and len(rows) else 1
        return [to_planes(images, self.spec, least), self._labels.padded(rows, self.label_width),
                self._labels.length[rows].astype(np.int32), index]

    def _finish(self, planes: np.ndarray, label: np.ndarray, length: np.ndarray, index: np.ndarray) -> Batch:
        return Batch(normalise(planes, self.spec), label, length,
                     [self.source.texts[row] for row in self.source.text_index[index]],
                     [self.source.reference(i) for i in index], index)
