import math

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading.beam import BeamDecoder, prefix_beam_search
from src.reading.greedy import GreedyDecoder
from src.reading.language_model import CharacterModel
from tests import ctc_reference as reference

ABC = Charset("abc")
WORDS = ["abba", "cab", "abc", "baa", "aab", "bb", "cabba"]


def texts_and_scores(labels, lengths, log_p, prior, image):
    rows = zip(labels[image], lengths[image], (log_p + prior)[image], strict=True)
    return [(tuple(row[:n].tolist()), s) for row, n, s in rows]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_wide_beam_finds_every_text_with_its_brute_force_probability(sharpness):
    logits = np.random.default_rng(1).normal(size=(5, 3, 4)) * sharpness
    log_probs = np.log(reference.softmax(logits))
    got = prefix_beam_search(log_probs, 2000)
    for image in range(3):
        expected = reference.all_texts(np.exp(log_probs[:, image]))
        found = [(t, s) for t, s in texts_and_scores(*got, image) if s > -np.inf]
        assert len({t for t, _ in found}) == len(found) == len(expected)  # no text twice
        assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
        for text, s in found:
            assert math.exp(s) == pytest.approx(expected[text], rel=1e-10)


def test_narrow_beam_never_counts_a_path_twice():
    rng = np.random.default_rng(2)
    for width in (1, 2, 3, 5):
        logits = rng.normal(size=(8, 50, 4)) * 1.5
        probs = reference.softmax(logits)
        got = prefix_beam_search(np.log(probs), width)
        for image in range(50):
            found = texts_and_scores(*got, image)
            assert len({t for t, _ in found}) == len(found)
            for text, s in found:
                assert math.exp(s) <= reference.forward(probs[:, image], text) * (1 + 1e-9)


def test_survivors_are_scored_over_all_their_paths():
    logits = np.random.default_rng(5).normal(size=(8, 80, 4)) * 1.2
    probs = reference.softmax(logits)
    labels, lengths, log_p, prior = prefix_beam_search(np.log(probs), 3)
    changed = 0
    for image, reading in enumerate(BeamDecoder(ABC, 3)(logits)):
        found = [t for t, _ in texts_and_scores(labels, lengths, log_p, prior, image)]
        best = max(found, key=lambda t, image=image: reference.forward(probs[:, image], t))
        assert reading.text == "".join("abc"[c] for c in best)
        changed += best != found[0]
    assert changed > 2


def test_default_beam_equals_the_exact_answer_nearly_always_and_greedy_does_not():
    logits = np.random.default_rng(3).normal(size=(6, 60, 4)) * 1.5
    beam, greedy = BeamDecoder(ABC)(logits), GreedyDecoder(ABC)(logits)
    right, greedy_right = 0, 0
    for image in range(60):
        expected = reference.all_texts(reference.softmax(logits[:, image]))
        best = "".join("abc"[c] for c in max(expected, key=expected.get))
        right += beam[image].text == best
        greedy_right += greedy[image].text == best
    assert right >= 57 and greedy_right < right - 10


def test_language_model_score_against_brute_force():
    model, _ = CharacterModel.train(WORDS, ABC, order=3)
    logits = np.random.default_rng(4).normal(size=(5, 20, 4))
    decoder = BeamDecoder(ABC, 2000, model, lm_weight=0.7, length_bonus=0.4)
    plain = BeamDecoder(ABC, 2000)
    changed = 0
    for image, (reading, without) in enumerate(zip(decoder(logits), plain(logits), strict=True)):
        expected = {}
        for labels, p in reference.all_texts(reference.softmax(logits[:, image])).items():
            state, log_model = np.zeros(1, np.int64), 0.0
            for c in (*labels, 3):
                log_model += model.log_probs(state)[0, c]
                state = model.advance(state, np.array([c]))
            expected["".join("abc"[c] for c in labels)] = math.log(p) + 0.7 * log_model + 0.4 * len(labels)
        assert reading.text == max(expected, key=expected.get)
        changed += reading.text != without.text
        labels = tuple(ABC.encode(reading.text).tolist())
        assert reading.confidence == pytest.approx(reference.forward(reference.softmax(logits[:, image]), labels))
    assert changed > 3


def test_beam_options_are_checked(tmp_path):
    model, _ = CharacterModel.train(WORDS, ABC, order=2)
    model.save(tmp_path / "model")
    assert BeamDecoder(ABC, language_model=str(tmp_path / "model")).language_model.order == 2
    with pytest.raises(ConfigError, match="beam_width"):
        BeamDecoder(ABC, 0)
    with pytest.raises(ConfigError, match="charset"):
        BeamDecoder(Charset("abcd"), language_model=model)
