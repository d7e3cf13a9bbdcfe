"""Turns the genuine IIIT5K annotations (.mat) into annotation.txt, which `--eval_dataset iiit5k` reads."""
import argparse
import os

import numpy as np

from src.common.errors import DataError, run_main
from src.common.progress import Progress
from src.convert.conversion import (
    ConversionReport,
    annotation_path,
    how_to_use,
    unfinished,
    word_fault,
    write_annotation,
    write_lines,
    write_whole,
)
from src.data.preprocess import decode_image, read_bytes
from src.data.source import companion, path_fault

# Field of the word: testdata.mat / traindata.mat, and testCharBound.mat / trainCharBound.mat.
_WORD_FIELDS = ("GroundTruth", "chars")
_LEXICONS = {"smallLexi": "lexicon_50", "mediumLexi": "lexicon_1k"}

_DESCRIPTION = """Turns the annotations of IIIT5K into annotation.txt, one line `test/1002_1.png,PRIVATE` a word.
The folder it lies in, with the images, is a data set for --eval_dataset and --train_dataset iiit5k."""
_EPILOG = """testdata.mat and traindata.mat also hold lexicons: lexicon_50.txt and lexicon_1k.txt are written beside the
annotation, one image a line: its path, then its words, separated by tabs. An annotation called annotation_NAME.txt
gets lexicon_50_NAME.txt and report_NAME.txt.
Exit code 0: all words converted; 3: some images are missing or broken, listed in report.txt; 2: error."""


def load_mat(path: str) -> tuple[str, np.ndarray]:
    """Reads the struct array of an IIIT5K .mat file.

    Returns:
        Its name, such as 'testCharBound', and the structs, (N,) with fields ImgName and GroundTruth or chars.

    Raises:
        DataError: not there, not a MATLAB file, truncated, or without that struct.
    """
    from scipy.io import loadmat  # lazily: --help need not wait for it

    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; expected testdata.mat, traindata.mat, testCharBound.mat or "
                        "trainCharBound.mat of IIIT5K")
    try:
        variables = loadmat(path, appendmat=False)
    except OSError as error:
        if error.filename is not None:
            raise
        raise DataError(f"{path} cannot be read as a MATLAB file, or is truncated: {error}") from error
    except Exception as error:  # scipy raises whatever the broken bytes lead it to, from TypeError to zlib.error
        raise DataError(f"{path} cannot be read as a MATLAB 5 file, or is truncated: {error}") from error
    structs = {name: value for name, value in variables.items()
               if isinstance(value, np.ndarray) and value.dtype.names and value.size}
    if not structs:
        found = ", ".join(name for name in variables if not name.startswith("__")) or "nothing"
        raise DataError(f"{path} holds no struct testdata, traindata, testCharBound or trainCharBound, but {found}")
    for name, value in structs.items():
        if "ImgName" in value.dtype.names and set(_WORD_FIELDS) & set(value.dtype.names):
            return name, value.ravel()
    name, value = next(iter(structs.items()))
    raise DataError(f"{path}: the struct {name} lacks the field ImgName, or GroundTruth or chars; "
                    f"it has {', '.join(value.dtype.names)}")


def text_of(value) -> str | None:
    """The string in a MATLAB cell or char array; None where it is something else."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else "" if not value.size else None
    return value.strip() if isinstance(value, str) else None


def convert(mat_file: str, image_dir: str, output_dir: str, annotation: str, overwrite: bool,
            report: ConversionReport) -> int:
    """Writes the annotation, the lexicons and, where ``output_dir`` is another folder, copies of the images.

    Args:
        mat_file: the .mat file.
        image_dir: folder the names in it are relative to.
        output_dir: folder of the data set.
        annotation: path of the annotation.
        overwrite: replace an annotation that holds other words.
        report: takes the words that cannot be converted.

    Returns:
        Number of words written.

    Raises:
        DataError: the .mat file cannot be used, no word is left, or the annotation would lose words.
    """
    name, structs = load_mat(mat_file)
    word_field = next(field for field in _WORD_FIELDS if field in structs.dtype.names)
    copy = os.path.abspath(image_dir) != os.path.abspath(output_dir)
    os.makedirs(output_dir, exist_ok=True)
    words: dict[str, str] = {}
    lexicons = {field: [] for field in _LEXICONS if field in structs.dtype.names}
    with Progress(len(structs), "copying images" if copy else "checking images") as progress:
        for number, struct in enumerate(structs, 1):
            progress.update()
            image, word = text_of(struct["ImgName"]), text_of(struct[word_field])
            fault = _fault(image, word, words)
            if fault:
                report.add(f"{name}({number}) {image or ''}".rstrip(), fault)
                continue
            try:
                data = read_bytes(os.path.join(image_dir, image))
                decode_image(data)
            except DataError as error:
                report.add(image, str(error))
                continue
            if copy:
                write_whole(os.path.join(output_dir, image), data)
            words[image] = word
            for field, lines in lexicons.items():
                entries = [text_of(entry) for entry in np.ravel(struct[field])]
                if not entries or not all(entries):
                    report.add(f"{image} {field}", "the lexicon is empty or holds something that is not text")
                    continue
                lines.append("\t".join([image, *entries]))
    if not words:
        first = f"; the first: {': '.join(report.problems[0])}" if report.problems else ""
        raise DataError(f"{mat_file}: none of its {len(structs)} words can be converted{first}")
    with unfinished(output_dir):
        write_annotation(annotation, words, overwrite)
        for field, lines in lexicons.items():
            path = companion(annotation, _LEXICONS[field])
            write_lines(path, lines)
            print(f"{path}: {len(lines)} lexicons")
    return len(words)


def _fault(image: str | None, word: str | None, words: dict[str, str]) -> str:
    """Why an entry cannot become a line of the annotation; '' if it can."""
    if image is None or word is None:
        return "image name or word is not text"
    if image in words:
        return "the image is there twice"
    return word_fault(image, word) or path_fault(image)


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
    report = ConversionReport(args.strict)
    count = convert(args.mat_file, image_dir, output_dir, annotation, args.overwrite, report)
    code = report.finish(companion(annotation, "report"))
    print(f"{annotation}: {count} words")
    print(how_to_use("iiit5k", output_dir, annotation))
    return code


if __name__ == "__main__":
    run_main(main)
