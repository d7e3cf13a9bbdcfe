import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import ctc, lexicon
from src.reading.greedy import GreedyDecoder
from src.reading.lexicon import Lexicon, LexiconReport
from src.reading.lexicon_decoder import LexiconDecoder, best_of_groups
from src.reading.word_list import WordEncoder, read_words
from tests import ctc_reference as reference

ABC = Charset("abc")
ALNUM = Charset("0123456789abcdefghijklmnopqrstuvwxyz")


def random_words(rng, count, longest=8, alphabet="abc"):
    words = {"".join(rng.choice([*alphabet], rng.integers(1, longest + 1))) for _ in range(count)}
    return rng.permutation(sorted(words)).tolist()


def best_by_loop(logits, words, charset):
    """The best word by scoring all, one after the other; "" when none is possible."""
    probs = reference.softmax(logits)
    scores = {w: reference.forward(probs, charset.encode(w).tolist()) for w in words}
    best, inside = max(scores, key=scores.get), sum(scores.values())
    return (best, scores[best] / (inside + (1 - inside) / 1e4)) if scores[best] > 0 else ("", 0.0)


@pytest.mark.parametrize("sharpness", [0.3, 2.0, 6.0])
def test_shared_lexicon_is_exact(sharpness):
    rng = np.random.default_rng(1)
    words = random_words(rng, 150)  # three letters: many repeats, many shared prefixes, many that do not fit 6 frames
    logits = rng.normal(size=(6, 80, 4)) * sharpness
    decoder = LexiconDecoder(ABC, words)
    for n, reading in enumerate(decoder(logits)):
        text, confidence = best_by_loop(logits[:, n], words, ABC)
        assert reading.text == text
        assert reading.confidence == pytest.approx(confidence, rel=0.01)  # words far below the best are not counted
    required = [len(w) + sum(a == b for a, b in zip(w, w[1:], strict=False)) for w in words]
    assert decoder.report.infeasible == sum(r > 6 for r in required) > 10
    decoder(logits)
    assert decoder.report.infeasible == sum(r > 6 for r in required)  # reported once, not at every call


@pytest.mark.parametrize("width", [1, 2])
def test_no_more_rivals_are_looked_for_than_are_promising(monkeypatch, width):
    """Words that are all alike: as many are found at each depth as nodes are kept, and the best one."""
    monkeypatch.setattr(lexicon, "_RIVAL_WIDTH", width)
    decoder = LexiconDecoder(ABC, ["a", "b", "c"])
    (readings,) = decoder.ranked(np.zeros((3, 1, 4)))
    assert width <= len(readings) <= width + 1


def test_a_text_much_longer_than_all_words_has_none_near():
    subject = Lexicon(["ab", "abc"], WordEncoder(ABC))
    texts = np.tile(np.array([0, 1, 2]), (2, 10))
    text, word = subject.near(texts, np.array([30, 2]), 1)
    assert [(int(t), subject.words[w]) for t, w in zip(text, word, strict=True)] == [(1, "ab"), (1, "abc")]


def test_per_image_lexicons_are_exact():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(7, 60, 4)) * 2
    lexicons = [random_words(rng, rng.integers(1, 40)) for _ in range(60)]
    decoder = LexiconDecoder(ABC)
    for n, reading in enumerate(decoder(logits, lexicons)):
        text, confidence = best_by_loop(logits[:, n], lexicons[n], ABC)
        assert reading.text == text and reading.confidence == pytest.approx(confidence, rel=1e-9)
    assert decoder.report.words == sum(map(len, lexicons)) and decoder.report.duplicates == 0
    doubled = LexiconDecoder(ABC)
    again = doubled(logits, [[*words, *(word.upper() for word in words)] for words in lexicons])
    assert again == decoder(logits, lexicons)  # a word that is there twice counts once
    assert doubled.report.duplicates == sum(map(len, lexicons))


@pytest.mark.parametrize("widths", [(8, 64, 512, 4096, 2**62), (1, 2**62), (2, 5, 2**62), (2**62,)])
def test_search_equals_scoring_every_word(widths, monkeypatch):
    monkeypatch.setattr(lexicon, "_WIDTHS", widths)
    rng = np.random.default_rng(3)
    words = random_words(rng, 2000, 12, "abcdefgh")
    subject = Lexicon(words, WordEncoder(ALNUM))
    for noise in (1.0, 2.5, 4.0):
        chosen = [words[i] for i in rng.integers(0, len(words), 30)]
        em = ctc.emissions(reference.word_logits(rng, ALNUM, chosen, noise=noise), 37)
        word, log_p = subject.most_probable(em)
        all_word, all_log_p = subject.exhaustive(em, np.arange(30))
        np.testing.assert_array_equal(word, all_word)
        np.testing.assert_allclose(log_p, all_log_p, rtol=1e-9)


