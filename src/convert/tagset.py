"""SVT and IC03 have one form: an XML file of photographs with boxes and words. Reading it and cutting the words out."""
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse

from src.common.errors import DataError
from src.common.files import path_fault, write_bytes
from src.common.progress import Progress
from src.convert.conversion import ConversionReport, word_fault
from src.data.preprocess import decode_image, read_bytes

FORMATS = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 1], "jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}


@dataclass
class TaggedImage:
    """A photograph of the XML file.

    Attributes:
        name: its path as given, '' if missing.
        words: text ('' if missing) and attributes (x, y, width, height as they stand) of every box.
        lexicon: the words of ``<lex>``.
    """

    name: str
    words: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lexicon: list[str] = field(default_factory=list)


def read_tagset(path: str) -> list[TaggedImage]:
    """Reads the XML file, in the encoding it declares.

    Entities and anything outside the file are refused: these files need none, and they are how an XML file blows up
    the memory or reads other files.

    Raises:
        DataError: not there, not well formed, with entities, or without images; the message names it.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such XML file")
    try:
        root = parse(path).getroot()
    except ParseError as error:
        raise DataError(f"{path} is not well-formed XML: {error}") from error
    except DefusedXmlException as error:
        raise DataError(f"{path} declares entities or external files, which is refused: {type(error).__name__}"
                        ) from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know, or wrong bytes in it
        raise DataError(f"{path} cannot be read as XML: {error}") from error
    images = [TaggedImage((image.findtext("imageName") or "").strip(),
                          [((box.findtext("tag") or "").strip(), dict(box.attrib))
                           for box in image.iter("taggedRectangle")],
                          [word.strip() for word in (image.findtext("lex") or "").split(",") if word.strip()])
              for image in root.iter("image")]
    if not images:
        raise DataError(f"{path} holds no <image>: expected words.xml of IC03, or train.xml or test.xml of SVT")
    return images


def clamped_box(attributes: dict[str, str], height: int, width: int) -> tuple[int, int, int, int]:
    """The part of a box that lies inside the picture, as :func:`clamp` gives it.

    Args:
        attributes: x, y, width, height as text.
        height: of the picture.
        width: of the picture.

    Raises:
        DataError: a number is missing or none, or as :func:`clamp`.
    """
    try:
        x, y, w, h = (float(attributes[key]) for key in ("x", "y", "width", "height"))
    except (KeyError, ValueError) as error:
        raise DataError(f"the box is not four numbers: {attributes}") from error
    return clamp(x, y, w, h, height, width)


def clamp(x: float, y: float, w: float, h: float, height: int, width: int) -> tuple[int, int, int, int]:
    """The part of a box that lies inside the picture, in whole pixels: those the box touches.

    Args:
        x: left edge in pixels.
        y: top edge.
        w: width.
        h: height.
        height: of the picture.
        width: of the picture.

    Returns:
        left, top, right, bottom; the last two are one past the last pixel.

    Raises:
        DataError: a number is not finite, the box is empty, or outside.
    """
    shown = f"x {x:g}, y {y:g}, width {w:g}, height {h:g}"
    if not all(map(math.isfinite, (x, y, w, h, x + w, y + h))):
        raise DataError(f"the box is not finite: {shown}")
    if w <= 0 or h <= 0:
        raise DataError(f"the box is empty: {shown}")
    left, top = max(math.floor(x), 0), max(math.floor(y), 0)
    right, bottom = min(math.ceil(x + w), width), min(math.ceil(y + h), height)
    if left >= right or top >= bottom:
        raise DataError(f"the box is outside the picture of {width} x {height}: {shown}")
    return left, top, right, bottom


def encode(image: np.ndarray, kind: str) -> bytes:
    """An (H, W, 3) uint8 BGR image as 'png' (lossless) or 'jpg' (quality 95)."""
    return cv2.imencode(f".{kind}", image, FORMATS[kind])[1].tobytes()


def crop_name(stem: str, number: int, word: str, kind: str, taken: set[str]) -> str:
    """The file name of a crop, as the model zoo's but without the special characters of word or photograph.

    Args:
        stem: path of the photograph without its extension.
        number: of the box in the photograph, from 0.
        word: its text.
        kind: extension.
        taken: names used so far, in lower case for the systems that do not tell it apart; this one is added.
    """
    stem = re.sub(r"[^A-Za-z0-9._/-]", "_", stem.replace("\\", "/"))
    name = f"{stem}_{number}_{re.sub('[^A-Za-z0-9]', '', word)[:40]}"
    full, again = f"{name}.{kind}", 2
    while full.lower() in taken:
        full, again = f"{name}_{again}.{kind}", again + 1
    taken.add(full.lower())
    return full


def cut_words(images: list[TaggedImage], image_dir: str, output_dir: str, kind: str, report: ConversionReport,
              flat: bool) -> Iterator[tuple[str, str, TaggedImage]]:
    """Cuts every word out of its photograph and writes it; each photograph is decoded once.

    Args:
        images: of the XML file.
        image_dir: folder of the photographs.
        output_dir: folder of the crops.
        kind: a key of ``FORMATS``.
        report: takes the words and photographs that cannot be used.
        flat: all crops in one folder, the folders of the photographs in their names; otherwise folders are kept.

    Yields:
        Path of the crop below ``output_dir``, its word, its photograph.
    """
    seen: set[str] = set()
    taken: set[str] = set()
    with Progress(len(images), "cutting words") as progress:
        for number, image in enumerate(images, 1):
            progress.update()
            fault = path_fault(image.name) or ("the image is there twice" if image.name in seen else "")
            seen.add(image.name)
            if fault:
                report.add(image.name or f"image {number}", f"{fault} ({len(image.words)} words)")
                continue
            try:
                picture = decode_image(read_bytes(os.path.join(image_dir, image.name)))
            except DataError as error:
                report.add(image.name, f"{error} ({len(image.words)} words)")
                continue
            stem = os.path.splitext(image.name)[0]
            for box, (word, attributes) in enumerate(image.words):
                try:
                    fault = word_fault("", word)
                    if fault:
                        raise DataError(fault)
                    left, top, right, bottom = clamped_box(attributes, *picture.shape[:2])
                except DataError as error:
                    report.add(f"{image.name} box {box} {word!r}", str(error))
                    continue
                path = crop_name(stem.replace("/", "_") if flat else stem, box, word, kind, taken)
                crop = encode(picture[top:bottom, left:right], kind)
                write_bytes(os.path.join(output_dir, path), crop, durable=False)
                yield path, word, image
