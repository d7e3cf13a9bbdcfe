"""Gathers real word images for training: a validation share set aside by scene, no image of a test set among them."""
import argparse
import hashlib
import os
import re
import sys
import zlib
from collections import defaultdict
from pathlib import Path
from string import ascii_lowercase, digits

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.charset import Charset, normalise
from src.common.errors import ConfigError, DataError, run_main
from src.convert.conversion import ConversionReport
from src.convert.lmdb_writer import LmdbWriter
from src.data.preprocess import decode_image
from src.data.source import WordSource
from src.dataset import SOURCES, open_source
from tools.near_duplicates import NearDuplicates

_DESCRIPTION = """Writes real words as LMDB: OUTPUT_DIR/train/REAL/NAME to train on, OUTPUT_DIR/val/NAME for validation.

A set is KIND:PATH, such as iiit5k:data/iiit5k_train or list:labels.tsv. Left out, with a line in
OUTPUT_DIR/report.txt: images that also occur in a set of --not_in (same pixels), that occur twice, that cannot be
decoded, and words without a letter or digit; with --near_duplicates also images that are nearly one of --not_in. For
validation whole scenes are set aside: names such as 1009_2.png are word 2 of scene 1009; where names tell no scene,
runs of neighbouring words are, as lists go scene by scene."""
_EPILOG = """Mixed half and half with synthetic words:
  python convert_lmdb.py -d synth -p WORDS -o OUTPUT_DIR/train/SYNTH
  python train.py --config_path configs/finetune_real.yaml --train_dataset_path OUTPUT_DIR/train \\
      --train_eval_dataset_path OUTPUT_DIR/val --resume_ckpt FILE
Exit code 0: all words written; 3: some are left out; 2: error."""

_SCENE = re.compile(r"(.*)_\d+\.\w+")  # path of the scene, number of the word, ending
_RUNS = 40  # runs a set is cut into where no scenes are known


def fingerprint(data: bytes) -> bytes:
    """Hash of the decoded pixels: the same for all lossless copies of an image.

    Raises:
        DataError: not an image.
    """
    image = decode_image(data)
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()


def scene_of(reference: str) -> str | None:
    """The scene that the name of a word image tells, without its folder; None where it tells none."""
    found = _SCENE.fullmatch(os.path.basename(reference))
    return found[1] if found else None


def groups_of(source: WordSource) -> tuple[list[str], bool]:
    """For each word the scene it belongs to, and whether that is known; else runs of neighbours stand for scenes."""
    scenes = [scene_of(source.reference(i)) for i in range(len(source))]
    if None not in scenes and len(set(scenes)) >= _RUNS:
        return scenes, True
    return [f"run {i * _RUNS // len(source)}" for i in range(len(source))], False


def set_aside(groups: list[str], share: float, seed: int) -> set[str]:
    """Groups that hold together about that share of the words, chosen at random."""
    sizes = defaultdict(int)
    for group in groups:
        sizes[group] += 1
    chosen, count = set(), 0
    for group in np.random.default_rng(seed).permutation(sorted(sizes)).tolist():
        if count + sizes[group] / 2 > share * len(groups):
            break
        chosen.add(group)
        count += sizes[group]
    return chosen


def parse_set(text: str, split: str) -> tuple[str, WordSource]:
    """Opens 'iiit5k:PATH'; returns a name for it (that of its folder) and the words.

    Raises:
        ConfigError: another form, or an unknown kind.
        DataError: the set cannot be read.
    """
    kind, separator, path = text.partition(":")
    if not separator or kind not in SOURCES:
        raise ConfigError(f"{text!r}: expected KIND:PATH with KIND one of {', '.join(SOURCES)}")
    source = open_source(kind, path, split)
    source.check()
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    return os.path.basename(os.path.abspath(folder)), source


