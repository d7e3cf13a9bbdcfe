"""Speed and exactness of the decoders, as Markdown tables.

    python benchmarks/bench_decode.py --lexicon words.txt [--images 512] [--batch 64]
    python benchmarks/bench_decode.py --lexicon words.txt --checkpoint_path X.ckpt --dataset iiit5k --dataset_path DIR

Without a checkpoint the logits are simulated: one peak per character of a lexicon word, blanks between, and noise of a
strength that differs from image to image. Times are process CPU seconds (and wall seconds beside them): numpy runs
these decoders on one core, so two processes on two idle cores read twice the images per CPU second. Beam search of
other libraries is measured too, as far as they are installed (see decode_libraries.py).
"""
import argparse
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.decode_libraries import installed  # noqa: E402
from src import ctc  # noqa: E402
from src.charset import Charset  # noqa: E402
from src.decode import BeamDecoder, GreedyDecoder, LexiconDecoder, Reading  # noqa: E402
from src.errors import ConfigError, run_main  # noqa: E402
from src.language_model import CharacterModel  # noqa: E402
from src.metric import evaluate_readings, fit_temperature, normalise  # noqa: E402
from src.word_list import read_words  # noqa: E402

_SIMULATED = Charset("abcdefghijklmnopqrstuvwxyz0123456789")


def simulated(words: list[str], count: int) -> tuple[np.ndarray, list[str], Charset]:
    """Logits (24, count, 37) of words of the lexicon, from easy to unreadable."""
    from tests.ctc_reference import word_logits
    rng = np.random.default_rng(1)
    words = [word for word in (words[i] for i in rng.integers(0, len(words), 2 * count))
             if len(word) <= 12 and normalise(word, _SIMULATED) == word][:count]
    parts = [word_logits(rng, _SIMULATED, [word], noise=rng.uniform(0.8, 2.4)) for word in words]
    return np.concatenate(parts, axis=1), words, _SIMULATED


def from_checkpoint(path: str, dataset: str, dataset_path: str, count: int) -> tuple[np.ndarray, list[str], Charset]:
    """Logits of the first images of a data set."""
    from src.model_utils.config import load_config
    config = load_config([f"--checkpoint_path={path}"])
    from src.model_utils.context import set_up_context
    set_up_context(config, own_operators=True)
    from src.dataset import create_dataset
    from src.recogniser import load_recogniser
    forward, charset = load_recogniser(config, 64)
    logits, texts = [], []
    for batch in create_dataset(dataset, dataset_path, 64, is_training=False, config=config):
        logits.append(forward(batch.image))
        texts.extend(batch.text)
        if len(texts) >= count:
            break
    return np.concatenate(logits, axis=1)[:, :count], texts[:count], charset


def timed(read: Callable[[int, int], list[Reading]], images: int, batch: int,
          seconds: float) -> tuple[list[Reading], float, float]:
    """Reads all images again and again for some CPU seconds.

    Returns:
        The readings, and images per CPU and per wall second in the best fifth of that time: other processes of the
        machine slow this one down, nothing speeds it up.
    """
    read(0, min(batch, images))
    spent, fastest_cpu, fastest_wall = 0.0, 0.0, 0.0
    while spent < seconds:
        done, cpu, wall = 0, time.process_time(), time.perf_counter()
        while not done or time.process_time() - cpu < seconds / 5:
            readings = [r for start in range(0, images, batch) for r in read(start, min(start + batch, images))]
            done += images
        taken = time.process_time() - cpu
        spent += taken
        fastest_cpu = max(fastest_cpu, done / taken)
        fastest_wall = max(fastest_wall, done / (time.perf_counter() - wall))
    return readings, fastest_cpu, fastest_wall


