import math

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading.alternatives import next_best
from src.reading.beam import BeamDecoder, prefix_beam_search
from src.reading.greedy import GreedyDecoder
from src.reading.language_model import Use
from src.reading.model_training import train_model
from src.reading.reading import Reading
from tests import ctc_reference as reference

ABC = Charset("abc")
WORDS = ["abba", "cab", "abc", "baa", "aab", "bb", "cabba"]


def texts_and_scores(labels, lengths, log_p, image):
    rows = zip(labels[image], lengths[image], log_p[image], strict=True)
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
    labels, lengths, log_p = prefix_beam_search(np.log(probs), 3)
    changed = 0
    for image, reading in enumerate(BeamDecoder(ABC, 3)(logits)):
        found = [t for t, _ in texts_and_scores(labels, lengths, log_p, image)]
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


def exact_scores(model, use, charset, probs):
    """Score of every text of one image, by listing all paths and asking the model character by character."""
    found = {}
    for labels, p in reference.all_texts(probs).items():
        state, log_model = np.zeros(1, np.int64), 0.0
        for c in (*labels, charset.blank):
            log_model += float(model.log_probs(state)[0, c])
            state = model.advance(state, np.array([c]))
        prior = math.exp(use.weight * log_model + use.bonus * len(labels)) + use.strange
        found["".join(charset.characters[c] for c in labels)] = math.log(p) + math.log(prior)
    return found


@pytest.mark.parametrize(("characters", "words", "tied", "use"), [
    ("abc", WORDS, "", Use(0.7, 0.4)),
    ("abc", WORDS, "", Use(0.8, 1.7, 0.004, 2.0, 1.45)),
    ("ab1", ["ab", "1", "b1", "ba"], "1", Use(1.0, 1.0, 0.1, 2.0, 0.8)),
])
def test_language_model_score_and_share_against_brute_force(characters, words, tied, use):
    charset = Charset(characters)
    model, _ = train_model(words, charset, order=3, tied=tied, use=use)
    logits = np.random.default_rng(4).normal(size=(5, 20, 4))
    changed = 0
    for image, (reading, without, greedy) in enumerate(zip(
            BeamDecoder(charset, 2000, model)(logits), BeamDecoder(charset, 2000)(logits),
            GreedyDecoder(charset)(logits), strict=True)):
        expected = exact_scores(model, use, charset, reference.softmax(logits[:, image]))
        assert reading.text == max(expected, key=expected.get)
        changed += reading.text != without.text
        shares = {text: math.exp(score / use.temperature) for text, score in expected.items()}
        share = shares[reading.text] / sum(shares.values())
        least = greedy.confidence if reading.text == greedy.text else 0
        assert reading.confidence == pytest.approx(max(share, least), rel=0.02)  # what is hopeless is left out
    assert changed > 3


def test_what_the_network_alone_reads_too_is_at_least_as_sure_as_there():
    model, _ = train_model(WORDS, ABC, order=3, use=Use(0.5, 0.4, 1.0, 2.0, 5.0))
    logits = np.random.default_rng(9).normal(size=(6, 60, 4)) * 5
    decoder, greedy = BeamDecoder(ABC, 10, model), GreedyDecoder(ABC)(logits)
    surer = 0
    for reading, alone, (first, *_) in zip(decoder(logits), greedy, decoder.ranked(logits), strict=True):
        same = first.text == alone.text
        surer += same and alone.confidence > first.confidence
        assert (reading.text, reading.confidence) == (
            first.text, max(first.confidence, alone.confidence) if same else first.confidence)
    assert surer > 5


