"""Turns the genuine IIIT5K annotations (.mat) into annotation.txt, which `--eval_dataset iiit5k` reads."""
import argparse
import os

from src.common.errors import run_main
from src.convert.conversion import annotation_path, finish

_DESCRIPTION = """Turns the annotations of IIIT5K into annotation.txt, one line `test/1002_1.png,PRIVATE` a word.
The folder it lies in, with the images, is a data set for --eval_dataset and --train_dataset iiit5k."""
_EPILOG = """testdata.mat and traindata.mat also hold lexicons: lexicon_50.txt and lexicon_1k.txt are written beside the
annotation, one image a line: its path, then its words, separated by tabs. An annotation called annotation_NAME.txt
gets lexicon_50_NAME.txt and report_NAME.txt.
Exit code 0: all words converted; 3: some images are missing or broken, listed in report.txt; 2: error."""


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--mat_file", default="testdata.mat",
                        help="testdata.mat, traindata.mat, testCharBound.mat or trainCharBound.mat "
                             "(default: %(default)s)")
    parser.add_argument("-o", "--output_dir", default=None,
                        help="folder of the data set; images are copied there (default: where they are)")
    parser.add_argument("-a", "--output_annotation", default="annotation.txt",
                        help="the annotation: a name in the output folder, or a path with a folder of its own "
                             "(default: %(default)s)")
    parser.add_argument("-i", "--image_dir", default=None,
                        help="folder with train/ and test/ (default: the folder of the .mat file)")
    parser.add_argument("--strict", action="store_true", help="stop at the first word that cannot be converted")
    parser.add_argument("--overwrite", action="store_true", help="replace an annotation that holds other words")
    args = parser.parse_args(argv)

    image_dir = args.image_dir or os.path.dirname(args.mat_file) or "."
    output_dir = args.output_dir or image_dir
    annotation = annotation_path(output_dir, args.output_annotation)
    from src.convert.iiit5k import MatOptions, convert_iiit5k  # here: scipy takes a second that --help need not wait

    options = MatOptions(args.mat_file, image_dir, output_dir, annotation, args.strict, args.overwrite)
    return finish(convert_iiit5k(options), "iiit5k", output_dir, annotation)


if __name__ == "__main__":
    run_main(main)
