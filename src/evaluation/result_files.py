"""The result files of the C++ program in ascend310_infer/: read, and scored against the true words."""
import os
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from src.common.charset import Charset, normalise
from src.common.errors import ConfigError, DataError
from src.data.protocol import select_words
from src.data.source import WordSource
from src.dataset import open_source
from src.metric import evaluate_readings, result_lines
from src.model_utils.config import Config
from src.reading.greedy import GreedyDecoder

_NAMED = 5


def score(config: Config) -> int:
    """Scores as configured; returns 1 when words have no result.

    Raises:
        ConfigError: no annotation or no folder of results is named.
        DataError: files that cannot be used, or no result at all.
    """
    for key in ("ann_file", "result_path"):
        if not getattr(config, key):
            raise ConfigError(f"{key} is empty; add --{key}=...")
    charset = Charset.from_config(config.label_dict)
    decoder = GreedyDecoder(charset)
    source = open_source(config.dataset, config.ann_file, "test")
    selection = select_words(source, config.eval_protocol)
    counts = set(selection.numbers.tolist())
    truths, readings, missing = [], [], []
    for word, path in result_files(source, config.result_path):
        if word not in counts:
            continue
        if not os.path.isfile(path):
            missing.append(path)
            continue
        reading = decoder(read_logits(path, charset.class_num, config))[0]
        truths.append(source.text(word))
        readings.append(reading)
        if config.print_predictions:
            print(f"prediction: {normalise(reading.text, charset)} , truth: {normalise(truths[-1], charset)} , {path}")
    if not truths:
        raise DataError(f"{config.result_path} holds none of the {len(missing)} result files of {config.ann_file}, "
                        f"such as {os.path.basename(missing[0])}")
    result = evaluate_readings(truths, readings, charset)
    print(f"{config.dataset}: {selection.summary()}")
    print(result_lines(result.correct, result.total)[0])
    print(f"result CRNNAccuracy is: {result.accuracy}", flush=True)
    if missing:
        print(f"{len(missing)} of {len(counts)} words have no result file and are not counted: "
              f"{', '.join(missing[:_NAMED])}{', ...' if len(missing) > _NAMED else ''}", file=sys.stderr)
    return 1 if missing else 0


def result_files(source: WordSource, result_path: str) -> Iterator[tuple[int, str]]:
    """Yields the number of each word and the path of its result, ``<image stem>_0.bin``.

    Args:
        source: the words.
        result_path: the folder of the results, or for a single word its file.

    Raises:
        DataError: no such folder, or two images would share a result.
    """
    if os.path.isfile(result_path):
        stem = os.path.basename(result_path).removesuffix("_0.bin")
        words = [i for i in range(len(source)) if PurePosixPath(source.reference(i)).stem == stem]
        if not words:
            raise DataError(f"{result_path} belongs to no image of the annotation")
        yield words[0], result_path
        return
    if not os.path.isdir(result_path):
        raise DataError(f"result_path {result_path} does not exist; give the folder of the result files")
    seen: dict[str, str] = {}
    for i in range(len(source)):
        image = source.reference(i).replace("\\", "/")
        stem = PurePosixPath(image).stem
        if seen.setdefault(stem, image) != image:
            raise DataError(f"images {seen[stem]} and {image} share the result file {stem}_0.bin; give images names of "
                            "their own and run the inference again")
        yield i, os.path.join(result_path, f"{stem}_0.bin")


def read_logits(path: str, class_num: int, config: Config) -> np.ndarray:
    """Reads a result file, float32 or float16 as its size tells; (T, 1, class_num) float32.

    Raises:
        DataError: it has another size than one image gives, or holds values that are not finite.
    """
    with open(path, "rb") as file:
        data = file.read()
    count = config.num_step * class_num
    kinds = {4 * count: np.float32, 2 * count: np.float16}
    if len(data) not in kinds:
        raise DataError(f"{path} has {len(data)} bytes, but {config.num_step} steps of {class_num} classes (num_step "
                        f"of image_width, label_dict) make {4 * count} in float32 or {2 * count} in float16")
    logits = np.frombuffer(data, kinds[len(data)]).astype(np.float32).reshape(config.num_step, 1, class_num)
    if not np.isfinite(logits).all():
        raise DataError(f"{path} holds values that are not finite; run the inference again, or check the model")
    return logits
