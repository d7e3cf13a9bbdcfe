"""Speed and exactness of the decoders, as Markdown tables.

    python benchmarks/bench_decode.py --lexicon words.txt [--images 512] [--batch 64]
    python benchmarks/bench_decode.py --lexicon words.txt --checkpoint_path X.ckpt --dataset iiit5k --dataset_path DIR

Without a checkpoint the logits are simulated: one peak per character of a lexicon word, blanks between, and noise of a
strength that differs from image to image. The decoders take turns, all in one process; in a turn each reads all images,
again and again until it has had its share of --seconds. Rates are medians of the turns, by CPU seconds of the process
and by the clock: numpy runs these decoders on one core. Beam search of other libraries is measured too, as far as they
are installed (see decode_libraries.py).
"""
import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.decode_libraries import PACKAGES, installed  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402
from src.common.charset import Charset, normalise  # noqa: E402
from src.common.errors import ConfigError, run_main  # noqa: E402
from src.metric import evaluate_readings, fit_temperature  # noqa: E402
from src.reading import ctc  # noqa: E402
from src.reading.beam import BeamDecoder  # noqa: E402
from src.reading.greedy import GreedyDecoder  # noqa: E402
from src.reading.lexicon_decoder import LexiconDecoder  # noqa: E402
from src.reading.model_training import train_model  # noqa: E402
from src.reading.reading import Reading  # noqa: E402
from src.reading.word_list import read_words  # noqa: E402

_SIMULATED = Charset("abcdefghijklmnopqrstuvwxyz0123456789")


def simulated(words: list[str], count: int) -> tuple[np.ndarray, list[str], Charset]:
    """Logits (24, count, 37) of words of the lexicon, from easy to unreadable."""
    from tests.ctc_reference import word_logits
    rng = np.random.default_rng(1)
    words = [word for word in (words[i] for i in rng.integers(0, len(words), 2 * count))
             if len(word) <= 12 and normalise(word, _SIMULATED) == word][:count]
    if not words:
        raise ConfigError("the lexicon has no word of up to 12 small letters and digits")
    parts = [word_logits(rng, _SIMULATED, [word], noise=rng.uniform(0.8, 2.4)) for word in words]
    return np.concatenate(parts, axis=1), words, _SIMULATED


def from_checkpoint(path: str, dataset: str, dataset_path: str, count: int) -> tuple[np.ndarray, list[str], Charset]:
    """Logits of the first images of a data set."""
    from src.model_utils.config import load_config
    config = load_config([f"--checkpoint_path={path}"])
    from src.model_utils.context import set_up_context
    set_up_context(config, own_operators=True)
    from src.dataset import create_dataset
    from src.network.trained import load_trained
    forward, charset = load_trained(config, 64)
    logits, texts = [], []
    for batch in create_dataset(dataset, dataset_path, 64, is_training=False, config=config):
        logits.append(forward(batch.image))
        texts.extend(batch.text)
        if len(texts) >= count:
            break
    return np.concatenate(logits, axis=1)[:, :count], texts[:count], charset


