"""Labels word images with a stronger reader, and keeps the readings that are sure and stable."""
import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, DataError, run_main
from src.convert.conversion import write_lines
from src.data.preprocess import decode_image, read_bytes
from src.data.source import WordSource
from tools.prepare_real_words import parse_set

_DESCRIPTION = """Reads every image of a folder twice, as it is and slightly changed (shrunk, darkened, recompressed),
with RapidOCR (PP-OCR in onnxruntime). Where both readings are sure and the same in letters and digits, the image is
copied to OUTPUT_DIR/img and its word is a line of OUTPUT_DIR/labels.tsv: a set for tools/prepare_real_words.py
(list:OUTPUT_DIR). What is left out is counted by its reason.

Labels of a reader are not those of a person: --check says how often they are right on words whose labels are known,
and weights trained on them must say so. RapidOCR is no requirement of the project: pip install rapidocr onnxruntime"""

Reader = Callable[[np.ndarray], tuple[str, float]]
REASONS = ("no letter or digit", "other characters", "unsure", "another reading of the changed copy", "no image")
_ALPHANUMERIC = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")


def slightly_changed(image: np.ndarray) -> np.ndarray:
    """The image at 85 % of its size with 0.85 of its contrast, through JPEG of quality 60; a sure reading survives it.

    Args:
        image: (H, W, 3) uint8.
    """
    small = cv2.resize(image, None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA) if min(image.shape[:2]) > 8 \
        else image
    dull = cv2.convertScaleAbs(small, alpha=0.85, beta=12)
    return cv2.imdecode(cv2.imencode(".jpg", dull, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


def compared(text: str) -> str:
    """Letters and digits of a reading in lower case, whatever stands between them."""
    return "".join(filter(str.isalnum, text)).lower()


def label(image: np.ndarray, read: Reader, least: float) -> tuple[str, str]:
    """The word of an image, or why it gets none.

    Args:
        image: (H, W, 3) uint8 BGR.
        read: returns text and confidence.
        least: confidence that both readings need.

    Returns:
        The word and ''; or '' and one of ``REASONS``.
    """
    text, confidence = read(image)
    word = compared(text)
    if not word:
        return "", REASONS[0]
    if not _ALPHANUMERIC.issuperset(word):
        return "", REASONS[1]
    if confidence < least:
        return "", REASONS[2]
    again, confidence = read(slightly_changed(image))
    if compared(again) != word:
        return "", REASONS[3]
    return (text, "") if confidence >= least else ("", REASONS[2])


def rapid_reader() -> tuple[Reader, str]:
    """RapidOCR without detection of lines, and what it is called.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from importlib.metadata import version

        from rapidocr import RapidOCR
    except ImportError as error:
        raise ConfigError(f"no RapidOCR ({error}): pip install rapidocr onnxruntime, best in an environment of its "
                          "own") from error
    engine = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1})

    def read(image: np.ndarray) -> tuple[str, float]:
        result = engine(image, use_det=False, use_cls=False, use_rec=True)
        return (result.txts[0], float(result.scores[0])) if result.txts else ("", 0.0)

    return read, f"RapidOCR {version('rapidocr')}"


def label_folder(names: Iterable[Path], output_dir: Path, read: Reader, least: float) -> Counter:
    """Labels images and copies those that get a word.

    Args:
        names: image files.
        output_dir: gets ``img`` and ``labels.tsv``; must not hold such a list yet.
        read: the reader.
        least: see :func:`label`.

    Returns:
        The number of images by reason, "" for those with a word.
    """
    if (output_dir / "labels.tsv").exists():
        raise DataError(f"{output_dir} already holds labels.tsv: give another -o/--output_dir")
    folder, lines, counts = output_dir / "img", [], Counter()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            word, reason = label(decode_image(read_bytes(str(name))), read, least)
        except DataError:
            word, reason = "", REASONS[4]
        counts[reason] += 1
        if word:
            shutil.copyfile(name, folder / name.name)
            lines.append(f"img/{name.name}\t{word}")
    write_lines(str(output_dir / "labels.tsv"), lines)
    return counts


def check(source: WordSource, read: Reader, least: float) -> tuple[int, int, int]:
    """How the labels do where the words are known.

    Returns:
        Words, those that get a label, and those that get the right one (letters and digits compared, not case).
    """
    kept = right = 0
    for i in range(len(source)):
        word, _ = label(decode_image(source.read(i)), read, least)
        kept += bool(word)
        right += bool(word) and compared(word) == compared(source.text(i))
    return len(source), kept, right


def main(argv: list[str] | None = None) -> int:
    """Labels as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="folder of word images (.jpg, .jpeg, .png)")
    parser.add_argument("-o", "--output_dir", help="folder of the result")
    parser.add_argument("--confidence", type=float, default=0.97,
                        help="least confidence of both readings (default: %(default)s)")
    parser.add_argument("--check", nargs="+", default=[], metavar="KIND:PATH",
                        help="training words with labels (tools/prepare_real_words.py says which sets): prints how "
                             "many would be kept and how many of these are right; never a test set")
    args = parser.parse_args(argv)
    if not args.folder and not args.check:
        parser.error("give a folder of images, or --check with words whose labels are known")
    if bool(args.folder) != bool(args.output_dir):
        parser.error("a folder of images and -o/--output_dir belong together")
    names = []
    if args.folder:
        if not os.path.isdir(args.folder):
            raise DataError(f"{args.folder} is not a folder")
        names = sorted(name for name in Path(args.folder).iterdir() if name.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if not names:
            raise DataError(f"{args.folder} has no images (.jpg, .jpeg, .png)")
    read, reader = rapid_reader()
    for text in args.check:
        total, kept, right = check(parse_set(text, "train")[1], read, args.confidence)
        print(f"{text}: {kept} of {total} words get a label, {right} of them the right one "
              f"({100 * right / max(kept, 1):.1f} %)", flush=True)
    if names:
        counts = label_folder(names, Path(args.output_dir), read, args.confidence)
        print(f"{args.output_dir}: {counts['']} of {len(names)} images got a word ({reader}, confidence "
              f"{args.confidence}); left out: "
              + (", ".join(f"{counts[reason]} {reason}" for reason in REASONS if counts[reason]) or "none"))
    return 0


if __name__ == "__main__":
    run_main(main)
