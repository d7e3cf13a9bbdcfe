"""IIIT5K: from the MATLAB files of its authors to annotation.txt and lexicons."""
import os
from dataclasses import dataclass

import numpy as np
from scipy.io import loadmat

from src.common.errors import DataError
from src.common.files import path_fault, write_bytes, write_lines
from src.common.progress import Progress
from src.convert.conversion import Conversion, ConversionReport, unfinished, word_fault, write_annotation
from src.convert.mat_file import sound_variables
from src.data.preprocess import decode_image, read_bytes
from src.data.source import companion

# Field of the word: testdata.mat / traindata.mat, and testCharBound.mat / trainCharBound.mat.
_WORD_FIELDS = ("GroundTruth", "chars")
_LEXICONS = {"smallLexi": "lexicon_50", "mediumLexi": "lexicon_1k"}


@dataclass(frozen=True)
class MatOptions:
    """What to convert and how.

    Attributes:
        mat_file: testdata.mat, traindata.mat, testCharBound.mat or trainCharBound.mat.
        image_dir: folder the names in it are relative to.
        output_dir: folder of the data set.
        annotation: path of the annotation to write.
        strict: stop at the first word that cannot be converted.
        overwrite: replace an annotation that holds other words.
    """

    mat_file: str
    image_dir: str
    output_dir: str
    annotation: str
    strict: bool = False
    overwrite: bool = False


def load_mat(path: str) -> tuple[str, np.ndarray]:
    """Reads the struct array of an IIIT5K .mat file.

    Returns:
        Its name, such as 'testCharBound', and the structs, (N,) with fields ImgName and GroundTruth or chars.

    Raises:
        DataError: not there, not a MATLAB file, truncated, or without that struct.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; expected testdata.mat, traindata.mat, testCharBound.mat or "
                        "trainCharBound.mat of IIIT5K")
    try:
        variables = loadmat(path, appendmat=False, variable_names=sound_variables(path))
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


def text_of(value: object) -> str | None:
    """The string in a MATLAB cell or char array; None where it is something else."""
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else "" if not value.size else None
    return value.strip() if isinstance(value, str) else None


def convert_iiit5k(options: MatOptions) -> Conversion:
    """Writes the annotation, the lexicons and, where ``output_dir`` is another folder, copies of the images.

    Raises:
        DataError: the .mat file cannot be used, no word is left, or the annotation would lose words.
    """
    report = ConversionReport(options.strict)
    name, structs = load_mat(options.mat_file)
    word_field = next(field for field in _WORD_FIELDS if field in structs.dtype.names)
    copy = os.path.abspath(options.image_dir) != os.path.abspath(options.output_dir)
    os.makedirs(options.output_dir, exist_ok=True)
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
            assert image is not None and word is not None  # _fault has looked
            try:
                data = read_bytes(os.path.join(options.image_dir, image))
                decode_image(data)
            except DataError as error:
                report.add(image, str(error))
                continue
            if copy:
                write_bytes(os.path.join(options.output_dir, image), data, durable=False)
            words[image] = word
            for field, lines in lexicons.items():
                entries = [text_of(entry) for entry in np.ravel(struct[field])]
                if not entries or not all(entries) or set("".join(map(str, entries))) & set("\t\r\n"):
                    report.add(f"{image} {field}", "the lexicon is empty, or holds something that is not text, or a "
                               "tab or line break")
                    continue
                lines.append("\t".join([image, *map(str, entries)]))
    if not words:
        raise report.nothing_left(f"{options.mat_file}: none of its {len(structs)} words can be converted")
    said = []
    with unfinished(options.output_dir):
        write_annotation(options.annotation, words, options.overwrite)
        for field, lines in lexicons.items():
            path = companion(options.annotation, _LEXICONS[field])
            write_lines(path, lines)
            said.append(f"{path}: {len(lines)} lexicons")
    return Conversion(report, [*said, f"{options.annotation}: {len(words)} words"])


def _fault(image: str | None, word: str | None, words: dict[str, str]) -> str:
    """Why an entry cannot become a line of the annotation; '' if it can."""
    if image is None or word is None:
        return "image name or word is not text"
    if image in words:
        return "the image is there twice"
    return word_fault(image, word) or path_fault(image)