def test_words_of_vanishing_probability_are_still_compared():
    rng = np.random.default_rng(4)
    logits = reference.word_logits(rng, ALNUM, ["hello"] * 3) * 200  # every other word is below 1e-308
    words = ["help", "bills", "zzzz", "mellow"]
    with np.errstate(under="ignore"):
        readings = LexiconDecoder(ALNUM, words)(logits)
        per_image = LexiconDecoder(ALNUM)(logits, [words] * 3)
    em = ctc.emissions(logits, 37)
    scores = np.array([[ctc._forward_log(em, np.array([n]), ALNUM.encode(w)[None].astype(int), np.array([len(w)]))[0]
                        for w in words] for n in range(3)])
    expected = [words[i] for i in scores.argmax(axis=1)]
    assert scores.max() < -700
    assert [r.text for r in readings] == [r.text for r in per_image] == expected


def test_unusable_words_are_reported():
    words = ["Don't", "dont", "...", "", "naïve", "hello" * 5, "字", "ok"]
    charset = Charset("abcdefghijklmnopqrstuvwxyz0123456789")
    decoder = LexiconDecoder(charset, words)
    logits = reference.word_logits(np.random.default_rng(0), charset, ["dont", "ok"], noise=0.5)
    assert [r.text for r in decoder(logits)] == ["Don't", "ok"]  # as the lexicon spells it
    report = decoder.report
    # By the protocol "naïve" is "nave" and "字" is empty.
    assert (report.words, report.duplicates, report.empty, report.outside, report.infeasible) == (8, 1, 3, 0, 1)
    assert "3 empty" in report.summary() and "1 too long" in report.summary() and "outside" not in report.summary()
    assert report.examples == ["...", "", "字", "hello" * 5]
    per_image = LexiconDecoder(charset)
    assert [r.text for r in per_image(logits, [words, words])] == ["Don't", "ok"]
    assert per_image.report.examples == ["...", "", "字", "...", ""]
    assert (per_image.report.words, per_image.report.empty, per_image.report.infeasible) == (16, 6, 2)
    sensitive = LexiconDecoder(Charset("abA"), ["Ab", "ab", "B", "x!"])
    assert (sensitive.report.outside, sensitive.report.examples) == (2, ["B", "x!"])


def test_nothing_possible_reads_as_empty_and_is_counted():
    logits = np.zeros((3, 2, 4))
    for decoder, lexicons in [(LexiconDecoder(ABC, ["abcabc", "aaa"]), None),
                              (LexiconDecoder(ABC, ["abcabc", "aaa"], delta=1), None),
                              (LexiconDecoder(ABC), [["aaa"], []])]:
        assert [(r.text, r.confidence) for r in decoder(logits, lexicons)] == [("", 0.0)] * 2
        assert decoder.report.unread == 2 and "2 images without a possible word" in decoder.report.summary()


def test_misuse_is_one_sentence():
    with pytest.raises(ConfigError, match="needs words"):
        LexiconDecoder(ABC)(np.zeros((3, 2, 4)))
    with pytest.raises(ConfigError, match="1 lexicons for 2 images"):
        LexiconDecoder(ABC)(np.zeros((3, 2, 4)), [["a"]])
    with pytest.raises(ConfigError, match="no word"):
        LexiconDecoder(ABC, ["xyz", ""])
    with pytest.raises(ConfigError, match="delta"):
        LexiconDecoder(ABC, ["a"], delta=-1)
    with pytest.raises(ConfigError, match="0 to 200"):
        LexiconDecoder(ABC, ["a"], delta=201)
    assert LexiconDecoder(ABC, ["a"], delta=200)(np.zeros((3, 1, 4)))[0].text == "a"


