"""A picture of a training batch: what the network is fed, after augmentation and preprocessing, with the labels."""
from typing import Any

import cv2
import numpy as np

from src.common.charset import Charset
from src.common.picture import write_picture
from src.data.batches import Batch, WordBatches
from src.data.preprocess import InputSpec
from src.render.sheet import contact_sheet

_LARGEST = 120  # images a picture shows
_COLUMNS = 6


def input_images(images: np.ndarray, spec: InputSpec) -> list[np.ndarray]:
    """Network input (N, 3, H, W) float32 back to pictures (H, W, 3) uint8 BGR."""
    pixels = np.clip(np.rint(images * spec.scale + spec.mean), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in pixels]


def draw_batch(batch: Batch, spec: InputSpec, charset: Charset) -> np.ndarray:
    """Draws up to 120 images of a batch with their labels, as the loss gets them, below; (H, W, 3) uint8 BGR."""
    cells = []
    for image, label, length in zip(input_images(batch.image, spec), batch.label, batch.label_length, strict=True):
        # Enlarged without smoothing: a pixel of the input stays a pixel.
        large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) if image.shape[1] <= 200 else image
        cells.append((charset.decode(label[:length]), large))
    return contact_sheet(cells[:_LARGEST], _COLUMNS)


def show_batch(dataset: WordBatches, charset: Charset, path: str, epoch: int = 0) -> int:
    """Writes the picture of the first batch of an epoch; returns how many images it shows.

    Args:
        dataset: the training batches.
        charset: of their labels.
        path: of the picture, ending in .png or .jpg.
        epoch: from 0.

    Raises:
        DataError: the ending is another, or no image can be read.
    """
    batches: Any = dataset.epoch(epoch)
    batch = next(batches)
    batches.close()
    write_picture(path, draw_batch(batch, dataset.spec, charset))
    return min(len(batch), _LARGEST)