def main(argv: list[str] | None = None) -> int:
    """Measures as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lexicon", required=True, help="word list, one a line, as MJSynth's lexicon.txt")
    parser.add_argument("--images", type=int, default=512, help="images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images per call (default: %(default)s)")
    parser.add_argument("--exhaustive", type=int, default=128,
                        help="images on which every word is scored for comparison (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds per row (default: %(default)s)")
    parser.add_argument("--checkpoint_path", help="read real images with this checkpoint instead")
    parser.add_argument("--dataset", default="iiit5k", help="their data set (default: %(default)s)")
    parser.add_argument("--dataset_path", help="its folder")
    args = parser.parse_args(argv)
    if min(args.images, args.batch, args.exhaustive) < 1:
        raise ConfigError("--images, --batch and --exhaustive must be 1 or more")
    if args.checkpoint_path is not None and args.dataset_path is None:
        raise ConfigError("--checkpoint_path needs images to read: add --dataset_path DIR")

    words = read_words(args.lexicon)
    logits, texts, charset = (simulated(words, args.images) if args.checkpoint_path is None else
                              from_checkpoint(args.checkpoint_path, args.dataset, args.dataset_path, args.images))
    count = logits.shape[1]
    rng = np.random.default_rng(2)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; "
          f"{count} images, logits {logits.shape}, {'simulated' if args.checkpoint_path is None else args.dataset}; "
          f"lexicon of {len(words)} words\n")
    print("| decoder | images per call | images / CPU second | images / wall second | word accuracy | ECE |\n"
          "|---|---|---|---|---|---|")

    def row(name: str, read: Callable[[int, int], list[Reading]], batch: int = args.batch, log=logits) -> list[Reading]:
        readings, cpu, wall = timed(read, log.shape[1], batch, args.seconds)
        result = evaluate_readings(texts, readings[:count], charset)
        ece = f"{result.ece:.4f}" if result.mean_confidence else "–"  # other libraries give none
        print(f"| {name} | {batch} | {cpu:,.0f} | {wall:,.0f} | {100 * result.accuracy:.2f} % | {ece} |", flush=True)
        return readings

    greedy = GreedyDecoder(charset)
    # Each batch an array of its own, as a network hands it over.
    pieces = {a: np.ascontiguousarray(logits[:, a:a + args.batch]) for a in range(0, count, args.batch)}
    plain = row("greedy", lambda a, b: greedy(pieces[a]))
    many = np.ascontiguousarray(np.concatenate([logits] * -(-2048 // count), axis=1)[:, :2048])
    quarter = {a: np.ascontiguousarray(many[:, a:a + 256]) for a in range(0, 2048, 256)}
    row("greedy", lambda a, b: greedy(quarter[a]), 256, many)
    row("greedy", lambda a, b: greedy(many), 2048, many)
    model, _ = CharacterModel.train(words, charset)
    for name, beam in (("beam 10", BeamDecoder(charset)),
                       ("beam 10 with language model", BeamDecoder(charset, language_model=model))):
        row(name, lambda a, b, beam=beam: beam(logits[:, a:b]))
    for name, beam in installed(charset, 10).items():
        row(name, lambda a, b, beam=beam: beam(logits[:, a:b]))
    for size in (50, 1000):
        lexicons = [[text, *(words[i] for i in rng.integers(0, len(words), size - 1))] for text in texts]
        small = LexiconDecoder(charset)
        row(f"lexicon of {size} words per image, truth inside",
            lambda a, b, small=small, lexicons=lexicons: small(logits[:, a:b], lexicons[a:b]))
    exact = LexiconDecoder(charset, words)
    found = {"exact search": row(f"lexicon of {len(words)} words, exact search", lambda a, b: exact(logits[:, a:b]))}
    for delta in (1, 2, 3):
        near = LexiconDecoder(charset, words, delta)
        found[f"delta {delta}"] = row(f"lexicon of {len(words)} words, delta {delta}",
                                      lambda a, b, near=near: near(logits[:, a:b]))

    some = np.arange(min(args.exhaustive, count))
    start = time.process_time()
    best, _ = exact.lexicon.exhaustive(ctc.emissions(logits, charset.class_num), some)
    speed = len(some) / (time.process_time() - start)
    print(f"\nScoring all {len(words)} words on {len(some)} images: {speed:.1f} images / CPU second.\n\n"
          f"| same word | as scoring all ({len(some)} images) | as the exact search ({count} images) |\n"
          "|---|---|---|")
    for name, readings in found.items():
        same = sum(readings[n].text == exact.lexicon.words[w] for n, w in zip(some, best, strict=True))
        agree = sum(a.text == b.text for a, b in zip(readings, found["exact search"], strict=True))
        print(f"| {name} | {100 * same / len(some):.2f} % | {100 * agree / count:.2f} % |")

    right = np.array([normalise(t, charset) == r.text for t, r in zip(texts, plain, strict=True)])
    half = count // 2
    temperature = fit_temperature(
        lambda t: np.array([r.confidence for r in GreedyDecoder(charset, t)(logits[:, :half])]), right[:half])
    errors = [evaluate_readings(texts[half:], GreedyDecoder(charset, t)(logits[:, half:]), charset).ece
              for t in (1.0, temperature)]
    print(f"\nCalibration of the greedy confidence on the second half: ECE {errors[0]:.4f}; {errors[1]:.4f} with the "
          f"temperature {temperature:.3f} fitted on the first half.")
    return 0


if __name__ == "__main__":
    run_main(main)
