"""Words of whole photographs, found and read, on the test photographs of Street View Text (the raw svt1 folder).

    python benchmarks/bench_photographs.py SVT1 [--images 249]

SVT1 holds test.xml and img/. Needs requirements-photos.txt. Only some words of a photograph are annotated, so that the
figure is the share of these which were found and read right; nothing is said about words that nobody annotated. A word
is found where the upright rectangle around a box and the annotated one overlap by half (intersection over union). The
boxes and crops are the same for both recognisers. Letters and digits are compared, case does not count. With the
lexicon of the photograph (some 50 words) our network takes the most probable word, RapidOCR's reading the nearest by
edit distance. Nothing was tuned on these photographs.
"""
import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from defusedxml import ElementTree
from rapidfuzz.distance import Levenshtein

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import ConfigError, DataError, run_main  # noqa: E402
from src.common.progress import Progress  # noqa: E402
from src.data.preprocess import read_image  # noqa: E402
from src.photographs.detector import TextDetector  # noqa: E402
from src.photographs.words import FoundWord, cut_words  # noqa: E402
from src.recogniser import Recogniser  # noqa: E402

_OVERLAP = 0.5

Box = tuple[float, float, float, float]


def plain(text: str) -> str:
    """Letters and digits in lower case."""
    return re.sub(r"[^0-9a-z]", "", text.lower())


def overlap(some: Box, other: Box) -> float:
    """Intersection over union of two rectangles (left, top, right, bottom)."""
    width = min(some[2], other[2]) - max(some[0], other[0])
    height = min(some[3], other[3]) - max(some[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (some, other)]
    return width * height / (sum(areas) - width * height)


def annotated(folder: Path) -> list[tuple[Path, list[tuple[Box, str]], list[str]]]:
    """Photograph, its annotated words with their rectangles, and its lexicon.

    Raises:
        DataError: no such file.
    """
    if not (folder / "test.xml").is_file():
        raise DataError(f"{folder} holds no test.xml; give the folder of the raw SVT download")
    result = []
    for image in ElementTree.parse(folder / "test.xml").getroot():
        words = []
        for tag in image.find("taggedRectangles"):
            x, y, wide, high = (float(tag.get(name)) for name in ("x", "y", "width", "height"))
            words.append(((x, y, x + wide, y + high), plain(tag.findtext("tag"))))
        lexicon = sorted({plain(word) for word in image.findtext("lex").split(",")} - {""})
        result.append((folder / image.findtext("imageName").strip(), words, lexicon))
    return result


def matches(words: Sequence[tuple[Box, str]], found: Sequence[FoundWord]) -> list[int | None]:
    """The found word that overlaps each annotated one most; None where none does enough."""
    result = []
    for box, _ in words:
        overlaps = [overlap(box, word.bounds) for word in found]
        best = int(np.argmax(overlaps)) if overlaps else 0
        result.append(best if overlaps and overlaps[best] >= _OVERLAP else None)
    return result


def main(argv: list[str] | None = None) -> int:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the raw SVT download")
    parser.add_argument("--images", type=int, default=0, help="photographs that are read (default: all)")
    args = parser.parse_args(argv)
    photographs = annotated(args.folder)[:args.images or None]
    detector, recogniser = TextDetector(), Recogniser()
    try:
        from rapidocr import RapidOCR
    except ImportError as error:  # TextDetector has asked before
        raise ConfigError("needs requirements-photos.txt") from error
    rival = RapidOCR(params={"Global.use_det": False, "Global.use_cls": False, "Global.log_level": "critical"})
    total = found_count = 0
    right = dict.fromkeys(("ours", "ours, lexicon", "rapidocr", "rapidocr, lexicon"), 0)
    with Progress(len(photographs), "photographs") as progress:
        for path, words, lexicon in photographs:
            image = read_image(path)
            found = cut_words(image, detector.find(image))
            total += len(words)
            hits = [(found[hit].image, truth) for hit, (_, truth) in zip(matches(words, found), words, strict=True)
                    if hit is not None]
            found_count += len(hits)
            chooser = Recogniser(lexicon=lexicon) if hits else None
            for crop, truth in hits:
                right["ours"] += recogniser.read(crop).text == truth
                right["ours, lexicon"] += plain(chooser.read(crop).text) == truth
                texts = rival(crop, use_det=False, use_cls=False, use_rec=True).txts
                text = plain("".join(texts or ()))
                right["rapidocr"] += text == truth
                nearest = min(lexicon, key=lambda word: Levenshtein.distance(word, text))
                right["rapidocr, lexicon"] += nearest == truth
            progress.update(1)
    print(f"{machine_line()}\n\n{len(photographs)} photographs, {total} annotated words, {found_count} found "
          f"({found_count / total:.1%})\n")
    print("| reads the found words | found and read right | with the photograph's lexicon |\n|---|---|---|")
    for name, label in (("ours", "this network (`pretrained/crnn_v2_int8.onnx`)"), ("rapidocr", "RapidOCR 3.10.0")):
        print(f"| {label} | {right[name]} ({right[name] / total:.1%}) | {right[name + ', lexicon']} "
              f"({right[name + ', lexicon'] / total:.1%}) |")
    return 0


if __name__ == "__main__":
    run_main(main)
