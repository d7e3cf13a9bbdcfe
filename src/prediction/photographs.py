"""The body of ``predict.py --find_words``: the words of whole photographs, with their boxes, in reading order."""
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from src.common.errors import DataError
from src.common.files import keep_all_apart, printable
from src.common.picture import check_picture, write_picture
from src.common.progress import Progress
from src.model_utils.config import Config
from src.photographs.detector import TextDetector
from src.photographs.draw import draw_words
from src.photographs.words import FoundWord, cut_words, reading_order
from src.prediction.readings import ReadingPrinter
from src.prediction.run import image_paths, read_images
from src.recogniser import Recogniser, Result


def read_words(photograph: np.ndarray, detector: TextDetector, recogniser: Recogniser
               ) -> list[tuple[FoundWord, Result]]:
    """Finds the words of a photograph and reads them, in reading order.

    Args:
        photograph: (H, W, 3) uint8 BGR.
        detector: finds the lines.
        recogniser: reads the words.
    """
    lines = detector.find(photograph)
    words = cut_words(photograph, [lines[number] for number in reading_order(lines)])
    return list(zip(words, recogniser.read_arrays([word.image for word in words]), strict=True))


def predict_photographs(config: Config, pipe: BinaryIO) -> int:
    """Reads the photographs that a configuration names; every fault of one is told, and the others are read.

    Args:
        config: of predict.py, with find_words.
        pipe: where a photograph named ``-`` comes from.

    Returns:
        The exit code: 1 when a photograph could not be read.

    Raises:
        DataError: none is named, or a folder holds none.
        ConfigError, CheckpointError: the detector, the network or the decoder cannot be had.
    """
    paths, missing = image_paths(config.arguments)
    pictures = dict(zip(paths, _picture_names(config.picture, paths), strict=True))
    if config.picture:
        check_picture(config.picture)
    keep_all_apart(pictures.values(), paths)
    detector = TextDetector()
    recogniser = Recogniser.from_config(config)
    print(f"{recogniser.description}; {recogniser.decoding.description}; words are found by RapidOCR's detector",
          file=sys.stderr, flush=True)
    printer = ReadingPrinter(config.output, config.top, with_boxes=True)
    failed = len(missing)
    for argument, error in missing:
        print(f"error: {error}", file=sys.stderr)
        printer.add_failure(argument, str(error))
    with Progress(len(paths), "reading", enabled=config.show_progress != "never" and len(paths) > 1) as progress:
        for path, image in _each(paths, pipe):
            progress.clear()
            if isinstance(image, DataError):
                failed += 1
                print(f"error: {image}", file=sys.stderr)
                printer.add_failure(path, str(image))
            else:
                found = read_words(image, detector, recogniser)
                for word, result in found:
                    printer.add(path, result, word.corners)
                if not found:
                    print(f"note: no words found on {printable(path)}", file=sys.stderr)
                if config.picture:
                    picture = draw_words(image, [(word.corners, result.text) for word, result in found if result.text])
                    write_picture(pictures[path], picture)
                    print(f"picture: {printable(pictures[path])}", file=sys.stderr)
            sys.stdout.flush()
            progress.update(1)
    printer.close()
    if failed:
        print(f"{failed} of {len(paths) + len(missing)} images could not be read", file=sys.stderr)
    return 1 if failed else 0


def _each(paths: Sequence[str], pipe: BinaryIO) -> Iterator[tuple[str, np.ndarray | DataError]]:
    for path in paths:
        one = next(read_images([path], pipe))
        yield path, one if isinstance(one, DataError) else one[1]


def _picture_names(picture: str, paths: Sequence[str]) -> list[str]:
    """The file for each photograph: the one named, or for several that name with a number."""
    if len(paths) == 1 or not picture:
        return [picture] * len(paths)
    stem, ending = os.path.splitext(picture)
    return [f"{stem}_{number}{ending}" for number in range(1, len(paths) + 1)]
