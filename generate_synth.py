"""Draws a synthetic word recognition set in the MJSynth layout."""
import argparse

from src.common.errors import run_main

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
    words.add_argument("--codes_ratio", type=float, metavar="R",
                       help="share of images that show what is in no dictionary: letters and digits mixed as on "
                       "plates, single characters, words joined to 12 to 20 letters (default: nine tenths of "
                       "--digits_ratio)")
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
    from src.render.program import draw  # here: --help must not wait for OpenCV

    draw(args)
    return 0


if __name__ == "__main__":
    run_main(main)
