import itertools

import numpy as np
import pytest

from src.common.errors import ConfigError, DataError
from src.reading import ctc
from tests import ctc_reference as reference


def score(em, image, texts):
    lengths = np.array([len(t) for t in texts])
    flat = np.array([c for t in texts for c in t], np.int64)
    labels = ctc.pad_labels(flat, lengths, em.relative.shape[2] - 1)
    return ctc.text_log_probability(em, np.full(len(texts), image), labels, lengths)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 8.0])
def test_every_text_has_its_brute_force_probability(sharpness):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5, 2, 4)) * sharpness
    em = ctc.emissions(logits, 4)
    texts = [t for n in range(7) for t in itertools.product(range(3), repeat=n)]  # all, also those that do not fit
    for image in range(2):
        expected = reference.all_texts(reference.softmax(logits[:, image]))
        assert abs(sum(expected.values()) - 1) < 1e-12
        got = score(em, image, texts)
        np.testing.assert_allclose(np.exp(got), [expected.get(t, 0.0) for t in texts], rtol=1e-12)
        assert all((p == -np.inf) == (t not in expected) for p, t in zip(got, texts, strict=True))


def test_texts_of_all_lengths_in_one_call_of_many_chunks():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(12, 3, 6))
    em = ctc.emissions(logits, 6)
    texts = [tuple(rng.integers(0, 5, rng.integers(0, 9))) for _ in range(1500)]
    images = rng.integers(0, 3, 1500)
    lengths = np.array([len(t) for t in texts])
    labels = ctc.pad_labels(np.array([c for t in texts for c in t]), lengths, 5)
    got = ctc.text_log_probability(em, images, labels, lengths)
    probs = reference.softmax(logits)
    expected = [reference.forward(probs[:, i], t) for i, t in zip(images, texts, strict=True)]
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-11)


def test_improbable_texts_do_not_underflow():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(6, 1, 4))
    texts = [t for n in range(5) for t in itertools.product(range(3), repeat=n)]
    # Each frame is 1000 times surer: log probabilities of minus several thousand, far below the smallest float.
    em = ctc.emissions(logits * 1000, 4)
    got = score(em, 0, texts)
    log_probs = logits[:, 0] * 1000 - np.logaddexp.reduce(logits[:, 0] * 1000, axis=-1, keepdims=True)
    best = {}
    for path in itertools.product(range(4), repeat=6):
        text = reference.collapse(path, 3)
        best.setdefault(text, []).append(sum(log_probs[t, c] for t, c in enumerate(path)))
    expected = [np.logaddexp.reduce(best[t]) if t in best else -np.inf for t in texts]
    assert min(e for e in expected if e > -np.inf) < -5000
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_temperature_divides_the_logits():
    logits = np.random.default_rng(4).normal(size=(5, 2, 4))
    np.testing.assert_allclose(np.exp(ctc.emissions(logits, 4, 2.5).log_probs()), reference.softmax(logits / 2.5))


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("sharpness, offset", [(0.0, 0), (1, 0), (5, -50), (30, 0), (5, 1000)])
def test_best_paths_in_single_precision_are_close(sharpness, offset, temperature):
    logits = (np.random.default_rng(5).normal(size=(24, 40, 6)) * sharpness + offset).astype(np.float32)
    logits[:, 0, 5] += 100 + 10 * sharpness  # reads nothing
    logits[::3, 1] = logits[0, 1]  # repeats
    flat, lengths, log_p = ctc.read_best_paths(logits, 6, temperature)
    em = ctc.emissions(logits.astype(np.float64), 6, temperature)
    best, expected_lengths = ctc.best_path(em.best, 5)
    assert flat.tolist() == best.tolist() and lengths.tolist() == expected_lengths.tolist() and lengths[0] == 0
    expected = ctc.text_log_probability(em, np.arange(40), ctc.pad_labels(flat, lengths, 5), lengths)
    np.testing.assert_allclose(log_p, expected, rtol=1e-5, atol=1e-5)


def test_one_frame_is_enough():
    logits = np.array([[[1.0, 3.0, 2.0], [0.0, 0.0, 4.0]]])
    flat, lengths, log_p = ctc.read_best_paths(logits, 3)
    assert flat.tolist() == [1] and lengths.tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(log_p), reference.softmax(logits)[0, [0, 1], [1, 2]], rtol=1e-6)
    em = ctc.emissions(logits, 3)
    np.testing.assert_allclose(np.exp(score(em, 0, [(0,), (1,), (), (0, 1)])),
                               [*reference.softmax(logits)[0, 0], 0.0], rtol=1e-12)


def test_scores_in_half_precision_are_computed_in_single_precision():
    logits = np.random.default_rng(6).normal(size=(24, 5, 6)).astype(np.float16) * 3
    np.testing.assert_array_equal(ctc.read_best_paths(logits, 6)[2],
                                  ctc.read_best_paths(logits.astype(np.float32), 6)[2])


def test_best_path_and_required_steps():
    best = np.array([[0, 2, 2], [0, 0, 2], [2, 1, 2], [0, 1, 2], [1, 2, 2]])  # (T, N), blank 2
    flat, lengths = ctc.best_path(best.copy(), 2)
    assert flat.tolist() == [0, 0, 1, 0, 1] and lengths.tolist() == [3, 2, 0]
    labels = ctc.pad_labels(flat, lengths, 2)
    assert labels.tolist() == [[0, 0, 1], [0, 1, 2], [2, 2, 2]]
    assert ctc.required_steps(labels, lengths).tolist() == [4, 2, 0]


def test_log_probabilities_of_zero_are_allowed():
    logits = np.full((3, 1, 3), -np.inf)
    logits[0, 0, 0] = logits[1, 0, 2] = logits[2, 0, 0] = 0.0
    em = ctc.emissions(logits, 3)
    assert score(em, 0, [(0, 0), (0,), (1,)]).tolist() == [0.0, -np.inf, -np.inf]


@pytest.mark.parametrize("shape", [(5, 2, 5), (0, 2, 4), (5, 4)])
def test_wrong_shape_names_the_charset(shape):
    with pytest.raises(ConfigError, match="label_dict"):
        ctc.emissions(np.zeros(shape), 4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_diverged_network_is_an_error(value):
    logits = np.zeros((5, 2, 4))
    logits[2, 1, 1] = value
    with pytest.raises(DataError, match="NaN"):
        ctc.emissions(logits, 4)


def test_temperature_must_be_positive():
    with pytest.raises(ConfigError, match="temperature"):
        ctc.emissions(np.zeros((5, 2, 4)), 4, 0.0)
