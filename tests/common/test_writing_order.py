"""The order of writing and that of the picture."""
import random

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.writing_order import has_right_to_left, turned
from src.data.labels import LabelTable
from src.reading.alternatives import next_best
from src.reading.beam import BeamDecoder
from src.reading.greedy import GreedyDecoder
from src.reading.language_model import encode
from src.reading.lexicon_decoder import LexiconDecoder
from src.reading.word_list import WordEncoder

HEBREW = "אבגדהוזחטיךכלםמןנסעףפץצקרשת"
CHARSET = Charset(f"0123456789abc-.,:%()[] {HEBREW}")
# In the order of writing, and as FriBidi sets it from right to left (tests/render/test_shaping.py draws them).
ORDERS = [("שלום", "םולש"), ("(שלום)", "(םולש)"), ("בית 12", "12 תיב"), ("12:30 בית", "תיב 12:30"),
          ("abc בית", "תיב abc"),
          ("בית abc", "abc תיב"), ("50% בית", "תיב 50%"), ("בית,", ",תיב"), ("בית (5)", "(5) תיב"), ("ב 5 6", "6 5 ב"),
          ("b2b ב", "ב b2b"), ("ב 1,000", "1,000 ב"), ("abc", "abc"), ("(12)", "(12)"), ("", "")]


@pytest.mark.parametrize(("written", "seen"), ORDERS)
def test_words_are_turned_and_turned_back(written, seen):
    assert turned(written) == seen and turned(seen) == written
    assert has_right_to_left(written) == any(c in HEBREW for c in written)


def test_arabic_digits_keep_their_order():
    assert turned("بيت ٤٢") == "٤٢ تيب" and turned("٤٢-١٠ ت") == "ت ١٠-٤٢" and turned("١٢:٣٠ ت") == "ت ١٢:٣٠"


def test_turning_twice_gives_any_text_again():
    source = random.Random(5)
    characters = "שאבب ت\u05b8\u064eé1235٤٢abc-+,:$%()«»[].!\""
    for _ in range(5000):
        text = "".join(source.choices(characters, k=source.randint(1, 12)))
        assert turned(turned(text)) == text, text


def scores(classes: np.ndarray, class_num: int) -> np.ndarray:
    """Class scores (T, 1, C) in which those classes are read one after the other, with a blank between."""
    logits = np.zeros((2 * len(classes), 1, class_num))
    logits[:, :, -1] = 5
    logits[np.arange(0, len(logits), 2), 0, classes] = 20
    return logits


@pytest.mark.parametrize(("written", "seen"), ORDERS[:-1])
def test_labels_lexicons_models_and_readings_agree(written, seen):
    classes = np.array([CHARSET.characters.index(c) for c in seen])
    assert CHARSET.encode(written).tolist() == classes.tolist() and CHARSET.decode(classes) == written
    table = LabelTable([written], CHARSET)
    assert table.padded(np.array([0]), len(seen)).tolist() == [classes.tolist()] and table.outside.tolist() == [0]
    encoder = WordEncoder(CHARSET)
    assert encoder.encode([encoder.key(written)])[0].tolist() == [classes.tolist()]
    assert encode([written], CHARSET)[0].tolist() == [classes.tolist()]  # what a language model learns
    logits = scores(classes, CHARSET.class_num)
    other = "בגד"
    for decoder in (GreedyDecoder(CHARSET), BeamDecoder(CHARSET), LexiconDecoder(CHARSET, [other, written])):
        reading = decoder(logits)[0]
        assert reading.text == written
    assert written not in [one.text for one in next_best(logits[:, 0], CHARSET, reading, 3, GreedyDecoder(CHARSET))]


def test_other_charsets_leave_texts_as_they_are():
    plain = Charset("abcdefghijklmnopqrstuvwxyz")
    table = LabelTable(["abא1"], plain)
    assert not plain.right_to_left and plain.turned("אב") == "אב"
    assert table.padded(np.array([0]), 3).tolist() == [[0, 1, 26]]
