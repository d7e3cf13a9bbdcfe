"""Batches of network input from a source: threads decode ahead, the order depends on seed and epoch only."""
import contextlib
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from src.cores import available_cores
from src.errors import ConfigError, DataError
from src.labels import LabelTable
from src.memory import keep_freed_memory
from src.order import Mixture, group_by_length
from src.preprocess import InputSpec, decode_image, resize, to_batch, width_for_steps
from src.source import WordSource

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]

_NAMED_WARNINGS = 100  # further corrupted images are counted and kept in the list, but no longer printed one by one


@dataclass
class Batch:
    """What one step gets.

    Attributes:
        image: (n, 3, height, width) float32; with ``keep_ratio`` the width differs between batches.
        label: (n, label_width) int32 class indices, padded with the blank.
        label_length: (n,) int32, classes in each label.
        text: the n words as annotated.
        reference: the path or key of each image.
        index: (n,) int64, number of each sample in the source.
    """

    image: np.ndarray
    label: np.ndarray
    label_length: np.ndarray
    text: list[str]
    reference: list[str]
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


class WordBatches:
    """The batches of one shard (card) of a data set, made ahead by threads.

    Training: every epoch has its own order, a function of ``(seed, epoch)``; the shards share it out, rank r taking
    every ``num_shards``-th sample. All shards have the same number of steps, every batch is full, and what is left
    over (``report.remainder``) is another part of the set in each epoch. Evaluation: the order of the file, every
    sample exactly once, the last batch smaller.

    An image that cannot be read is named once on standard error, counted, and left out. In evaluation its batch
    is smaller by one (a batch without any image is not delivered). In training the batch is filled up from the samples
    the shard's order leaves over in this epoch, and if these run out from the samples that follow in the order (then
    one sample comes twice in the epoch; ``repeated`` counts these). Which ones depends on the step only,
    so that neither the number of threads nor a resumed epoch changes any batch.

    With ``spec.keep_ratio`` all images of a batch are padded to one of ``spec.widths``. In training words of similar
    length come together, and a batch is as wide as its widest image or what CTC needs for its longest word. In
    evaluation the width of an image depends on nothing but the image: batches gather images of one width, so that they
    come out of order (``Batch.index`` tells) and up to ``len(spec.widths) - 1`` of them more than
    ``get_dataset_size`` says, which then is the least number.

    Args:
        source: the images and words.
        kept: (K,) numbers of the samples to use.
        labels: class indices of ``source.texts``.
        spec: the network input.
        batch_size: samples a batch.
        label_width: columns of the labels.
        num_shards: number of cards.
        shard_id: the card these batches are for, from 0.
        is_training: shuffled full batches, or every sample once.
        seed: of order and augmentation.
        workers: threads; 0 is one for each core this process may use.
        augment: called in training with a decoded (H, W, 3) uint8 BGR image, before it is resized, and a generator of
            random numbers that depends only on the seed, the epoch, the sample and its place in the epoch's order (with
            ``mix`` a sample comes several times, each time another image). Returns an image of that kind.
        report: what was filtered out; see :class:`src.dataset.FilterReport`.
        mix: shares of the parts of the set in a training epoch; None takes every sample once.

    Attributes:
        corrupted: references of the images that could not be read, each once, in the order they were met.
        repeated: how often a sample had to come twice in an epoch in place of an unreadable one.
        squeezed: with ``keep_ratio``, how often an image was narrowed to the largest width.
        num_samples: samples this shard delivers in an epoch.

    Raises:
        DataError: not one full batch for every shard, in training.
    """

    def __init__(self, source: WordSource, kept: np.ndarray, labels: LabelTable, spec: InputSpec, batch_size: int, *,
                 label_width: int, num_shards: int = 1, shard_id: int = 0, is_training: bool = True, seed: int = 1,
                 workers: int = 0, augment: Augment | None = None, report=None,
                 mix: Mixture | None = None):
        if batch_size < 1:
            raise ConfigError(f"batch_size {batch_size} must be at least 1")
        if num_shards < 1 or not 0 <= shard_id < num_shards:
            raise ConfigError(f"shard_id {shard_id} must be 0 to num_shards - 1, num_shards ({num_shards}) at least 1")
        if workers < 0:
            raise ConfigError(f"num_parallel_workers {workers} must be 0 (one for each core) or more")
        self.source, self.spec, self.batch_size, self.is_training = source, spec, batch_size, is_training
        self.num_shards, self.shard_id, self.seed, self.augment, self.report = (
            num_shards, shard_id, seed, augment if is_training else None, report)
        self.workers = workers or available_cores()
        self.label_width = label_width
        self.corrupted: list[str] = []
        self.repeated = self.squeezed = 0
        self._mix = mix if is_training else None
        self._kept, self._labels = kept, labels
        self._unreadable: dict[int, str] = {}
        self._lock = threading.Lock()
        self._next_epoch = 0
        if is_training:
            self._steps = len(kept) // num_shards // batch_size
            self.num_samples = self._steps * batch_size
            if not self._steps:
                cards = f" on each of {num_shards} cards" if num_shards > 1 else ""
                raise DataError(f"{source.name}: {len(kept)} words are too few for one batch of {batch_size}{cards}: "
                                "use a smaller batch_size or more data")
        else:
            self.num_samples = len(range(shard_id, len(kept), num_shards))
            self._steps = -(-self.num_samples // batch_size)

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
            An iterator. Closing it, or letting it go, ends its threads.

        Raises:
            ValueError: ``epoch`` or ``start_step`` out of range.
            DataError: from the iterator, when no image can be read.
        """
        if epoch < 0 or not 0 <= start_step <= self._steps:
            raise ValueError(f"epoch {epoch} must be 0 or more, start_step {start_step} 0 to {self._steps}")
        if self.spec.keep_ratio and not self.is_training:
            return itertools.islice(self._by_width(), start_step, None)
        return self._run(epoch, start_step)

    def order(self, epoch: int) -> np.ndarray:
        """Positions in the kept samples this shard goes through in an epoch, left-over ones last; int64."""
        if not self.is_training:
            return np.arange(self.shard_id, len(self._kept), self.num_shards)
        rng = np.random.default_rng([self.seed % 2**64, epoch])
        shuffled = self._mix.draw(rng) if self._mix else rng.permutation(len(self._kept))
        # A copy, so that the shuffled numbers of all the shards are not kept alive.
        own = shuffled[self.shard_id::self.num_shards].copy()
        if self.spec.keep_ratio:
            length = self._labels.length[self.source.text_index[self._kept[own]]]
            own = group_by_length(own, length, self.batch_size, rng)
        return own

    def to_mindspore(self):
        """The same batches as a ``mindspore.dataset.GeneratorDataset`` with the columns image and label.

        For ``Model.train`` and ``Model.eval``; each pass over it is the next epoch.
        """
        import mindspore.dataset as ds  # lazily: everything else here works without MindSpore

        return ds.GeneratorDataset(_Columns(self), ["image", "label"], shuffle=False, num_parallel_workers=1,
                                   python_multiprocessing=False)

    def _ahead(self, make: Callable, steps: Iterable[int]) -> Iterator:
        """What ``make`` returns for each step, in order, computed ahead by the threads."""
        keep_freed_memory()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="crnn-data")
        pending = deque()
        try:
            for step in steps:
                pending.append(pool.submit(make, step))
                # Two more than threads: none waits while the network takes its time over a batch.
                if len(pending) >= self.workers + 2:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, epoch: int, start_step: int) -> Iterator[Batch]:
        order = self.order(epoch)
        delivered = False
        # Closing this iterator must end the threads at once.
        with contextlib.closing(self._ahead(lambda step: self._make(order, epoch, step),
                                            range(start_step, self._steps))) as batches:
            for batch in batches:
                if len(batch):
                    delivered = True
                    yield batch
        if not delivered and start_step == 0 and self.num_samples:
            raise self._nothing_readable()

    def _by_width(self) -> Iterator[Batch]:
        """The batches of evaluation with ``keep_ratio``: each of images of one width, in the order they fill up."""
        order, delivered = self.order(0), False
        waiting: dict[int, list[tuple[np.ndarray, int]]] = {width: [] for width in self.spec.widths}
        with contextlib.closing(self._ahead(lambda step: self._read(order, 0, step), range(self._steps))) as parts:
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
            raise self._nothing_readable()

    def _read(self, order: np.ndarray, epoch: int, step: int) -> tuple[list[np.ndarray], list[int]]:
        """Images and positions of those samples of one step that can be read; runs in a thread."""
        first = step * self.batch_size
        loaded = [(self._load(position, epoch, place), position)
                  for place, position in enumerate(order[first:first + self.batch_size], first)]
        good = [pair for pair in loaded if pair[0] is not None]
        return [image for image, _ in good], [position for _, position in good]

    def _make(self, order: np.ndarray, epoch: int, step: int) -> Batch:
        """Reads, decodes and normalises the samples of one batch; runs in a thread."""
        images, positions = self._read(order, epoch, step)
        if self.is_training and len(images) < self.batch_size:
            self._fill_up(images, positions, order, epoch, step)
        return self._batch(images, positions)

    def _batch(self, images: Sequence[np.ndarray], positions: Sequence[int]) -> Batch:
        index = self._kept[np.array(positions, np.int64)].astype(np.int64)
        rows = self.source.text_index[index]
        # In evaluation the words must not help to read the images, so there the width is that of the images.
        least = width_for_steps(int(self._labels.required[rows].max())) if self.is_training and len(rows) else 1
        return Batch(to_batch(images, self.spec, least), self._labels.padded(rows, self.label_width),
                     self._labels.length[rows].astype(np.int32), [self.source.texts[row] for row in rows],
                     [self.source.reference(i) for i in index], index)

    def _fill_up(self, images: list, positions: list, order: np.ndarray, epoch: int, step: int) -> None:
        """Takes other samples for those that could not be read: from the left-over ones first, then the next ones."""
        used = self._steps * self.batch_size
        left_over = len(order) - used
        last = (step + 1) * self.batch_size
        # Starting at the step: batches of different steps rarely meet at the same left-over sample.
        spare = ((used + (step + k) % left_over, 0) for k in range(left_over))
        following = (((last + k) % used, 1) for k in range(used - self.batch_size))
        failed = 0
        for place, repeats in itertools.chain(spare, following):
            if len(images) == self.batch_size:
                return
            image = self._load(order[place], epoch, place)
            if image is None:
                failed += 1
                if failed > 1000 + 10 * self.batch_size:
                    break
                continue
            images.append(image)
            positions.append(order[place])
            if repeats:
                with self._lock:
                    self.repeated += 1
        if len(images) < self.batch_size:
            raise self._nothing_readable()

    def _load(self, position: int, epoch: int, place: int) -> np.ndarray | None:
        """The resized image of one sample, not yet padded; None where it cannot be read; (height, width, 3) uint8."""
        number = int(self._kept[position])
        if number in self._unreadable:
            return None
        try:
            data = self.source.read(number)
        except DataError as error:
            return self._note(number, str(error))
        try:
            image = decode_image(data)
        except DataError as error:
            return self._note(number, f"{self.source.location(number)}: {error}")
        if self.augment is not None:
            # Philox takes its key as it is; the seed sequence of default_rng takes half as long again.
            key = np.array([(self.seed % 2**32) << 32 | epoch % 2**32, place % 2**32 << 32 | number], np.uint64)
            image = self.augment(image, np.random.Generator(np.random.Philox(key=key)))
        if self.spec.keep_ratio and self.spec.fitted_width(image) > self.spec.widths[-1]:
            with self._lock:
                self.squeezed += 1
        return resize(image, self.spec)

    def _note(self, number: int, reason: str) -> None:
        """Counts an unreadable image and names it, once."""
        with self._lock:
            if number in self._unreadable:
                return
            self._unreadable[number] = reason
            self.corrupted.append(self.source.reference(number))
            count = len(self.corrupted)
        if count <= _NAMED_WARNINGS:
            print(f"warning: skipped {reason}", file=sys.stderr)
        if count == _NAMED_WARNINGS:
            print("warning: further unreadable images are counted, not named", file=sys.stderr)

    def _nothing_readable(self) -> DataError:
        return DataError(f"{self.source.name}: too few images can be read, {len(self._unreadable)} cannot; the first: "
                         f"{next(iter(self._unreadable.values()))}")


class _Columns:
    """Gives MindSpore the images and labels of the batches, an epoch each pass."""

    def __init__(self, batches: WordBatches):
        self._batches = batches

    def __len__(self) -> int:
        return self._batches.get_dataset_size()

    def __iter__(self):
        # A generator: MindSpore also calls iter() just to look, and only a pass that is used may count as an epoch.
        for batch in self._batches:
            yield batch.image, batch.label