@dataclass
class Contender:
    """A decoder at its images; the turns fill in what it read and how many images a second.

    Attributes:
        name: for the table.
        read: reads the images from one number to another.
        images: how many there are.
        batch: images per call.
        readings: of the last turn.
        cpu: images per CPU second of each turn.
        wall: images per second of each turn.
    """

    name: str
    read: Callable[[int, int], list[Reading]]
    images: int
    batch: int
    readings: list[Reading] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        """Reads one batch."""
        self.read(0, min(self.batch, self.images))

    def turn(self, seconds: float) -> None:
        """Reads all images as often as it takes to use so many CPU seconds, once at least."""
        done, cpu, wall = 0, time.process_time(), time.perf_counter()
        while not done or time.process_time() - cpu < seconds:
            self.readings = [reading for start in range(0, self.images, self.batch)
                             for reading in self.read(start, min(start + self.batch, self.images))]
            done += self.images
        self.cpu.append(done / (time.process_time() - cpu))
        self.wall.append(done / (time.perf_counter() - wall))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        ConfigError: a number is out of range, or options do not go together.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lexicon", required=True, help="word list, one a line, as MJSynth's lexicon.txt")
    parser.add_argument("--images", type=int, default=512, help="images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images per call (default: %(default)s)")
    parser.add_argument("--exhaustive", type=int, default=128,
                        help="images on which every word is scored for comparison (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each row (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of each row, all its turns together; "
                        "all images are read in every turn even if that takes longer (default: %(default)s)")
    parser.add_argument("--checkpoint_path", help="read real images with this checkpoint instead")
    parser.add_argument("--dataset", default="iiit5k", help="their data set (default: %(default)s)")
    parser.add_argument("--dataset_path", help="its folder")
    args = parser.parse_args(argv)
    if min(args.images - 1, args.batch, args.exhaustive, args.repeats) < 1:
        raise ConfigError("--images must be 2 or more; --batch, --exhaustive and --repeats 1 or more")
    if args.checkpoint_path is not None and args.dataset_path is None:
        raise ConfigError("--checkpoint_path needs images to read: add --dataset_path DIR")
    return args


