"""Cuts the words of the genuine SVT out of its street images, for `--eval_dataset svt` and `--train_dataset svt`."""
import argparse
import os
from collections.abc import Callable

from src.common.errors import run_main
from src.convert.conversion import Conversion, annotation_path, finish
from src.convert.photographs import TagsetOptions, convert_svt
from src.convert.tagset import FORMATS

_DESCRIPTION = """Cuts the words of Street View Text out of its images, as test.xml (647 words) or train.xml (257) says.
The output folder is a data set for --eval_dataset and --train_dataset svt."""
_EPILOG = """Beside annotation.txt stand lexicon_50.txt, one crop a line: its path, then the words of its street
image's lexicon, separated by tabs; and lexicon_full.txt, all these words. An annotation called annotation_NAME.txt gets
lexicon_50_NAME.txt and report_NAME.txt.
Exit code 0: all words converted; 3: some are left out, listed in report.txt; 2: error."""


def add_arguments(parser: argparse.ArgumentParser, xml_file: str) -> None:
    """The options of convert_svt.py and convert_ic03.py."""
    parser.add_argument("-d", "--dataset_dir", default="./",
                        help="folder that the image names in the XML file are relative to (default: %(default)s)")
    parser.add_argument("-x", "--xml_file", default=xml_file,
                        help="the XML file; where it does not exist, it is looked for in the dataset folder "
                             "(default: %(default)s)")
    parser.add_argument("-o", "--output_dir", default="./processed",
                        help="folder of the data set (default: %(default)s)")
    parser.add_argument("-a", "--output_annotation", default="annotation.txt",
                        help="the annotation: a name in the output folder, or a path with a folder of its own "
                             "(default: %(default)s)")
    parser.add_argument("-f", "--format", choices=list(FORMATS), default="png",
                        help="format of the crops: png is lossless, jpg has quality 95 (default: %(default)s)")
    parser.add_argument("--strict", action="store_true", help="stop at the first word that cannot be converted")
    parser.add_argument("--overwrite", action="store_true", help="replace an annotation that holds other words")


def run(parser: argparse.ArgumentParser, argv: list[str] | None, xml_file: str, dataset: str,
        convert: Callable[[TagsetOptions], Conversion]) -> int:
    """Converts as the command line says; returns the exit code. convert_ic03.py runs it as well."""
    add_arguments(parser, xml_file)
    args = parser.parse_args(argv)
    inside = os.path.join(args.dataset_dir, args.xml_file)
    xml_file = args.xml_file if os.path.exists(args.xml_file) or not os.path.exists(inside) else inside
    annotation = annotation_path(args.output_dir, args.output_annotation)
    options = TagsetOptions(xml_file, args.dataset_dir, args.output_dir, annotation, args.format, args.strict,
                            args.overwrite)
    return finish(convert(options), dataset, args.output_dir, annotation)


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    return run(parser, argv, "test.xml", "svt", convert_svt)


if __name__ == "__main__":
    run_main(main)
