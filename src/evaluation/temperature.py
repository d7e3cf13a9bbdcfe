"""The run of fit_temperature.py: class scores of labelled words, and the temperature that makes the confidence true."""
import os

import numpy as np

from src.common.charset import Charset, normalise
from src.common.errors import ConfigError, DataError
from src.common.files import write_text
from src.data.embedded import fill_in_data
from src.dataset import create_dataset
from src.metric import expected_calibration_error, fit_temperature
from src.model_utils.config import Config
from src.reading.greedy import GreedyDecoder
from src.reading.reading import Forward, Reading
from src.recogniser import open_with_mindspore
from src.report.benchmarks import BENCHMARKS


def run(config: Config) -> int:
    """Sets MindSpore up, then fits with the network that is configured; returns the exit code.

    Raises:
        CRNNError: an option, the data or the checkpoint cannot be used.
    """
    forward, charset, description = open_with_mindspore(config)
    print(description, flush=True)
    return fit(config, forward, charset)


def fit(config: Config, forward: Forward, charset: Charset) -> int:
    """Fits on the training words of the configuration and writes ``temperature.yaml``; returns the exit code.

    Raises:
        ConfigError: the set has no path, or these are the words of a benchmark.
        DataError: the data cannot be read, or all words were read right, or none.
    """
    logits, texts = read_words(config, forward)

    def read(temperature: float = 1.0) -> list[Reading]:
        decoder = GreedyDecoder(charset, temperature)
        return [reading for scores in logits for reading in decoder(scores)]

    def confidences(temperature: float, part: slice) -> np.ndarray:
        return np.array([reading.confidence for reading in read(temperature)])[part]

    right = np.array([reading.text == normalise(text, charset) for reading, text in zip(read(), texts, strict=True)])
    if right.all() or not right.any():
        raise DataError(f"{'all' if right.all() else 'none'} of the {len(right)} words were read right, which tells "
                        "nothing about confidence; take other words")
    first, second = slice(0, len(right) // 2), slice(len(right) // 2, None)
    trial = fit_temperature(lambda t: confidences(t, first), right[first])
    before, after = (expected_calibration_error(confidences(t, second), right[second])
                     for t in (config.temperature, trial))
    temperature = fit_temperature(lambda t: confidences(t, slice(None)), right)
    print(f"{len(right)} words, {100 * right.mean():.2f} % of them read right\n"
          f"calibration error (ECE) on one half: {before:.4f}; {after:.4f} with the temperature {trial:.4f} fitted on "
          f"the other half\ntemperature fitted on all: {temperature:.4f}")
    path = os.path.join(config.output_dir, "temperature.yaml")
    write_text(path, f"# {len(right)} words of {config.train_dataset} {config.train_dataset_path}, "
                     f"{config.checkpoint_path}\ntemperature: {temperature:.4f}\n")
    print(f"{path}: use it with --config_path={path}")
    return 0


def read_words(config: Config, forward: Forward) -> tuple[list[np.ndarray], list[str]]:
    """Class scores (T, N, C) of batches, and texts, of ``temperature_words`` training words drawn at random.

    Raises:
        ConfigError: the set has no path, or these are the words of a benchmark.
        DataError: the data cannot be read.
    """
    fill_in_data(config, "train_dataset")
    config.augment, config.augment_strengths = "none", ""
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, config=config)
    print(f"data: {config.train_dataset} {config.train_dataset_path}\n{dataset.report.summary()}", flush=True)
    for benchmark in BENCHMARKS:
        if (benchmark.dataset, benchmark.words) == (config.train_dataset, len(dataset.source)):
            raise ConfigError(f"{config.train_dataset_path} holds {benchmark.words} words, as the benchmark "
                              f"{benchmark.title} does; a temperature fitted on test words would be no measurement, "
                              "give training words")
    logits, texts = [], []
    for batch in dataset.epoch(0):
        wanted = config.temperature_words - len(texts)
        logits.append(forward(batch.image)[:, :wanted])
        texts += batch.text[:wanted]
        if len(texts) == config.temperature_words:
            break
    return logits, texts
