"""A pack: real word images of one input size in one file, to take along to a machine that has no data set of its own.

The file is an .npz: ``width``; ``data``, all images as WebP one behind the other; ``ends``, where each one ends in it;
``texts``, ``sets`` and ``weights`` of the images.
"""
import zipfile
import zlib

import cv2
import numpy as np

from src.common.errors import CheckpointError
from tools.word_feed import CHARSET, Chunk, Layout


def write_pack(path: str, layout: Layout, images: list[bytes], texts: list[str], sets: list[str],
               weights: list[float]) -> None:
    """Writes a pack of encoded images."""
    np.savez(path, width=layout.width, data=np.frombuffer(b"".join(images), np.uint8),
             ends=np.cumsum([len(image) for image in images]), texts=np.array(texts), sets=np.array(sets),
             weights=np.array(weights, np.float32))


def read_pack(path: str, layout: Layout) -> tuple[Chunk, np.ndarray, np.ndarray]:
    """Reads a pack.

    Returns:
        Images with labels, the name of each one's set, and how often it is to be drawn, relative to the others.

    Raises:
        CheckpointError: no pack, damaged, of another width, or with an image of another size.
    """
    try:
        with np.load(path) as arrays:
            width, data, ends = int(arrays["width"]), arrays["data"], arrays["ends"]
            texts, sets, weights = arrays["texts"], arrays["sets"], arrays["weights"]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path} is no pack of words, or it is damaged: give a file of tools/pack_words.py "
                              f"({error})") from error
    if width != layout.width:
        raise CheckpointError(f"{path} holds images of {width} columns: give --width {width}, or pack the words again")
    images = np.empty((len(ends), *layout.image_shape), np.uint8)
    labels = np.full((len(ends), layout.columns), CHARSET.blank, np.uint8)
    lengths = np.empty(len(ends), np.uint8)
    for place, (start, end, text) in enumerate(zip([0, *ends[:-1]], ends, texts.tolist(), strict=True)):
        image = cv2.imdecode(data[start:end], cv2.IMREAD_COLOR)
        if image is None or image.shape != layout.image_shape:
            raise CheckpointError(f"{path}: image {place} is damaged or has another size: pack the words again")
        images[place] = image
        classes = CHARSET.encode(text)
        labels[place, :len(classes)], lengths[place] = classes, len(classes)
    return Chunk(images, labels, lengths), sets, weights
