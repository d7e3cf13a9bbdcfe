import json
import math
import subprocess
import sys

import numpy as np
import pytest

from src import metric
from src.common.charset import Charset
from src.common.errors import ConfigError
from src.metric import (
    EvalResult,
    calibration_error_by_chance,
    evaluate_readings,
    expected_calibration_error,
    fit_temperature,
    group_of,
    result_lines,
    wilson_interval,
)
from src.reading.greedy import GreedyDecoder
from src.reading.reading import Reading
from tests import ctc_reference as reference

ALNUM = Charset("0123456789abcdefghijklmnopqrstuvwxyz")
SENSITIVE = Charset("abcABC!")


def random_words(rng, count):
    truths = ["".join(rng.choice([*"ab1"], rng.integers(0, 8))) for _ in range(count)]
    predictions = [t if rng.random() < 0.5 else "".join(rng.choice([*"ab1"], rng.integers(0, 8))) for t in truths]
    return truths, predictions


def test_evaluation_against_plain_definitions():
    rng = np.random.default_rng(0)
    truths, predictions = random_words(rng, 400)
    result = evaluate_readings(truths, predictions)
    pairs = list(zip(truths, predictions, strict=True))
    assert result.total == 400 and result.correct == sum(t == p for t, p in pairs) == result.accuracy * 400
    ned = [reference.levenshtein(t, p) / max(len(t), len(p)) if max(len(t), len(p)) else 0 for t, p in pairs]
    assert result.one_minus_ned == pytest.approx(1 - sum(ned) / 400)
    operations = sum(reference.levenshtein(t, p) for t, p in pairs)
    assert (result.edit_operations, result.truth_characters) == (operations, sum(map(len, truths)))
    assert result.cer == pytest.approx(operations / sum(map(len, truths)))
    for length in range(8):
        rows = [t == p for t, p in pairs if len(t) == length]
        assert (result.per_length[length].correct, result.per_length[length].total) == (sum(rows), len(rows))
    kinds = {"letters": lambda t: t and set(t) <= {*"ab"}, "digits": lambda t: t and set(t) <= {"1"},
             "mixed": lambda t: "1" in t and ("a" in t or "b" in t), "other": lambda t: not t}
    for group, belongs in kinds.items():
        rows = [t == p for t, p in pairs if belongs(t)]
        assert (result.per_group[group].correct, result.per_group[group].total) == (sum(rows), len(rows))
    assert list(result.per_group) == ["letters", "digits", "mixed", "other"]
    assert result.ece is None and result.mean_confidence is None


def test_both_sides_are_normalised_and_readings_bring_confidence():
    result = evaluate_readings(["Hello!", "x"], [Reading("hello", 0.75), Reading("X", 0.5)], ALNUM)
    assert result.correct == 2 and result.mean_confidence == 0.625
    assert result.ece == pytest.approx(0.375)
    assert evaluate_readings(["a", "b"], ["A", "b"], SENSITIVE).correct == 1


def test_no_words_and_empty_truths():
    result = evaluate_readings([], [])
    assert (result.total, result.accuracy, result.cer, result.one_minus_ned) == (0, 0, 0, 0)
    assert result.interval == (0, 1) and result.per_length == {} and result.per_group == {}
    result = evaluate_readings(["!", "?"], ["", "ab"], ALNUM)
    assert (result.correct, result.edit_operations, result.one_minus_ned, result.cer) == (1, 2, 0.5, 1.0)
    with pytest.raises(ValueError, match="2 truths against 1 readings"):
        evaluate_readings(["a", "b"], ["a"])


def test_result_is_plain_json():
    result = evaluate_readings(["ab", "abc", "1"], [Reading("ab", 0.9), Reading("x", 0.2), Reading("1", 0.3)], ALNUM)
    again = json.loads(json.dumps(result.to_dict()))
    assert again["per_length"]["3"] == {"correct": 0, "total": 1, "accuracy": 0.0}
    assert again["per_group"]["letters"] == {"correct": 1, "total": 2, "accuracy": 0.5}
    assert again["accuracy"] == result.accuracy and again["interval"] == list(result.interval)
    assert EvalResult.from_dict(again) == result
    assert EvalResult.from_dict(json.loads(json.dumps(evaluate_readings([], []).to_dict()))).interval == (0, 1)


@pytest.mark.parametrize("text, group", [("abc", "letters"), ("ÄÖ", "letters"), ("12", "digits"), ("a1", "mixed"),
                                         ("", "other"), ("a-b", "other"), ("1.5", "other"), ("字1", "mixed")])
def test_groups(text, group):
    assert group_of(text) == group


def test_wilson_interval_is_where_the_score_test_says():
    # The bounds p solve |share - p| = z * sqrt(p (1 - p) / n).
    for correct, total in [(2392, 3000), (1, 7), (0, 10), (10, 10)]:
        low, high = wilson_interval(correct, total)
        for bound in (low, high):
            gap = abs(correct / total - bound)
            assert gap == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / total), abs=1e-7)
        assert 0 <= low <= correct / total <= high <= 1


