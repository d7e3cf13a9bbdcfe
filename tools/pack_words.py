"""Packs real words into one file of network inputs for tools/train_twin.py."""
import argparse
import sys
from collections import Counter
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.charset import normalise
from src.common.errors import ConfigError, DataError, run_main
from src.data.preprocess import decode_image, resize
from src.dataset import SOURCES, open_source
from tools.twin_pack import write_pack
from tools.word_feed import CHARSET, NARROW, Layout, is_feasible

_DESCRIPTION = """Reads sets of words, such as those that tools/prepare_real_words.py wrote, brings each image to the
size of the network's input, and writes all of them as one file with their labels, lower case and digits alone.

A set is KIND:PATH or KIND:PATH=WEIGHT; an image of a set with weight 2 is drawn twice as often as one with weight 1."""
_EPILOG = "Exit code 0: all words written; 3: some left out, each kind counted; 2: error."


def read_set(text: str) -> tuple[str, str, float]:
    """Splits KIND:PATH=WEIGHT.

    Raises:
        ConfigError: another form.
    """
    place, _, weight = text.partition("=")
    kind, _, path = place.partition(":")
    try:
        number = float(weight or 1)
    except ValueError:
        number = -1.0
    if kind not in SOURCES or not path or not number > 0:
        raise ConfigError(f"{text!r}: expected KIND:PATH or KIND:PATH=WEIGHT with KIND one of {', '.join(SOURCES)} "
                          "and a weight above 0")
    return kind, path, number


def main(argv: list[str] | None = None) -> int:
    """Packs as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="KIND:PATH[=WEIGHT]")
    parser.add_argument("-o", "--output", required=True, help="file to write (.npz)")
    parser.add_argument("--split", default="train", help="of sets that have several (default: %(default)s)")
    parser.add_argument("--width", type=int, default=NARROW.width, help="columns of the images (default: %(default)s)")
    parser.add_argument("--quality", type=int, default=90, help="of WebP, 1 to 101, which is lossless "
                                                                "(default: %(default)s)")
    options = parser.parse_args(argv)
    if not 1 <= options.quality <= 101:
        raise ConfigError(f"--quality {options.quality} must be between 1 and 101")
    layout = Layout(options.width)
    images, texts, names, weights, left_out = [], [], [], [], Counter()
    for kind, path, weight in map(read_set, options.sets):
        source = open_source(kind, path, options.split)
        source.check()
        for number in range(len(source)):
            text = normalise(source.text(number), CHARSET)
            if not text or not is_feasible(text, layout):
                left_out["no letter or digit" if not text else "too long for the width"] += 1
                continue
            try:
                image = resize(decode_image(source.read(number)), layout.spec)
            except DataError as error:
                print(f"{source.location(number)}: {error}", file=sys.stderr)
                left_out["unreadable"] += 1
                continue
            images.append(cv2.imencode(".webp", image, (cv2.IMWRITE_WEBP_QUALITY, options.quality))[1].tobytes())
            texts.append(text)
            names.append(Path(path).name)
            weights.append(weight)
    if not images:
        raise DataError("no word is left to pack")
    write_pack(options.output, layout, images, texts, names, weights)
    counts = ", ".join(f"{name} {count}" for name, count in Counter(names).items())
    print(f"{len(images)} words in {options.output}, {sum(map(len, images)) / 2**20:.1f} MiB: {counts}"
          + "".join(f"; left out, {reason}: {count}" for reason, count in left_out.items()))
    return 3 if left_out else 0


if __name__ == "__main__":
    run_main(main)
