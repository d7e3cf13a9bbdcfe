"""The two sets of photographs with tagged words, SVT and IC03, from what their authors publish to data sets."""
import os
from collections.abc import Callable
from dataclasses import dataclass

from src.common.errors import DataError
from src.common.files import write_lines
from src.convert.conversion import Conversion, ConversionReport, unfinished, write_annotation
from src.convert.tagset import TaggedImage, cut_words, read_tagset
from src.data.protocol import plain_from_three
from src.data.source import companion


@dataclass(frozen=True)
class TagsetOptions:
    """What to convert and how.

    Attributes:
        xml_file: test.xml, train.xml or words.xml.
        dataset_dir: folder that the image names in it are relative to.
        output_dir: folder of the data set.
        annotation: path of the annotation to write.
        kind: 'png' or 'jpg', the format of the crops.
        strict: stop at the first word that cannot be converted.
        overwrite: replace an annotation that holds other words.
    """

    xml_file: str
    dataset_dir: str
    output_dir: str
    annotation: str
    kind: str = "png"
    strict: bool = False
    overwrite: bool = False


def convert_svt(options: TagsetOptions) -> Conversion:
    """Street View Text; lexicon_50.txt and lexicon_full.txt are written beside the annotation.

    Raises:
        DataError: the XML file cannot be used, no word is left, or the annotation would lose words.
    """
    return _convert(options, flat=False, write_more=_write_svt_lexicons)


def convert_ic03(options: TagsetOptions) -> Conversion:
    """ICDAR 2003; protocol_860.txt and lexicon_full.txt are written beside the annotation.

    Raises:
        DataError: as for :func:`convert_svt`.
    """
    return _convert(options, flat=True, write_more=_write_ic03_protocol)


def _convert(options: TagsetOptions, flat: bool,
             write_more: Callable[[str, dict[str, str], dict[str, TaggedImage]], list[str]]) -> Conversion:
    """Cuts out the words.

    Args:
        options: what and how.
        flat: crops in one folder, as the model zoo had them for IC03.
        write_more: called with the annotation, the words (path -> word) and the photograph of each; writes what else
            belongs to the data set and returns what there is to say about it.
    """
    if not os.path.isdir(options.dataset_dir):
        raise DataError(f"{options.dataset_dir}: no such folder (-d/--dataset_dir, with the images)")
    report = ConversionReport(options.strict)
    images = read_tagset(options.xml_file)
    with unfinished(options.output_dir):
        words: dict[str, str] = {}
        photographs: dict[str, TaggedImage] = {}
        for path, word, image in cut_words(images, options.dataset_dir, options.output_dir, options.kind, report, flat):
            words[path], photographs[path] = word, image
        if not words:
            raise report.nothing_left(f"{options.xml_file}: none of its words can be converted")
        write_annotation(options.annotation, words, options.overwrite)
        lines = write_more(options.annotation, words, photographs)
    lines.append(f"{options.annotation}: {len(words)} words from {len(set(map(id, photographs.values())))} images")
    return Conversion(report, lines)


def _write_svt_lexicons(annotation: str, words: dict[str, str], photographs: dict[str, TaggedImage]) -> list[str]:
    """Writes the "50" lexicon of every crop and the "Full" one."""
    full = dict.fromkeys(word for image in photographs.values() for word in image.lexicon)
    if not full:
        return ["note: the XML file has no lexicons"]
    lines = ["\t".join([path, *photographs[path].lexicon]) for path in words if photographs[path].lexicon]
    write_lines(companion(annotation, "lexicon_50"), lines)
    write_lines(companion(annotation, "lexicon_full"), full)
    return [f"{companion(annotation, 'lexicon_50')}: {len(lines)} lexicons; lexicon_full: {len(full)} words"]


def _write_ic03_protocol(annotation: str, words: dict[str, str], photographs: dict[str, TaggedImage]) -> list[str]:
    """Writes the list of the words that count, and the "Full" lexicon made of them."""
    del photographs
    counted = {path: word for path, word in words.items() if plain_from_three(word)}
    write_lines(companion(annotation, "protocol_860"), counted)
    # One spelling of each word: the lexicon is compared without case.
    full = {word.lower(): word for word in reversed(counted.values())}
    write_lines(companion(annotation, "lexicon_full"), reversed(full.values()))
    return [f"{companion(annotation, 'protocol_860')}: {len(counted)} words count; lexicon_full: {len(full)} words"]