class Gatherer:
    """Takes one set after the other apart into training and validation words.

    Args:
        output_dir: where the LMDBs go.
        share: of the words for validation.
        seed: of their choice.
        overwrite: begin anew where there are LMDBs already.
        report: what is left out.
        upright: leave out words that stand on end.
        charset: write the words as they are compared under this charset (:func:`src.common.charset.normalise`) and
            leave out those with letters or digits that it lacks; ``None`` writes them as they are.
        near: leave out images that are nearly a test image, too; ``None`` compares pixels only.

    Attributes:
        written: training words written, by name of the set.
    """

    def __init__(self, output_dir: str, share: float, seed: int, overwrite: bool, report: ConversionReport,
                 upright: bool = False, charset: Charset | None = None, near: NearDuplicates | None = None):
        self.output_dir, self.share, self.seed, self.overwrite, self.report = output_dir, share, seed, overwrite, report
        self.upright, self.charset, self.near = upright, charset, near
        self.written: dict[str, int] = {}
        self.test_images: dict[bytes, str] = {}
        self.test_scenes: set[str] = set()
        self._seen: dict[bytes, str] = {}

    def keep_out(self, source: WordSource, scenes_too: bool) -> None:
        """Notes the images of a test set (and its scenes); what they hold is never written."""
        for i in range(len(source)):
            try:
                data = source.read(i)
                self.test_images[fingerprint(data)] = source.location(i)
                if self.near is not None:
                    self.near.add(decode_image(data), source.text(i), source.location(i))
            except DataError as error:
                self.report.add(source.location(i), str(error))
        if scenes_too:
            groups, known = groups_of(source)
            self.test_scenes |= {f"{source.name}:{group}" for group in groups} if known else set()

    def add(self, name: str, source: WordSource) -> None:
        """Writes one set."""
        groups, known = groups_of(source)
        usable = {i: data for i in range(len(source))
                  if (data := self._usable(source, i, groups[i] if known else None))}
        # Chosen among all words: what is left out by other options must not turn training words into validation words.
        validation = set_aside(groups, self.share, self.seed)
        counts = []
        for part, wanted in (("train/REAL", False), ("val", True)):
            items = [i for i in usable if (groups[i] in validation) == wanted]
            counts.append(len(items))
            folder = os.path.join(self.output_dir, part, name)
            if items:
                self._write(folder, source, items, usable)
            elif os.path.exists(folder):
                raise DataError(f"{folder} is there already, and would stay beside what is written now: give another "
                                "-o/--output_dir")
        self.written[name] = counts[0]
        unit = "scenes" if known else "runs of neighbours"
        print(f"{name}: {len(source)} words in {len(set(groups))} {unit}: {counts[0]} for training, {counts[1]} in "
              f"{len(validation)} {unit} for validation, {len(source) - len(usable)} left out", flush=True)

    def _usable(self, source: WordSource, i: int, scene: str | None) -> bytes | None:
        """The bytes of an image that may be trained on; otherwise None, and the reason is noted."""
        where, data = source.location(i), b""
        try:
            data = source.read(i)
            mark = fingerprint(data)
            image = decode_image(data)
        except DataError as error:
            self.report.add(where, str(error))
            return None
        letters = sum(map(str.isalnum, source.text(i)))
        odd = "".join(c for c in source.text(i) if c.isalnum() and c.lower() not in self.charset.characters) \
            if self.charset else ""
        reason = ""
        if mark in self.test_images:
            reason = f"the same image as {self.test_images[mark]}"
        elif scene is not None and f"{source.name}:{scene}" in self.test_scenes:
            reason = f"scene {scene} is in a test set"
        elif mark in self._seen:
            reason = f"the same image as {self._seen[mark]}"
        elif not letters:
            reason = f"no letter or digit in {source.text(i)!r}"
        elif odd:
            reason = f"{source.text(i)!r} has letters or digits that are no classes ({odd})"
        elif self.upright and letters > 2 and image.shape[0] > image.shape[1]:
            reason = f"{source.text(i)!r} is higher than wide"
        elif self.near is not None:
            reason = self.near.find(image, source.text(i))
        if reason:
            self.report.add(where, reason)
            return None
        self._seen[mark] = where
        return data

    def _write(self, folder: str, source: WordSource, items: list[int], data: dict[int, bytes]) -> None:
        origin = f"{len(items)} of {len(source)} words of {source.name}, checksum {zlib.crc32(repr(items).encode())}"
        origin += ", labels normalised" if self.charset else ""
        writer = LmdbWriter(folder, origin, sum(map(len, data.values())) * 2, self.overwrite)
        try:
            for place, i in enumerate(items[writer.next:], writer.next):
                text = source.text(i)
                writer.add(place, data[i], normalise(text, self.charset) if self.charset else text)
            writer.finish()
        except BaseException:
            writer.close()
            raise