def contenders_for(logits: np.ndarray, texts: list[str], charset: Charset, words: list[str],
                   batch: int) -> tuple[list[Contender], dict[str, Contender], LexiconDecoder]:
    """All decoders, those that search the whole lexicon by what they are compared as, and the exact one of these."""
    count, rng = logits.shape[1], np.random.default_rng(2)
    contenders: list[Contender] = []

    def add(name: str, read: Callable[[int, int], list[Reading]], images: int = count, batch: int = batch) -> Contender:
        contenders.append(Contender(name, read, images, batch))
        return contenders[-1]

    greedy = GreedyDecoder(charset)
    # Each batch an array of its own, as a network hands it over.
    pieces = {a: np.ascontiguousarray(logits[:, a:a + batch]) for a in range(0, count, batch)}
    add("greedy", lambda a, b: greedy(pieces[a]))
    many = np.ascontiguousarray(np.concatenate([logits] * -(-2048 // count), axis=1)[:, :2048])
    quarter = {a: np.ascontiguousarray(many[:, a:a + 256]) for a in range(0, 2048, 256)}
    add("greedy", lambda a, b: greedy(quarter[a]), 2048, 256)
    add("greedy", lambda a, b: greedy(many), 2048, 2048)
    model, _ = train_model(words, charset)
    for name, beam in (("beam 10", BeamDecoder(charset)),
                       ("beam 10 with language model", BeamDecoder(charset, language_model=model))):
        add(name, lambda a, b, beam=beam: beam(logits[:, a:b]))
    for name, beam in installed(charset, 10).items():
        add(name, lambda a, b, beam=beam: beam(logits[:, a:b]))
    for size in (50, 1000):
        lexicons = [[text, *(words[i] for i in rng.integers(0, len(words), size - 1))] for text in texts]
        small = LexiconDecoder(charset)
        add(f"lexicon of {size} words per image, truth inside",
            lambda a, b, small=small, lexicons=lexicons: small(logits[:, a:b], lexicons[a:b]))
    exact = LexiconDecoder(charset, words)
    found = {"exact search": add(f"lexicon of {len(words)} words, exact search", lambda a, b: exact(logits[:, a:b]))}
    for delta in (1, 2, 3):
        near = LexiconDecoder(charset, words, delta)
        found[f"delta {delta}"] = add(f"lexicon of {len(words)} words, delta {delta}",
                                      lambda a, b, near=near: near(logits[:, a:b]))
    return contenders, found, exact


def print_speeds(contenders: list[Contender], texts: list[str], charset: Charset) -> None:
    """Prints a row for each decoder."""
    print("| decoder | images per call | images / CPU second | images / wall second | word accuracy | ECE |\n"
          "|---|---|---|---|---|---|")
    for contender in contenders:
        result = evaluate_readings(texts, contender.readings[:len(texts)], charset)
        ece = f"{result.ece:.4f}" if result.mean_confidence else "–"  # other libraries give none
        print(f"| {contender.name} | {contender.batch} | {statistics.median(contender.cpu):,.0f} "
              f"| {statistics.median(contender.wall):,.0f} | {100 * result.accuracy:.2f} % | {ece} |")


def print_agreement(found: dict[str, Contender], exact: LexiconDecoder, logits: np.ndarray, charset: Charset,
                    exhaustive: int, repeats: int) -> None:
    """Prints how often the searches of the whole lexicon find the word that scoring every word finds."""
    count = logits.shape[1]
    some = np.arange(min(exhaustive, count))
    parts = [part for part in np.array_split(some, repeats) if len(part)]
    em, best, speeds = ctc.emissions(logits, charset.class_num), [], []
    for part in parts:
        start = time.process_time()
        best.extend(exact.lexicon.exhaustive(em, part)[0])
        speeds.append(len(part) / (time.process_time() - start))
    print(f"\nScoring all {len(exact.lexicon.words)} words on {len(some)} images: {statistics.median(speeds):.1f} "
          f"images / CPU second, the median of {len(parts)} parts of them.\n\n"
          f"| same word | as scoring all ({len(some)} images) | as the exact search ({count} images) |\n"
          "|---|---|---|")
    for name, contender in found.items():
        same = sum(contender.readings[n].text == exact.lexicon.words[w] for n, w in zip(some, best, strict=True))
        agree = sum(a.text == b.text for a, b in zip(contender.readings, found["exact search"].readings, strict=True))
        print(f"| {name} | {100 * same / len(some):.2f} % | {100 * agree / count:.2f} % |")


def print_calibration(greedy: list[Reading], logits: np.ndarray, texts: list[str], charset: Charset) -> None:
    """Prints the calibration error of the greedy confidence, before and after a temperature is fitted."""
    right = np.array([normalise(t, charset) == r.text for t, r in zip(texts, greedy, strict=True)])
    half = len(texts) // 2
    temperature = fit_temperature(
        lambda t: np.array([r.confidence for r in GreedyDecoder(charset, t)(logits[:, :half])]), right[:half])
    errors = [evaluate_readings(texts[half:], GreedyDecoder(charset, t)(logits[:, half:]), charset).ece
              for t in (1.0, temperature)]
    print(f"\nCalibration of the greedy confidence on the second half: ECE {errors[0]:.4f}; {errors[1]:.4f} with the "
          f"temperature {temperature:.3f} fitted on the first half.")


def main(argv: list[str] | None = None) -> int:
    """Measures as the command line says; returns the exit code."""
    args = parse(argv)
    machine = machine_line(("numpy", *PACKAGES) if args.checkpoint_path is None else ("numpy", "mindspore", *PACKAGES))
    words = read_words(args.lexicon)
    logits, texts, charset = (simulated(words, args.images) if args.checkpoint_path is None else
                              from_checkpoint(args.checkpoint_path, args.dataset, args.dataset_path, args.images))
    count = logits.shape[1]
    if count < 2:
        raise ConfigError("there is only one image to read: two are needed")
    print(f"{machine}; medians of {args.repeats} interleaved turns\n"
          f"{count} images, logits {logits.shape}, {'simulated' if args.checkpoint_path is None else args.dataset}; "
          f"lexicon of {len(words)} words\n", flush=True)
    contenders, found, exact = contenders_for(logits, texts, charset, words, args.batch)
    for contender in contenders:
        contender.warm_up()
    for _ in range(args.repeats):
        for contender in contenders:
            contender.turn(args.seconds / args.repeats)
    print_speeds(contenders, texts, charset)
    print_agreement(found, exact, logits, charset, args.exhaustive, args.repeats)
    print_calibration(contenders[0].readings, logits, texts, charset)
    return 0


if __name__ == "__main__":
    run_main(main)
