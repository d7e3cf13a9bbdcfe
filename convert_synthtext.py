"""Cuts the words of SynthText out of its scenes, as gt.mat says, into a folder or an LMDB to train on."""
import argparse
import os

from src.common.errors import run_main
from src.convert.tagset import FORMATS

_DESCRIPTION = """Cuts the words of SynthText (gt.mat and its scenes) out: the upright box around each word's corners,
clamped to the picture. Words are split at white space, as the boxes in the file are."""
_EPILOG = """Without --lmdb the output folder has the layout of MJSynth (annotation_train.txt, lexicon.txt) for
--train_dataset synth; with it, it is an LMDB for --train_dataset lmdb, which goes on where it was when run again.
Exit code 0: all words converted; 3: some are left out, listed in report.txt; 2: error."""


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--mat_file", default="gt.mat", help="gt.mat (default: %(default)s)")
    parser.add_argument("-i", "--image_dir", default=None,
                        help="folder with the folders 1 to 200 (default: the folder of gt.mat)")
    parser.add_argument("-o", "--output_dir", required=True, help="folder of the data set")
    parser.add_argument("--lmdb", action="store_true", help="write an LMDB instead of seven million files")
    parser.add_argument("-f", "--format", choices=list(FORMATS), default="jpg",
                        help="format of the crops: png is lossless, jpg has quality 95 (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="threads; 0: one for each core")
    parser.add_argument("--strict", action="store_true", help="stop at the first word that cannot be converted")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is a data set already")
    args = parser.parse_args(argv)
    image_dir = args.image_dir or os.path.dirname(args.mat_file) or "."
    from src.convert.synthtext import SynthTextOptions, convert_synthtext  # here: --help need not wait for scipy

    return convert_synthtext(SynthTextOptions(args.mat_file, image_dir, args.output_dir, args.lmdb, args.format,
                                              args.workers, args.strict, args.overwrite))


if __name__ == "__main__":
    run_main(main)
