"""What a language model changes on labelled words, and the settings of its use that suit them best.

    python benchmarks/tune_beam.py --onnx_file X.onnx --language_model words.lm KIND:PATH ... [--tune [--write]]
        [--beside KIND:PATH ...] [--words 1500]

A set is KIND:PATH as for tools/prepare_real_words.py. Sets whose KIND:PATH are joined by a plus count as one. Give
words that the network was not trained on, and never a test set; plates, prices and codes too, to see what it costs
there. Words that the charset cannot write are left out, and those of three letters or more that are higher than wide.

Two tables: accuracy and calibration with and without the model, and the same words by their kind. "By chance" is the
calibration error that an exactly right confidence would have on so few words (src/metric.py). With --tune weight,
bonus, strange, sure, temperature and unsure (see Use in src/reading/language_model.py) are first chosen on these words,
one after the other: the highest mean of the sets' accuracies, of sure the lowest that costs at most a word in a
thousand, the temperature by the log loss, unsure so that in each set 95 % of what is kept is right. --write puts them
into the model's file; do this whenever the network is another. Sets behind --beside are shown and not tuned on.
Readings and settings are the same every time; the time is CPU time of this process.
"""
import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.common.charset import Charset, normalise  # noqa: E402
from src.common.errors import DataError, run_main  # noqa: E402
from src.data.preprocess import InputSpec, decode_image, to_batch  # noqa: E402
from src.deploy.onnx.network import OnnxNetwork  # noqa: E402
from src.metric import (  # noqa: E402
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    group_of,
)
from src.reading.beam import BeamDecoder  # noqa: E402
from src.reading.greedy import GreedyDecoder  # noqa: E402
from src.reading.language_model import CharacterModel, Use  # noqa: E402
from src.reading.reading import Reading  # noqa: E402
from tools.prepare_real_words import parse_set  # noqa: E402

_BATCH = 64
# What --tune tries; the bonus is a multiple of the weight, which keeps their balance when the weight changes.
_WEIGHTS, _BONUSES = (0.4, 0.6, 0.8, 1.0), (1.5, 1.8, 2.1, 2.4, 2.7)
_STRANGE, _SURE, _SURE_MAY_COST = (0.0, 0.0005, 0.002, 0.004, 0.01, 0.03), (0.9, 0.95, 0.98, 0.99), 0.001
_KEPT_RIGHT = 0.95


@dataclass
class Words:
    """The words of a set: name, class scores of batches, ``(T, N, C)`` each, and the texts in the same order."""

    name: str
    batches: list[np.ndarray]
    texts: list[str]

    def read(self, decoder: GreedyDecoder | BeamDecoder) -> tuple[np.ndarray, np.ndarray]:
        """Which words are read right, and the confidences, each ``(N,)``."""
        readings: list[Reading] = []
        for logits in self.batches:
            readings += decoder(logits)
        return (np.array([reading.text == text for reading, text in zip(readings, self.texts, strict=True)]),
                np.array([reading.confidence for reading in readings]))


def read_set(sets: str, network: OnnxNetwork, charset: Charset, spec: InputSpec, most: int) -> Words:
    """Reads the images of sets that count as one; of more than ``most`` words an evenly spaced choice.

    Raises:
        ConfigError, DataError: a set cannot be read, or has no word of the charset.
    """
    names, images, texts = [], [], []
    for text in sets.split("+"):
        name, source = parse_set(text, "train")
        names.append(name)
        for i in range(len(source)):
            word, image = normalise(source.text(i), charset), decode_image(source.read(i))
            strange = any(c.isalnum() and c.lower() not in charset.characters for c in source.text(i))
            if word and not strange and (len(word) < 3 or image.shape[0] <= image.shape[1]):
                images.append(image)
                texts.append(word)
    if not texts:
        raise DataError(f"{sets} has no word of the charset")
    chosen = np.arange(len(texts)) if len(texts) <= most else np.arange(most) * len(texts) // most
    batches, order = [], []
    for width in spec.all_widths:
        same = [i for i in chosen if spec.bucket(spec.width_of(images[i])) == width]
        batches += [network(to_batch([images[i] for i in same[first:first + _BATCH]], spec))
                    for first in range(0, len(same), _BATCH)]
        order += same
    return Words(" + ".join(names), batches, [texts[i] for i in order])


def tune(sets: list[Words], model: CharacterModel, charset: Charset, temperature: float) -> Use:
    """The settings with the highest mean accuracy of the sets, found by changing one after the other, twice."""
    best, tried = model.use, {}

    def mean_accuracy(use: Use) -> float:
        if use not in tried:
            decoder = BeamDecoder(charset, language_model=model, use=use, temperature=temperature)
            tried[use] = float(np.mean([words.read(decoder)[0].mean() for words in sets]))
            print(f"{100 * tried[use]:.2f} %: {use}", file=sys.stderr, flush=True)
        return tried[use]

    def choose(uses: Iterable[Use]) -> None:
        nonlocal best
        best = max([best, *uses], key=mean_accuracy)

    for _ in range(2):
        choose(replace(best, weight=weight, bonus=best.bonus * weight / best.weight) for weight in _WEIGHTS)
        choose(replace(best, bonus=factor * best.weight) for factor in _BONUSES)
        choose(replace(best, strange=strange) for strange in _STRANGE)
        most = max(mean_accuracy(replace(best, sure=sure)) for sure in _SURE)
        best = next(use for sure in _SURE if mean_accuracy(use := replace(best, sure=sure)) >= most - _SURE_MAY_COST)

    def confidences(value: float) -> np.ndarray:
        decoder = BeamDecoder(charset, language_model=model, use=replace(best, temperature=value),
                              temperature=temperature)
        return np.concatenate([words.read(decoder)[1] for words in sets])

    decoder = BeamDecoder(charset, language_model=model, use=best, temperature=temperature)
    right = np.concatenate([words.read(decoder)[0] for words in sets])
    best = replace(best, temperature=round(fit_temperature(confidences, right, 0.5, 4.0, 10), 2))
    confidence = np.split(confidences(best.temperature), np.cumsum([len(words.texts) for words in sets])[:-1])
    limits = [threshold(words.read(decoder)[0], own)[0] for words, own in zip(sets, confidence, strict=True)]
    return replace(best, unsure=round(max(limits) + 0.005, 2))


