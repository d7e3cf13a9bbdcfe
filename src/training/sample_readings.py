"""A few words of every evaluation while training, with what is read in them."""
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from src.common.picture import draw_sheet
from src.data.batches import Batch
from src.reading.reading import Reading

_COUNT = 16


class SampleReadings:
    """Remembers the first words of an evaluation; the same ones each time, so that one sees them get better.

    Args:
        mean: of the network's input, in grey levels.
        scale: of the network's input, in grey levels.
    """

    def __init__(self, mean: float, scale: float) -> None:
        self._mean, self._scale = mean, scale
        self._images: dict[str, np.ndarray] = {}
        self._found: dict[str, tuple[str, Reading]] = {}

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hands batches on and keeps the first images."""
        self._images, self._found = {}, {}
        for batch in batches:
            for reference, image in zip(batch.reference, batch.image, strict=True):
                if len(self._images) == _COUNT:
                    break
                self._images[reference] = image
            yield batch

    def note(self, references: Sequence[str], truths: Sequence[str], readings: Sequence[Reading]) -> None:
        """Takes note of words that were read; see :data:`src.evaluation.loop.OnWords`."""
        if len(self._found) < len(self._images):
            self._found |= {reference: (truth, reading) for reference, truth, reading
                            in zip(references, truths, readings, strict=True) if reference in self._images}

    def sheet(self) -> np.ndarray | None:
        """The images with their readings, (H, W, 3) uint8 BGR; None before the first evaluation."""
        shown = []
        for reference, (truth, reading) in self._found.items():
            levels = self._images[reference].transpose(1, 2, 0) * self._scale + self._mean
            image = np.ascontiguousarray(levels.round().clip(0, 255).astype(np.uint8))
            shown.append((image, reading.text, reading.confidence, truth))
        return draw_sheet(shown) if shown else None