@pytest.mark.parametrize("alternating", [False, True], ids=["sure of itself", "right in every other bin"])
def test_calibration_error_against_a_plain_loop(alternating):
    rng = np.random.default_rng(1)
    confidence = np.concatenate([rng.random(500), [0.0, 1.0, 1 / 15, 2 / 15]])
    # Gaps of both signs side by side: two bins taken for one would cancel out.
    right = np.ceil(confidence * 15) % 2 == 0 if alternating else rng.random(504) < confidence**2
    expected = 0.0
    for k in range(15):
        rows = [(c, r) for c, r in zip(confidence, right, strict=True)
                if (k / 15 < c <= (k + 1) / 15 or (k == 0 and c == 0))]
        if rows:
            gap = sum(c for c, _ in rows) / len(rows) - sum(r for _, r in rows) / len(rows)
            expected += len(rows) / 504 * abs(gap)
    assert expected_calibration_error(confidence, right) == pytest.approx(expected)
    assert expected_calibration_error(np.zeros(0), np.zeros(0)) == 0
    # 0.2 = 3/15 belongs to the bin that ends there, apart from 0.25.
    assert expected_calibration_error(np.array([0.2, 0.25]), np.array([True, False])) == pytest.approx((0.8 + 0.25) / 2)


@pytest.mark.parametrize("words", [50, 400])
def test_calibration_error_by_chance_against_the_binomial_distribution(words):
    """All words with confidence 0.8 lie in one bin: the error is |share right - 0.8|, its mean that of a binomial."""
    expected = sum(math.comb(words, k) * 0.8**k * 0.2**(words - k) * abs(k / words - 0.8) for k in range(words + 1))
    assert calibration_error_by_chance(np.full(words, 0.8), draws=2000) == pytest.approx(expected, rel=0.06)
    assert calibration_error_by_chance(np.ones(words)) == calibration_error_by_chance(np.zeros(0)) == 0


def test_fitted_temperature_undoes_a_known_one():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(5, 4000, 4)) * 2
    # Truths drawn from the network's own distribution: then temperature 1 is right, and 2 for logits twice as large.
    probs = reference.softmax(logits)
    paths = (probs.cumsum(axis=-1) < rng.random((5, 4000, 1))).sum(axis=-1)
    truths = ["".join("abc"[c] for c in reference.collapse(paths[:, n], 3)) for n in range(4000)]
    charset = Charset("abc")
    right = np.array([r.text == t for r, t in zip(GreedyDecoder(charset)(logits), truths, strict=True)])

    def confidence(temperature):
        return np.array([r.confidence for r in GreedyDecoder(charset, temperature)(logits * 2)])

    temperature = fit_temperature(confidence, right)
    assert temperature == pytest.approx(2, rel=0.08)
    before, after = (expected_calibration_error(confidence(t), right) for t in (1.0, temperature))
    assert after < 0.03 < before / 3


def test_result_lines_are_the_model_zoos():
    assert result_lines(2392, 3000) == ("correct num: 2392 , total num: 3000",
                                        "result: {'CRNNAccuracy': 0.7973333333333333}")
    assert result_lines(0, 0)[1] == "result: {'CRNNAccuracy': 0.0}"


@pytest.fixture(scope="module")
def batch():
    words = ["hello", "10", "zz", "abcabc"]
    logits = reference.word_logits(np.random.default_rng(3), ALNUM, words, noise=1.0)
    labels = np.full((4, 23), ALNUM.blank, np.int32)
    for row, text in zip(labels, ["hello", "10", "z", "abcabc"], strict=True):
        row[:len(text)] = ALNUM.encode(text)
    return logits, labels


def test_crnn_accuracy_counts_over_batches(batch, capsys):
    from mindspore import Tensor
    from mindspore.train import Metric
    logits, labels = batch
    accuracy = metric.CRNNAccuracy(ALNUM, print_flag=True)
    assert isinstance(accuracy, Metric)
    accuracy.update(Tensor(logits), Tensor(labels))
    accuracy.update(logits[:, :1], labels[:1], np.array([5]))
    assert accuracy.eval() == 4 / 5
    out = capsys.readouterr().out
    assert "correct num: 4 , total num: 5\n" in out and "prediction: zz , truth: z\n" in out
    accuracy.clear()
    with pytest.raises(RuntimeError, match="update"):
        accuracy.eval()
    accuracy.update(logits, labels, np.array([5, 2, 1, 3]))
    assert accuracy.eval() == 2 / 4


def test_crnn_accuracy_takes_a_configuration_and_checks_its_input(batch):
    logits, labels = batch

    class Config:
        label_dict = ALNUM.characters

    accuracy = metric.CRNNAccuracy(Config())
    with pytest.raises(ConfigError, match="3 labels for 4 images"):
        accuracy.update(logits, labels[:3])
    with pytest.raises(ValueError, match="1 inputs"):
        accuracy.update(logits)


def test_crnn_accuracy_works_without_mindspore():
    code = ("import sys; sys.modules['mindspore'] = None; sys.modules['mindspore.train'] = None\n"
            "import numpy as np\n"
            "from src.common.charset import Charset\n"
            "from src.metric import CRNNAccuracy\n"
            "m = CRNNAccuracy(Charset('ab'))\n"
            "m.update(np.zeros((3, 1, 3)), np.array([[0, 2]]))\n"
            "assert m.eval() == 1\n")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="no attribute"):
        metric.CRNNAcuracy  # noqa: B018
