"""Cuts the words of the genuine SVT out of its street images, for `--eval_dataset svt` and `--train_dataset svt`."""
import argparse
import os

from src.common.errors import DataError, run_main
from src.convert.conversion import (
    ConversionReport,
    annotation_path,
    how_to_use,
    unfinished,
    write_annotation,
    write_lines,
)
from src.convert.tagset import FORMATS, TaggedImage, cut_words, read_tagset
from src.data.source import companion

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


def convert(args: argparse.Namespace, dataset: str, flat: bool, extras) -> int:
    """Does what the options say, for both programs.

    Args:
        args: of the command line.
        dataset: name of the data set.
        flat: crops in one folder, as the model zoo had them for IC03.
        extras: called with the annotation, the words (path -> word) and the photograph of each; writes what else
            belongs to the data set.

    Returns:
        The exit code.
    """
    if not os.path.isdir(args.dataset_dir):
        raise DataError(f"{args.dataset_dir}: no such folder (-d/--dataset_dir, with the images)")
    inside = os.path.join(args.dataset_dir, args.xml_file)
    xml_file = args.xml_file if os.path.exists(args.xml_file) or not os.path.exists(inside) else inside
    annotation = annotation_path(args.output_dir, args.output_annotation)
    report = ConversionReport(args.strict)
    images = read_tagset(xml_file)
    with unfinished(args.output_dir):
        words: dict[str, str] = {}
        photographs: dict[str, TaggedImage] = {}
        for path, word, image in cut_words(images, args.dataset_dir, args.output_dir, args.format, report, flat):
            words[path], photographs[path] = word, image
        if not words:
            first = f"; the first: {': '.join(report.problems[0])}" if report.problems else ""
            raise DataError(f"{xml_file}: none of its words can be converted{first}")
        write_annotation(annotation, words, args.overwrite)
        extras(annotation, words, photographs)
    code = report.finish(companion(annotation, "report"))
    print(f"{annotation}: {len(words)} words from {len(set(map(id, photographs.values())))} images")
    print(how_to_use(dataset, args.output_dir, annotation))
    return code


def write_lexicons(annotation: str, words: dict[str, str], photographs: dict[str, TaggedImage]) -> None:
    """Writes the "50" lexicon of every crop and the "Full" one."""
    full = dict.fromkeys(word for image in photographs.values() for word in image.lexicon)
    if not full:
        print("note: the XML file has no lexicons")
        return
    lines = ["\t".join([path, *photographs[path].lexicon]) for path in words if photographs[path].lexicon]
    write_lines(companion(annotation, "lexicon_50"), lines)
    write_lines(companion(annotation, "lexicon_full"), full)
    print(f"{companion(annotation, 'lexicon_50')}: {len(lines)} lexicons; lexicon_full: {len(full)} words")


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "test.xml")
    return convert(parser.parse_args(argv), "svt", False, write_lexicons)


if __name__ == "__main__":
    run_main(main)