@pytest.mark.parametrize("delta", [0, 1, 2, 3, 5])
def test_near_words_against_a_plain_loop(delta):
    rng = np.random.default_rng(delta)
    words = random_words(rng, 300, 9)
    subject = Lexicon(words, WordEncoder(ABC))
    texts = [*random_words(rng, 25, 14), "", "a", subject.words[7]]
    labels = [ABC.encode(t) for t in texts]
    lengths = np.array([len(t) for t in texts])
    padded = ctc.pad_labels(np.concatenate(labels).astype(np.int64), lengths, ABC.blank)
    text, word = subject.near(padded, lengths, delta)
    got = [(int(t), subject.words[w]) for t, w in zip(text, word, strict=True)]
    expected = {(i, w) for i, t in enumerate(texts) for w in words if reference.levenshtein(t, w) <= delta}
    assert set(got) == expected and len(got) == len(expected)
    assert (np.diff(text) >= 0).all()


@pytest.mark.parametrize("delta", [0, 1, 2])
def test_delta_scores_the_near_words_only_and_falls_back_to_all(delta):
    rng = np.random.default_rng(5)
    words = random_words(rng, 120, 7, "abcdef")
    chosen = [words[i] for i in rng.integers(0, len(words), 25)]
    logits = reference.word_logits(rng, ALNUM, chosen, noise=2.2)
    greedy = [r.text for r in GreedyDecoder(ALNUM)(logits)]
    decoder = LexiconDecoder(ALNUM, words, delta=delta)
    without = 0
    for n, reading in enumerate(decoder(logits)):
        near = [w for w in words if reference.levenshtein(w, greedy[n]) <= delta]
        without += not near
        assert reading.text == best_by_loop(logits[:, n], near or words, ALNUM)[0]
    assert decoder.report.no_candidate == without > 0


def test_best_of_groups_takes_the_first_of_equals():
    row, best = best_of_groups(np.array([0, 0, 0, 2, 2]), np.array([1.0, 3.0, 3.0, -np.inf, -np.inf]), 4)
    assert row.tolist() == [1, -1, 3, -1] and best.tolist() == [3.0, -np.inf, -np.inf, -np.inf]


def test_trie_holds_the_words_and_nothing_else():
    words = random_words(np.random.default_rng(6), 400)
    subject = Lexicon(words, WordEncoder(ABC))
    found = {}

    def walk(node, prefix):
        if subject.word[node] >= 0:
            found[prefix] = subject.words[subject.word[node]]
        for child in range(subject.first_child[node], subject.first_child[node] + subject.child_count[node]):
            walk(child, prefix + "abc"[subject.char[child]])

    walk(0, "")
    assert found == {w: w for w in words}
    assert len(subject.char) == len({w[:i] for w in words for i in range(len(w) + 1)})


def test_read_words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffone\r\n\n two \nthree".encode())
    assert read_words(path) == ["one", "two", "three"]
    hunspell = tmp_path / "words.dic"
    hunspell.write_text("3\nAb/MS\nword\n12/3\n")
    assert read_words(hunspell) == ["Ab", "word", "12"]
    path.write_bytes(b"\n \n")
    with pytest.raises(ConfigError, match="no words"):
        read_words(path)
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_words(path)
    with pytest.raises(FileNotFoundError):
        read_words(tmp_path / "absent")


def test_report_keeps_few_examples():
    report = LexiconReport()
    report.example(["a", "b", "c"])
    report.example(["d", "e", "f"])
    assert report.examples == ["a", "b", "c", "d", "e"]


def test_genuine_lexicon_is_searched_exactly(shared_data):
    words = read_words(shared_data / "mjsynth" / "lexicon.txt")
    assert len(words) == 88172
    rng = np.random.default_rng(7)
    chosen = [words[i] for i in rng.integers(0, len(words), 4)]
    logits = np.concatenate([reference.word_logits(rng, ALNUM, chosen, noise=n) for n in (1.0, 2.0)], axis=1)
    decoder = LexiconDecoder(ALNUM, words)
    readings = decoder(logits)
    em = ctc.emissions(logits, 37)
    word, log_p = decoder.lexicon.exhaustive(em, np.arange(8))
    assert [r.text for r in readings] == [decoder.lexicon.words[i] for i in word]
    # The confidences against the sum over all words.
    for n, reading in enumerate(readings):
        scores = ctc.text_log_probability(em, np.full(88172, n), decoder.lexicon.labels, decoder.lexicon.lengths)
        inside = np.exp(scores).sum()
        expected = np.exp(log_p[n]) / (inside + (1 - inside) / 1e4)
        assert reading.confidence == pytest.approx(expected, rel=0.01, abs=0.04)
    assert [r.text for r in readings[:4]] == chosen
    assert decoder.report.summary() == "lexicon: 88172 words"
