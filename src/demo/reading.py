"""What the page answers: readings of a word or of a photograph, as a picture, a line and a table."""
import re
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from src.common.errors import DataError
from src.data.preprocess import read_image
from src.demo.alignment import draw_alignment
from src.photographs.detector import TextDetector
from src.photographs.draw import draw_words
from src.prediction.photographs import read_words
from src.recogniser import Recogniser

MEGABYTES = 10
"""Largest file that is taken."""
TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of names that are taken."""
_OTHERS = 4  # next best readings that are shown
_WORDS = 5000  # of a lexicon


@dataclass(frozen=True)
class Answer:
    """What is shown.

    Attributes:
        text: the reading; of a photograph all its words, in reading order.
        confidence: 0 to 1, of a photograph the lowest of its words; 0 where nothing was read.
        picture: (h, w, 3) uint8 RGB.
        rows: readings of a word, the best first, or the words of a photograph, each with its confidence.
    """

    text: str
    confidence: float
    picture: np.ndarray
    rows: list[tuple[str, float]]


def answer(path: str | None, lexicon: str = "", whole_photograph: bool = False) -> Answer:
    """Reads what was dropped on the page.

    Args:
        path: of the file; None where there is none.
        lexicon: words to choose from, apart by blanks, commas or lines; empty: any text.
        whole_photograph: find the words first.

    Raises:
        DataError: no file, or it is not an image; the message is for the page.
        ConfigError: a package is missing, or the words are none of the network's.
    """
    if not path:
        raise DataError("Drop an image first, or take one of the samples.")
    try:
        image = read_image(path)
    except DataError as error:
        raise DataError(f"This file cannot be read as an image ({str(error).removeprefix(f'{path}: ')}).") from error
    recogniser = _recogniser(_words(lexicon))
    if whole_photograph:
        return _photograph(image, recogniser)
    result = recogniser.read(image)
    rows = [(result.text, result.confidence)]
    rows += [(reading.text, reading.confidence) for reading in result.next_best(_OTHERS)]
    return Answer(result.text, result.confidence, draw_alignment(image, result.characters), rows)


def _photograph(image: np.ndarray, recogniser: Recogniser) -> Answer:
    found = [(word, result) for word, result in read_words(image, _detector(), recogniser) if result.text]
    picture = draw_words(image, [(word.corners, result.text) for word, result in found])
    rows = [(result.text, result.confidence) for _, result in found]
    return Answer(" ".join(text for text, _ in rows), min((confidence for _, confidence in rows), default=0.0),
                  cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), rows)


def _words(lexicon: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(filter(None, re.split(r"[\s,;]+", lexicon))))
    if len(words) > _WORDS:
        raise DataError(f"The box takes {_WORDS} words, these are {len(words)}.")
    return words


@lru_cache(maxsize=8)
def _recogniser(words: tuple[str, ...]) -> Recogniser:
    return Recogniser(lexicon=words or None)


@lru_cache(maxsize=1)
def _detector() -> TextDetector:
    return TextDetector()