def weighed_mixture(written: dict[str, int], weights: dict[str, float], synthetic: float) -> str:
    """The ``--train_mix`` in which a word of each set comes as often as its weight says.

    Args:
        written: training words of each set.
        weights: how often a word of a set comes, compared with one of weight 1, the weight of sets not named; sets of
            weight 0 are not in the mixture.
        synthetic: share of SYNTH, the drawn words.

    Raises:
        ConfigError: no set is left.
    """
    amounts = {name: count * weights.get(name, 1.0) for name, count in written.items()}
    total = sum(amounts.values())
    if not total:
        raise ConfigError("no set with training words has a weight above 0")
    parts = [f"REAL/{name}:{(1 - synthetic) * amount / total:.5f}" for name, amount in amounts.items() if amount]
    return ",".join(parts + [f"SYNTH:{synthetic:g}"] * (synthetic > 0))


def parse_weights(text: str, names: list[str]) -> dict[str, float]:
    """Reads 'plates:0.1,signs:2'.

    Raises:
        ConfigError: another form, a set that is not there, a set twice, or a negative weight.
    """
    weights: dict[str, float] = {}
    for item in filter(None, text.split(",")):
        name, _, number = item.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in names or name in weights or not 0 <= value < float("inf"):
            raise ConfigError(f"--weights: expected sets, each once, with numbers from 0 up, such as {names[0]}:0.5, "
                              f"not {item!r}; sets: {', '.join(names)}")
        weights[name] = value
    return weights


def main(argv: list[str] | None = None) -> int:
    """Gathers as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="KIND:PATH", help="sets of training words")
    parser.add_argument("-o", "--output_dir", required=True, help="folder of the result")
    parser.add_argument("--not_in", nargs="+", default=[], metavar="KIND:PATH",
                        help="test sets: their images are looked for, and never written")
    parser.add_argument("--not_their_scenes", action="store_true",
                        help="leave out the other words of their scenes, too (same kind, same name of the scene)")
    parser.add_argument("--near_duplicates", action="store_true",
                        help="leave out images that are scaled, recompressed or differently cut ones of --not_in: the "
                             "same word and a difference hash within 4 of 64 bits or a correlation of 0.90, or a "
                             "correlation of 0.97 whatever the word")
    parser.add_argument("--weights", default="", metavar="NAME:WEIGHT,...",
                        help="how often a word of a set is to come in training, sets not named 1: prints the "
                             "--train_mix that does so, half of it drawn words (SYNTH)")
    parser.add_argument("--synth_share", type=float, default=0.5,
                        help="share of drawn words in that mixture (default: %(default)s)")
    parser.add_argument("--upright", action="store_true",
                        help="leave out words of three letters or more whose image is higher than wide: vertical or "
                             "turned on end, which a network for lines cannot read")
    parser.add_argument("--normalise", action="store_true",
                        help="write the words as they are compared, in lower-case letters and digits: train.py leaves "
                             "out words with punctuation or spaces, which are no classes, unless the label is free of "
                             "them")
    parser.add_argument("--val_share", type=float, default=0.1, help="share for validation (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of scenes (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there are LMDBs already")
    args = parser.parse_args(argv)
    if not 0 <= args.val_share < 1:
        raise ConfigError(f"--val_share {args.val_share} must be from 0 to below 1")
    if not 0 <= args.synth_share < 1:
        raise ConfigError(f"--synth_share {args.synth_share} must be from 0 to below 1")

    report = ConversionReport()
    gatherer = Gatherer(args.output_dir, args.val_share, args.seed, args.overwrite, report, args.upright,
                        Charset(ascii_lowercase + digits) if args.normalise else None,
                        NearDuplicates() if args.near_duplicates else None)
    sets = [parse_set(text, "train") for text in args.sets]
    names = [name for name, _ in sets]
    if len(set(names)) < len(names):
        raise ConfigError(f"the folders of the sets must have different names, not {', '.join(names)}")
    weights = parse_weights(args.weights, names)
    for text in args.not_in:
        gatherer.keep_out(parse_set(text, "test")[1], args.not_their_scenes)
    for name, source in sets:
        gatherer.add(name, source)
    if args.weights:
        print(f"--train_mix={weighed_mixture(gatherer.written, weights, args.synth_share)}")
    os.makedirs(args.output_dir, exist_ok=True)
    return report.finish(os.path.join(args.output_dir, "report.txt"))


if __name__ == "__main__":
    run_main(main)
