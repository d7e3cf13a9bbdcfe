import subprocess
import sys

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError, DataError
from src.reading.beam import BeamDecoder
from src.reading.greedy import GreedyDecoder
from src.reading.lexicon_decoder import LexiconDecoder
from tests import ctc_reference as reference

ABC = Charset("abc")
ALNUM = Charset("0123456789abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize("images", [1, 7, 1000])
def test_greedy_against_a_plain_loop(images):
    rng = np.random.default_rng(images)
    logits = (rng.normal(size=(9, images, 4)) * 3).astype(np.float32)
    readings = GreedyDecoder(ABC)(logits)
    assert len(readings) == images
    for n, reading in enumerate(readings):
        labels = reference.collapse(logits[:, n].argmax(axis=-1), 3)
        assert reading.text == "".join("abc"[c] for c in labels)
        if n < 100:
            expected = reference.forward(reference.softmax(logits[:, n]), labels)
            assert reading.confidence == pytest.approx(expected, rel=1e-4)


def test_lists_of_numbers_are_read_as_arrays_are():
    logits = np.random.default_rng(8).normal(size=(5, 3, 4)).round(3)
    for decoder in (GreedyDecoder(ABC), BeamDecoder(ABC), LexiconDecoder(ABC, ["ab", "ba"])):
        assert decoder(logits.tolist()) == decoder(logits)


def test_greedy_reads_nothing_from_blanks_and_from_no_images():
    logits = np.zeros((9, 2, 4), np.float32)
    logits[:, :, 3] = 20
    for reading in GreedyDecoder(ABC)(logits):
        assert reading.text == "" and reading.confidence == pytest.approx(1, abs=1e-6) and reading.confidence <= 1
    assert GreedyDecoder(ABC)(logits[:, :0]) == []
    assert BeamDecoder(ABC)(logits[:, :0]) == []
    assert LexiconDecoder(ABC, ["ab"])(logits[:, :0]) == []


def test_greedy_reads_characters_outside_the_basic_plane():
    charset = Charset("a\U00020000字")
    logits = np.zeros((5, 1, 4), np.float32)
    logits[[0, 1, 2, 3, 4], 0, [1, 3, 2, 3, 0]] = 9
    assert GreedyDecoder(charset)(logits)[0].text == "\U00020000字a"


def test_confidence_is_a_probability_and_follows_the_temperature():
    logits = reference.word_logits(np.random.default_rng(0), ALNUM, ["hello", "10", "zzz"], noise=1.0)
    sure, unsure = GreedyDecoder(ALNUM, temperature=0.5)(logits), GreedyDecoder(ALNUM, temperature=3.0)(logits)
    assert [r.text for r in sure] == [r.text for r in unsure] == ["hello", "10", "zzz"]
    assert all(1 >= a.confidence > b.confidence > 0 for a, b in zip(sure, unsure, strict=True))
    for decoder in (BeamDecoder, GreedyDecoder):
        got = decoder(ALNUM, temperature=3.0)(logits)
        assert [r.confidence for r in got] == pytest.approx([r.confidence for r in unsure], rel=1e-4)
    for temperature in (1.0, 3.0):
        p = np.array([r.confidence for r in GreedyDecoder(ALNUM, temperature)(logits)])
        got = LexiconDecoder(ALNUM, ["hello", "10", "zzz", "other"], temperature=temperature)(logits)
        # Far from each other: the only rival is the rest, all that is not in the lexicon.
        assert [r.confidence for r in got] == pytest.approx(p / (p + (1 - p) / 1e4), rel=1e-4)


@pytest.mark.parametrize("decoder", [GreedyDecoder(ABC), BeamDecoder(ABC), LexiconDecoder(ABC, ["ab", "ba"])])
def test_class_scores_that_cannot_be_read(decoder):
    logits = np.zeros((4, 1, 4), np.float32)
    logits[[0, 1, 2, 3], 0, [0, 3, 1, 3]] = 9
    assert decoder(logits)[0].text == "ab"
    with pytest.raises(ConfigError, match="label_dict"):
        decoder(np.zeros((4, 1, 37)))
    logits[1, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        decoder(logits)


def test_light_modules_do_not_import_mindspore():
    code = ("import sys, src.reading.selection, src.metric; src.metric.evaluate_readings(['a'], ['b']); "
            "sys.exit('mindspore' in sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
