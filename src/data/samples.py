"""Samples one by one: read, decoded, augmented and resized, with account of those that cannot be read."""
import itertools
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np

from src.common.errors import DataError
from src.data.augment import DRAWS, Augmenter
from src.data.preprocess import InputSpec, decode_image, resize
from src.data.source import WordSource

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
# Numbers of unreadable images with the reasons, ``repeated`` and ``squeezed`` of a worker process.
WorkerReport = tuple[list[tuple[int, str]], int, int]

_HELD = 4 << 20  # bytes of images that are held as they came, to be augmented together: a batch of words, not of pages
_NAMED_WARNINGS = 100  # further corrupted images are counted and kept in the list, but no longer printed one by one


class SampleReader:
    """Makes the images of samples ready for a batch; several threads may use it.

    Args:
        source: the images and words.
        numbers: (K,) numbers of the samples to use; a position is a place in it.
        spec: the network input.
        seed: of the augmentation.
        augment: see :class:`src.data.batches.WordBatches`.

    Attributes:
        corrupted: references of the images that could not be read, each once, in the order they were met.
        repeated: how often a sample had to come twice in an epoch in place of an unreadable one.
        squeezed: with ``keep_ratio``, how often an image was narrowed to the largest width.
    """

    def __init__(self, source: WordSource, numbers: np.ndarray, spec: InputSpec, seed: int, augment: Augment | None):
        self.source, self.spec, self.seed, self.augment = source, spec, seed, augment
        self.corrupted: list[str] = []
        self.repeated = self.squeezed = 0
        self._numbers = numbers
        self._unreadable: dict[int, str] = {}
        self._lock = threading.Lock()
        self._reported: int | None = None  # in a worker process: how many unreadable images its parent knows of

    def read(self, planned: Sequence[int] | np.ndarray, epoch: int, first: int) -> tuple[list[np.ndarray], list[int]]:
        """Images and positions of those of the planned samples that can be read.

        Args:
            planned: positions of neighbours in the order of the epoch.
            epoch: its number.
            first: place of the first of them in the order.
        """
        return self._load(planned, epoch, range(first, first + len(planned)))

    def fill_up(self, images: list, positions: list, order: np.ndarray, epoch: int, step: int, steps: int,
                batch_size: int) -> None:
        """Takes other samples for those that could not be read: from the left-over ones first, then the next ones.

        Where all of these fail, too, the batch stays smaller.
        """
        used = steps * batch_size
        left_over = len(order) - used
        last = (step + 1) * batch_size
        # Starting at the step: batches of different steps rarely meet at the same left-over sample.
        spare = ((used + (step + k) % left_over, 0) for k in range(left_over))
        following = (((last + k) % used, 1) for k in range(used - batch_size))
        failed = 0
        for place, repeats in itertools.chain(spare, following):
            if len(images) == batch_size:
                return
            found, _ = self._load(order[place:place + 1], epoch, [place])
            if not found:
                failed += 1
                if failed > 1000 + 10 * batch_size:
                    return
                continue
            images += found
            positions.append(order[place])
            if repeats:
                with self._lock:
                    self.repeated += 1

    def _load(self, planned: Sequence[int] | np.ndarray, epoch: int,
              places: Sequence[int]) -> tuple[list[np.ndarray], list[int]]:
        """Resized images, not yet padded, (height, width, 3) uint8 each, and positions of the samples that are read."""
        images: list[np.ndarray] = []
        positions: list[int] = []
        waiting: list[tuple[np.ndarray, int, int]] = []
        size = 0
        for position, place in zip(planned, places, strict=True):
            number = int(self._numbers[position])
            image = self._decoded(number)
            if image is None:
                continue
            positions.append(position)
            waiting.append((image, number, place))
            size += image.size
            if size > _HELD:
                images += self._resized(waiting, epoch)
                waiting, size = [], 0
        return images + self._resized(waiting, epoch), positions

    def _resized(self, decoded: list[tuple[np.ndarray, int, int]], epoch: int) -> list[np.ndarray]:
        """What a batch is made of, of images with the number and the place of each."""
        images = [image for image, _, _ in decoded]
        if self.augment is not None:
            images = self._augmented(self.augment, images, [number for _, number, _ in decoded], epoch,
                                     [place for _, _, place in decoded])
        if self.spec.keep_ratio:
            squeezed = sum(self.spec.fitted_width(image) > self.spec.widths[-1] for image in images)
            if squeezed:
                with self._lock:
                    self.squeezed += squeezed
        return [resize(image, self.spec) for image in images]

    def _decoded(self, number: int) -> np.ndarray | None:
        """One image as it is in the set; None where it cannot be read."""
        if number in self._unreadable:
            return None
        try:
            data = self.source.read(number)
        except DataError as error:
            self.note(number, str(error))
            return None
        try:
            return decode_image(data)
        except DataError as error:
            self.note(number, f"{self.source.location(number)}: {error}")
            return None

    def _augmented(self, augment: Augment, images: list[np.ndarray], numbers: list[int], epoch: int,
                   places: list[int]) -> list[np.ndarray]:
        # Philox takes its key as it is; the seed sequence of default_rng takes half as long again.
        keys = [np.array([(self.seed % 2**32) << 32 | epoch % 2**32, place % 2**32 << 32 | number], np.uint64)
                for number, place in zip(numbers, places, strict=True)]
        if not isinstance(augment, Augmenter):
            return [augment(image, np.random.Generator(np.random.Philox(key=key)))
                    for image, key in zip(images, keys, strict=True)]
        # The same numbers as from a new generator for each image, which takes four times as long to make.
        philox = np.random.Philox(key=0)
        generator, state = np.random.Generator(philox), philox.state
        draws = np.empty((len(images), DRAWS))
        for row, key in zip(draws, keys, strict=True):
            state["state"]["key"] = key
            philox.state = state
            generator.random(out=row)
        return augment.several(images, draws)

    def note(self, number: int, reason: str) -> None:
        """Counts an unreadable image and names it, once."""
        with self._lock:
            if number in self._unreadable:
                return
            self._unreadable[number] = reason
            if self._reported is not None:
                return
            self.corrupted.append(self.source.reference(number))
            count = len(self.corrupted)
            # With the lock held: print writes a line and its end one after the other, and threads came in between.
            if count <= _NAMED_WARNINGS:
                print(f"warning: skipped {reason}", file=sys.stderr)
            if count == _NAMED_WARNINGS:
                print("warning: further unreadable images are counted, not named", file=sys.stderr)

    def nothing_readable(self) -> DataError:
        """The error of a set without readable images."""
        return DataError(f"{self.source.name}: too few images can be read, {len(self._unreadable)} cannot; the first: "
                         f"{next(iter(self._unreadable.values()))}")

    def enter_worker(self) -> None:
        """Makes this copy, in a process just forked, report to its parent instead of printing."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._reported = len(self._unreadable)
        self.repeated = self.squeezed = 0

    def take_report(self) -> WorkerReport:
        """In a worker process: unreadable images, ``repeated`` and ``squeezed`` since the last call."""
        known = self._reported or 0
        report = list(self._unreadable.items())[known:] if len(self._unreadable) > known else []
        counts = self.repeated, self.squeezed
        self._reported, self.repeated, self.squeezed = len(self._unreadable), 0, 0
        return report, *counts

    def add_report(self, report: WorkerReport) -> None:
        """In the parent: takes over what a worker process has met."""
        for number, reason in report[0]:
            self.note(number, reason)
        self.repeated += report[1]
        self.squeezed += report[2]
