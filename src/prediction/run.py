"""The body of predict.py: finds the images, reads them in batches, prints and draws what was read."""
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from src.common.errors import DataError
from src.common.files import keep_apart, printable
from src.common.progress import Progress
from src.common.system import loading
from src.data.image_files import find_images
from src.data.preprocess import decode_image, read_bytes
from src.model_utils.config import Config
from src.prediction.image_remarks import remarks
from src.prediction.readings import ReadingPrinter
from src.recogniser import PRETRAINED_ONNX, Recogniser

STANDARD_INPUT = "-"


def predict(config: Config, pipe: BinaryIO) -> int:
    """Reads the images that a configuration names; every fault of one image is told, and the others are read.

    Args:
        config: of predict.py; its arguments are files, folders and ``-``.
        pipe: where an image named ``-`` comes from.

    Returns:
        The exit code: 1 when an image could not be read.

    Raises:
        DataError: no image is named, or a folder holds none.
        ConfigError, CheckpointError: the network or the decoder cannot be had.
    """
    paths, missing = image_paths(config.arguments)
    if config.picture:
        from src.common.picture import check_picture  # here: without a picture nothing is drawn

        check_picture(config.picture)
        keep_apart(config.picture, paths)
    config.batch_size = min(config.batch_size, len(paths))
    given = bool(config.onnx_file or config.checkpoint_path)
    with loading():
        recogniser = Recogniser.from_config(config)
        decoding = recogniser.decoding  # faults of the decoder come before the first reading
    if not given and config.onnx_file:
        print(f"no onnx_file or checkpoint_path given: using {PRETRAINED_ONNX}", file=sys.stderr)
    print(f"{recogniser.description}; {decoding.description}", file=sys.stderr, flush=True)
    printer = ReadingPrinter(config.output, config.top)
    shown, failed = [], len(missing)
    for argument, error in missing:
        print(f"error: {error}", file=sys.stderr)
        printer.add_failure(argument, str(error))
    with Progress(len(paths), "reading", enabled=config.show_progress != "never" and len(paths) > 1) as progress:
        for first in range(0, len(paths), config.batch_size):
            some = paths[first:first + config.batch_size]
            images = [*read_images(some, pipe)]
            results = iter(recogniser.read_arrays([one[1] for one in images if not isinstance(one, DataError)]))
            progress.clear()
            for path, one in zip(some, images, strict=True):
                if isinstance(one, DataError):
                    failed += 1
                    print(f"error: {one}", file=sys.stderr)
                    printer.add_failure(path, str(one))
                    continue
                data, image = one
                result = next(results)
                printer.add(path, result)
                for remark in remarks(data, image, result, config.rotate_tall):
                    print(f"note: {printable(path)} {remark}", file=sys.stderr)
                if config.picture:
                    shown.append((image, result.text, result.confidence, path))
            sys.stdout.flush()
            progress.update(len(some))
    printer.close()
    for line in decoding.report():
        print(line, file=sys.stderr)
    if shown:
        from src.prediction.reading_sheet import draw_readings  # here: as above

        draw_readings(config.picture, shown)
        print(f"picture: {config.picture}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(paths) + len(missing)} images could not be read", file=sys.stderr)
    return 1 if failed else 0


def image_paths(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, DataError]]]:
    """The images of all arguments in order, and the arguments that lead to none with the reason.

    Raises:
        DataError: not one image.
    """
    paths, missing = [], []
    for argument in arguments or find_images(()):
        try:
            paths += [argument] if argument == STANDARD_INPUT else find_images((argument,))
        except DataError as error:
            missing.append((argument, error))
    if not paths:
        raise missing[0][1]
    return paths, missing


def read_images(paths: list[str], pipe: BinaryIO) -> Iterator[tuple[bytes, np.ndarray] | DataError]:
    """The bytes and the pixels of each image, or what is wrong with it."""
    for path in paths:
        name = "standard input" if path == STANDARD_INPUT else os.fsdecode(path)
        try:
            data = pipe.read() if path == STANDARD_INPUT else read_bytes(path)
        except DataError as error:
            yield error
            continue
        try:
            yield data, decode_image(data)
        except DataError as error:
            yield DataError(f"{name}: {error}")
