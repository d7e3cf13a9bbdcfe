"""Where characters were read, and what else it could have been: against enumerating all paths."""
import itertools

import numpy as np
import pytest

from src.common.charset import Charset
from src.reading.alignment import align
from src.reading.alternatives import next_best
from src.reading.greedy import GreedyDecoder
from src.reading.lexicon_decoder import LexiconDecoder
from src.reading.reading import Reading
from tests import ctc_reference as reference

ABC = Charset("abc")


def paths_of(labels: tuple[int, ...], steps: int, classes: int):
    for path in itertools.product(range(classes), repeat=steps):
        if tuple(reference.collapse(np.array(path), classes - 1)) == labels:
            yield path


def spans(path: tuple[int, ...], blank: int) -> list[tuple[int, int]]:
    found, place = [], 0
    for label, group in itertools.groupby(path):
        length = len([*group])
        if label != blank:
            found.append((place, place + length - 1))
        place += length
    return found


@pytest.mark.parametrize("labels", [(), (0,), (0, 1), (1, 1), (0, 0, 2), (2, 1, 0)])
def test_alignment_is_the_best_of_all_paths(labels):
    for seed in range(8):
        scores = np.random.default_rng(seed).normal(size=(6, 4)) * 2
        best = max(paths_of(labels, 6, 4), key=lambda path: sum(scores[t, c] for t, c in enumerate(path)))
        assert align(scores, np.array(labels, int)) == spans(best, 3)


def test_a_text_without_room_has_no_place():
    assert align(np.zeros((3, 4)), np.array([0, 0, 1])) == []


def test_next_best_are_the_most_probable_texts():
    for seed in range(5):
        logits = (np.random.default_rng(seed).normal(size=(5, 1, 4)) * 2).astype(np.float32)
        p: dict[str, float] = {}
        probs = reference.softmax(logits[:, 0])
        for path in itertools.product(range(4), repeat=5):
            text = "".join("abc"[c] for c in reference.collapse(np.array(path), 3))
            p[text] = p.get(text, 0) + float(np.prod([probs[t, c] for t, c in enumerate(path)]))
        read = GreedyDecoder(ABC)(logits)[0]
        expected = sorted((text for text in p if text != read.text), key=lambda text: -p[text])[:40]
        for count in (3, 40):
            found = next_best(logits[:, 0], ABC, read, count, GreedyDecoder(ABC))
            assert [other.text for other in found] == expected[:count]
            assert [other.confidence for other in found] == pytest.approx([p[text] for text in expected[:count]])


def test_next_best_words_of_a_lexicon():
    logits = (np.random.default_rng(3).normal(size=(6, 1, 4))).astype(np.float32)
    words = ["a", "ab", "abc", "cb", "ba", "aaaaaaaa"]
    decoder = LexiconDecoder(ABC, words)
    probs = reference.softmax(logits[:, 0])
    p = {word: reference.forward(probs, ABC.encode(word).tolist()) for word in words[:5]}
    order = sorted(p, key=p.get, reverse=True)
    read = decoder(logits)[0]
    assert read.text == order[0] and decoder.ranked(logits)[0][0] == read
    found = next_best(logits[:, 0], ABC, read, 9, decoder)
    assert [other.text for other in found] == order[1:]
    total = sum(p.values()) + (1 - sum(p.values())) / 1e4
    assert [other.confidence for other in found] == pytest.approx([p[word] / total for word in order[1:]])


def test_next_best_of_a_sure_reading_leaves_it_out():
    logits = np.full((4, 4), -9, np.float32)
    logits[[0, 1, 2, 3], [0, 3, 1, 3]] = 9
    assert "ab" not in [other.text for other in next_best(logits, ABC, Reading("ab", 1.0), 5, GreedyDecoder(ABC))]
