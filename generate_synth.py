"""Draws a synthetic word recognition set in the MJSynth layout."""
import argparse
from pathlib import Path

from src.common.errors import DataError, run_main

EPILOG = """examples:
  python generate_synth.py --output_dir data/synth --train 100000 --test 2000
  python generate_synth.py --output_dir data/easy --train 10000 --test 1000 --difficulty easy --max_length 8
  python generate_synth.py --output_dir data/mj --train 1000000 --lexicon lexicon.txt --digits_ratio 0
  python generate_synth.py --contact_sheet look.png --difficulty hard

The set is read with `synth`: python train.py --train_dataset synth --train_dataset_path DIR.
A run that was interrupted goes on where it stopped; a set that is complete is left as it is.
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the command line of the program."""
    parser = argparse.ArgumentParser(prog="generate_synth.py", description=__doc__, epilog=EPILOG, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_argument_group("output")
    where.add_argument("--output_dir", metavar="DIR", help="folder of the set; made if missing")
    where.add_argument("--train", type=int, default=10000, metavar="N", help="training images (default: 10000)")
    where.add_argument("--val", type=int, default=0, metavar="N", help="validation images (default: 0)")
    where.add_argument("--test", type=int, default=1000, metavar="N", help="test images (default: 1000)")
    where.add_argument("--contact_sheet", metavar="PNG", help="write a picture of 60 drawn words to look at; without "
                       "--output_dir nothing else is written")
    where.add_argument("--contact_beside", metavar="DIR", help="put 60 images of this folder beside them")
    where.add_argument("--overwrite", action="store_true", help="replace a set that was drawn with other parameters")
    words = parser.add_argument_group("words")
    source = words.add_mutually_exclusive_group()
    source.add_argument("--lexicon", metavar="FILE", help="UTF-8 text, one word a line (default: a list of 7,000 "
                        "common English words that comes with the program)")
    source.add_argument("--random_strings", action="store_true", help="random letters and digits instead of words")
    words.add_argument("--digits_ratio", type=float, default=0.1, metavar="R",
                       help="share of images that show a number (default: 0.1)")
    words.add_argument("--min_length", type=int, default=1, metavar="N", help="shortest word drawn (default: 1)")
    words.add_argument("--max_length", type=int, default=23, metavar="N", help="longest word drawn (default: 23)")
    words.add_argument("--scene_lengths", action=argparse.BooleanOptionalAction, default=True,
                       help="short words as frequent as in photographs, rather than every word equally (default: yes)")
    words.add_argument("--disjoint", action=argparse.BooleanOptionalAction, default=True,
                       help="words of val and test never occur in train (default: yes)")
    look = parser.add_argument_group("looks")
    look.add_argument("--difficulty", choices=("easy", "medium", "hard"), default="hard",
                      help="easy: clean print, learnt in minutes; hard: as varied as words in photographs "
                      "(default: hard)")
    look.add_argument("--fonts", nargs="+", metavar="DIR", help="folders of .ttf, .otf and .ttc fonts (default: the "
                      "installed font packages and the fonts of the system)")
    look.add_argument("--seed", type=int, default=1, help="same seed, same fonts: same images (default: 1)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: 0, one a core)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: command line without the program's name; ``None`` takes that of the process.

    Raises:
        CRNNError: wrong input.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.output_dir is None and args.contact_sheet is None:
        parser.error("give --output_dir, or --contact_sheet to look at some words first")
    # Imported late: --help must not wait for OpenCV.
    from src.render.style import RenderStyle
    from src.render.words import read_lexicon
    style = RenderStyle.preset(args.difficulty)
    words = read_lexicon(args.lexicon) if args.lexicon else None
    if args.output_dir is not None:
        _write(args, style, words)
    if args.contact_sheet is not None:
        _sheet(args, style, words)
    return 0


def _write(args: argparse.Namespace, style: "RenderStyle", words: list[str] | None) -> None:  # noqa: F821
    from src.render.writer import write_synth
    report = write_synth(
        args.output_dir, train=args.train, val=args.val, test=args.test, words=words, style=style, seed=args.seed,
        workers=args.workers, fonts=args.fonts, random_strings=args.random_strings, digits_ratio=args.digits_ratio,
        min_length=args.min_length, max_length=args.max_length, disjoint=args.disjoint,
        scene_lengths=args.scene_lengths, overwrite=args.overwrite)
    for split, count in report["images"].items():
        if count:
            print(f"{split}: {count} images of {report['words'][split]} words")
    for reason, count in report["left_out"].items():
        print(f"left out: {count} lexicon words ({reason})")
    print(f"{len(report['fonts'])} font faces; complete: {Path(args.output_dir) / 'synth.json'}")


def _sheet(args: argparse.Namespace, style: "RenderStyle", words: list[str] | None) -> None:  # noqa: F821
    import cv2

    from src.render.fonts import find_fonts
    from src.render.renderer import WordRenderer
    from src.render.sheet import beside, contact_sheet
    from src.render.words import plan_words
    plan = plan_words(words, {"train": 60}, seed=args.seed, random_strings=args.random_strings,
                      digits_ratio=args.digits_ratio, min_length=args.min_length, max_length=args.max_length,
                      scene_lengths=args.scene_lengths)
    renderer = WordRenderer(style, find_fonts(args.fonts, clean=style.clean_fonts), args.seed)
    cells = [renderer.sample([plan.lexicon[row]], number) for number, row in enumerate(plan.rows["train"].tolist())]
    picture = contact_sheet(cells)
    if args.contact_beside:
        names = sorted(item for item in Path(args.contact_beside).rglob("*")
                       if item.suffix.lower() in (".png", ".jpg", ".jpeg"))
        step = max(1, len(names) // 60)
        images = [(item.stem, cv2.imread(str(item))) for item in names[::step][:60]]
        images = [(name, image) for name, image in images if image is not None]
        if not images:
            raise DataError(f"{args.contact_beside} has no images to put beside the drawn ones")
        picture = beside(picture, contact_sheet(images))
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError("PNG encoder failed")
    Path(args.contact_sheet).write_bytes(data.tobytes())
    print(f"contact sheet: {args.contact_sheet}")


if __name__ == "__main__":
    run_main(main)