def threshold(right: np.ndarray, confidence: np.ndarray) -> tuple[float, float]:
    """The lowest confidence at and above which 95 % are right, and the share of words at and above it; (1, 0): none."""
    order = np.argsort(-confidence, kind="stable")
    kept = np.flatnonzero(np.cumsum(right[order]) >= _KEPT_RIGHT * np.arange(1, len(order) + 1))
    return (float(confidence[order[kept[-1]]]), (int(kept[-1]) + 1) / len(order)) if len(kept) else (1.0, 0.0)


def show(sets: list[Words], greedy: GreedyDecoder, beam: BeamDecoder) -> None:
    """Prints the tables."""
    print("| words | number | greedy % | with the model % | ECE greedy | by chance | ECE with the model | by chance "
          "| greedy: 95 % right from | with the model | words kept % | from unsure on: kept % | right % |\n|"
          + "---|" * 13)
    found = [(words.name, *words.read(greedy), *words.read(beam)) for words in sets]
    everything = ("all", *(np.concatenate(parts) for parts in list(zip(*found, strict=True))[1:]))
    for name, right, sure, right_too, sure_too in [*found, everything]:
        limit, kept = threshold(right_too, sure_too)
        limit_greedy = threshold(right, sure)[0]
        marked = sure_too >= beam.use.unsure
        print(f"| {name} | {len(right)} | {100 * right.mean():.1f} | {100 * right_too.mean():.1f} | "
              f"{expected_calibration_error(sure, right):.3f} | {calibration_error_by_chance(sure):.3f} | "
              f"{expected_calibration_error(sure_too, right_too):.3f} | {calibration_error_by_chance(sure_too):.3f} | "
              f"{limit_greedy:.2f} | {limit:.2f} | {100 * kept:.1f} | {100 * marked.mean():.1f} | "
              f"{100 * right_too[marked].mean() if marked.any() else 100:.1f} |")
    kinds = np.array([group_of(text) for words in sets for text in words.texts])
    print("\n| kind | number | greedy % | with the model % | mended | spoilt |\n|---|---|---|---|---|---|")
    _, right, _, right_too, _ = everything
    for kind in np.unique(kinds):
        mine = kinds == kind
        print(f"| {kind} | {mine.sum()} | {100 * right[mine].mean():.1f} | {100 * right_too[mine].mean():.1f} | "
              f"{(right_too & ~right)[mine].sum()} | {(right & ~right_too)[mine].sum()} |")
    images = sum(len(words.texts) for words in sets)
    for name, decoder in (("greedy", greedy), ("with the model", beam)):
        start = time.process_time()
        for words in sets:
            words.read(decoder)
        print(f"{'' if decoder is beam else chr(10)}{name}: {1000 * (time.process_time() - start) / images:.3f} ms of "
              f"CPU time an image, {_BATCH} at a time")


def main(argv: list[str] | None = None) -> int:
    """Prints settings and tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="KIND:PATH", help="labelled words, never of a test set")
    parser.add_argument("--onnx_file", required=True, help="network to read with, made by export.py")
    parser.add_argument("--language_model", required=True, help="made by train_language_model.py")
    parser.add_argument("--beside", nargs="+", default=[], metavar="KIND:PATH",
                        help="sets that are shown and not tuned on, such as plates and prices")
    parser.add_argument("--write", action="store_true", help="with --tune: put the settings into the model's file")
    parser.add_argument("--tune", action="store_true", help="choose the settings first")
    parser.add_argument("--words", type=int, default=10**9, help="of a set at most (default: all)")
    args = parser.parse_args(argv)
    print(machine_line(("onnxruntime", "numpy", "opencv-python-headless")))
    network = OnnxNetwork(args.onnx_file)
    if network.info is None:
        raise DataError(f"{args.onnx_file} does not tell its charset; export it with export.py")
    charset, temperature = network.info.charset, network.info.temperature
    model = CharacterModel.load(args.language_model, charset)
    sets, beside = ([read_set(text, network, charset, network.info.spec, args.words) for text in texts]
                    for texts in (args.sets, args.beside))
    use = tune(sets, model, charset, temperature) if args.tune else model.use
    if args.tune and args.write:
        model.save(args.language_model, use)
    print(f"{use}\n")
    greedy, beam = (GreedyDecoder(charset, temperature),
                    BeamDecoder(charset, language_model=model, use=use, temperature=temperature))
    show(sets, greedy, beam)
    if beside:
        print("\nBeside them:\n")
        show(beside, greedy, beam)
    return 0


if __name__ == "__main__":
    run_main(main)