def test_a_sure_reading_is_left_alone():
    model, _ = train_model(["cab"] * 50, ABC, order=3)
    logits = np.random.default_rng(6).normal(size=(6, 40, 4)) * 8
    greedy = GreedyDecoder(ABC, 0.9)(logits)
    strong = Use(5.0, 5.0, sure=0.6)
    always = BeamDecoder(ABC, 10, model, Use(5.0, 5.0), 0.9)(logits)
    got = BeamDecoder(ABC, 10, model, strong, 0.9)(logits)
    sure = [reading.confidence >= 0.6 for reading in greedy]
    assert 5 < sum(sure) < 35
    expected = [g if s else a for g, a, s in zip(greedy, always, sure, strict=True)]
    assert [reading.text for reading in got] == [reading.text for reading in expected]
    assert [r.confidence for r in got] == pytest.approx([r.confidence for r in expected], rel=1e-5)
    assert any(s and g.text != a.text for g, a, s in zip(greedy, always, sure, strict=True))
    nothing_sure = BeamDecoder(ABC, 10, model, Use(5.0, 5.0, sure=0.0), 0.9)(logits)
    assert nothing_sure == greedy


def test_what_is_no_word_loses_no_more_than_it_should():
    """A text that the model does not know stays ahead of a word it knows where the network prefers it by enough."""
    model, _ = train_model(["abab"] * 1000, ABC, order=4)
    probs = np.full((4, 1, 4), 0.001)
    for t, c in enumerate((2, 0, 2, 1)):
        probs[t, 0, c] = 0.98
        probs[t, 0, (0, 1, 0, 1)[t]] += 0.017
    logits = np.log(probs)
    assert BeamDecoder(ABC, 50, model, Use(1.0, 4.0))(logits)[0].text == "abab"
    assert BeamDecoder(ABC, 50, model, Use(1.0, 4.0, strange=math.exp(10)))(logits)[0].text == "cacb"


def test_a_search_for_the_next_best_is_thorough():
    """All texts of brute force with their shares; the search for reading alone drops those without hope."""
    model, _ = train_model(WORDS, ABC, order=3)
    use = Use(0.7, 0.4, 0.01, 2.0, 1.3)
    logits = np.random.default_rng(7).normal(size=(5, 1, 4)) * 4
    decoder = BeamDecoder(ABC, 10, model, use)
    expected = exact_scores(model, use, ABC, reference.softmax(logits[:, 0]))
    total = sum(math.exp(score / use.temperature) for score in expected.values())
    found = decoder.ranked(logits, 5000)[0]
    assert {reading.text for reading in found} == set(expected)
    for reading in found:
        share = math.exp(expected[reading.text] / use.temperature) / total
        assert reading.confidence == pytest.approx(share, rel=1e-9)
    some = decoder.ranked(logits)[0]
    assert len(some) <= 10 < len(found) and some[0].text == found[0].text
    others = next_best(logits[:, 0], ABC, Reading(found[0].text, 0.9), 4, decoder)
    assert [other.text for other in others] == [reading.text for reading in found[1:5]]
    assert others[0].confidence / others[1].confidence == pytest.approx(found[1].confidence / found[2].confidence)
    assert 0.05 < sum(other.confidence for other in others) <= 0.1


def test_reads_the_same_in_any_company():
    model, _ = train_model(WORDS, ABC, order=3, use=Use(0.8, 1.7, 0.004, 0.9, 1.45))
    logits = np.random.default_rng(8).normal(size=(7, 30, 4)) * 2
    decoder = BeamDecoder(ABC, language_model=model)
    together = decoder(logits)
    assert decoder(logits) == together
    for image, reading in enumerate(together):
        alone = decoder(logits[:, image:image + 1])[0]
        assert alone.text == reading.text and alone.confidence == pytest.approx(reading.confidence, rel=1e-5)
    assert decoder(logits[:, :0]) == []


def test_beam_options_are_checked(tmp_path):
    model, _ = train_model(WORDS, ABC, order=2)
    model.save(tmp_path / "model")
    assert BeamDecoder(ABC, language_model=str(tmp_path / "model")).language_model.order == 2
    with pytest.raises(ConfigError, match="beam_width"):
        BeamDecoder(ABC, 0)
    with pytest.raises(ConfigError, match="charset"):
        BeamDecoder(Charset("abcd"), language_model=model)
