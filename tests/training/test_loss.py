"""The losses against a float64 reference written for this test."""
import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from src.common.errors import ConfigError
from src.loss import CTCLoss, FrameLoss

STEPS, CLASSES = 12, 6
BLANK = CLASSES - 1
LABELS = [[0, 1, 2], [3, 3, 3], [], [4] * 6, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1], [1], [0, 0, 1, 1]]
IMPOSSIBLE = [[2] * 7, [0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 1], [0, 1] * 7]


def reference_ctc(scores, label):
    """Loss and gradient with respect to the scores (T, C), by the textbook recursions in float64."""
    steps = len(scores)
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    path = [BLANK]
    for symbol in label:
        path += [symbol, BLANK]
    size = len(path)
    skip = [s >= 2 and path[s] != BLANK and path[s] != path[s - 2] for s in range(size)]
    alpha = np.full((steps, size), -np.inf)
    beta = np.full((steps, size), -np.inf)
    alpha[0, :2] = [log_p[0, k] for k in path[:2]]
    beta[-1, -2:] = [log_p[-1, k] for k in path[-2:]]
    for t in range(1, steps):
        for s in range(size):
            options = [alpha[t - 1, s]] + ([alpha[t - 1, s - 1]] if s else [])
            options += [alpha[t - 1, s - 2]] if skip[s] else []
            alpha[t, s] = np.logaddexp.reduce(options) + log_p[t, path[s]]
            back, r = steps - 1 - t, size - 1 - s
            options = [beta[back + 1, r]] + ([beta[back + 1, r + 1]] if r + 1 < size else [])
            options += [beta[back + 1, r + 2]] if r + 2 < size and skip[r + 2] else []
            beta[back, r] = np.logaddexp.reduce(options) + log_p[back, path[r]]
    likelihood = np.logaddexp.reduce(alpha[-1, -2:])
    gradient = np.exp(log_p)
    for t in range(steps):
        for k in range(len(gradient[0])):
            through = [alpha[t, s] + beta[t, s] - log_p[t, k] for s in range(size) if path[s] == k]
            if through:
                gradient[t, k] -= np.exp(np.logaddexp.reduce(through) - likelihood)
    return -likelihood, gradient


def pack(labels):
    width = max(len(label) for label in labels)
    padded = np.full((len(labels), width), BLANK, np.int32)
    for row, label in enumerate(labels):
        padded[row, :len(label)] = label
    return ms.Tensor(padded), ms.Tensor([len(label) for label in labels], ms.int32)


def scores_for(labels, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (STEPS, len(labels), CLASSES))


def run(loss, scores, labels):
    ms.set_context(mode=ms.GRAPH_MODE)
    label, length = pack(labels)

    def forward(x):
        return loss(x, label, length)

    grad = ops.value_and_grad(forward, 0, has_aux=True)
    (value, impossible), gradient = grad(ms.Tensor(scores, ms.float32))
    return float(value.asnumpy()), int(impossible.asnumpy()), gradient.asnumpy()


def test_reference_against_enumeration():
    """The reference itself: all paths of a tiny case, added up."""
    scores = np.random.default_rng(3).normal(size=(4, CLASSES))
    p = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    total = 0.0
    for path in np.ndindex(*[CLASSES] * 4):
        collapsed = [k for i, k in enumerate(path) if k != BLANK and (i == 0 or path[i - 1] != k)]
        if collapsed == [1, 1]:
            total += np.prod([p[t, k] for t, k in enumerate(path)])
    assert reference_ctc(scores, [1, 1])[0] == pytest.approx(-np.log(total))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_value_and_gradient(reduction):
    scores = scores_for(LABELS)
    value, impossible, gradient = run(CTCLoss(reduction), scores, LABELS)
    expected = [reference_ctc(scores[:, n], label) for n, label in enumerate(LABELS)]
    divisor = len(LABELS) if reduction == "mean" else 1
    assert impossible == 0
    assert value == pytest.approx(sum(loss for loss, _ in expected) / divisor, rel=1e-5)
    np.testing.assert_allclose(gradient, np.stack([g for _, g in expected], axis=1) / divisor, atol=1e-5)


def test_impossible_samples_count_as_zero():
    labels = LABELS[:3] + IMPOSSIBLE + LABELS[3:]
    scores = scores_for(labels)
    value, impossible, gradient = run(CTCLoss("sum"), scores, labels)
    possible = [n for n in range(len(labels)) if n not in (3, 4, 5)]
    assert impossible == len(IMPOSSIBLE)
    assert value == pytest.approx(sum(reference_ctc(scores[:, n], labels[n])[0] for n in possible), rel=1e-5)
    assert not gradient[:, 3:6].any()
    assert np.isfinite(gradient).all() and np.abs(gradient[:, possible]).min(axis=(0, 2)).all()


def test_a_whole_batch_of_impossible_samples():
    value, impossible, gradient = run(CTCLoss("mean"), scores_for(IMPOSSIBLE), IMPOSSIBLE)
    assert (value, impossible) == (0.0, 3) and not gradient.any()


def test_float16_scores_are_computed_in_float32():
    ms.set_context(mode=ms.GRAPH_MODE)
    label, length = pack(LABELS)
    scores = scores_for(LABELS).astype(np.float16)
    loss, _ = CTCLoss("sum")(ms.Tensor(scores), label, length)
    expected = sum(reference_ctc(scores[:, n].astype(np.float64), label)[0] for n, label in enumerate(LABELS))
    assert loss.dtype == ms.float32 and float(loss.asnumpy()) == pytest.approx(expected, rel=1e-5)


def test_padding_value_does_not_matter():
    scores = scores_for(LABELS)
    label, length = pack(LABELS)
    other = np.array(label.asnumpy())
    for row, count in enumerate(length.asnumpy()):
        other[row, count:] = 0
    loss = CTCLoss("sum")
    first, _ = loss(ms.Tensor(scores, ms.float32), label, length)
    second, _ = loss(ms.Tensor(scores, ms.float32), ms.Tensor(other), length)
    assert float(first.asnumpy()) == pytest.approx(float(second.asnumpy()), rel=1e-6)


def test_the_operator_gets_only_what_its_page_allows(monkeypatch):
    """Constraints of aclnnCtcLoss (CANN 9.1.0, loss/ctc_loss_v2); rows that are empty, impossible or padded with the
    blank included. Lengths that are the same for all rows and batches give every result a fixed shape."""
    seen = []

    def record(log_probs, targets, input_lengths, target_lengths, blank, reduction):
        arrays = [value.asnumpy() for value in (log_probs, targets, input_lengths, target_lengths)]
        seen.append((*arrays, blank, reduction))
        return genuine(log_probs, targets, input_lengths, target_lengths, blank=blank, reduction=reduction)

    genuine = ops.ctc_loss
    monkeypatch.setattr(ops, "ctc_loss", record)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    label, length = pack(LABELS + IMPOSSIBLE)
    CTCLoss()(ms.Tensor(scores_for(LABELS + IMPOSSIBLE), ms.float32), label, length)
    (log_probs, targets, input_lengths, target_lengths, blank, reduction), = seen
    steps, batch, classes = log_probs.shape
    assert log_probs.dtype == np.float32 and np.isfinite(log_probs).all() and reduction == "none"
    np.testing.assert_allclose(np.exp(log_probs.astype(np.float64)).sum(axis=2), 1, rtol=1e-5)
    assert targets.dtype == input_lengths.dtype == target_lengths.dtype == np.int32
    assert 0 <= blank < classes and targets.min() >= 0 and targets.max() < classes and (targets != blank).all()
    assert targets.shape[0] == input_lengths.size == target_lengths.size == batch
    assert target_lengths.min() >= 1 and (target_lengths <= input_lengths).all() and input_lengths.max() <= steps
    assert target_lengths.max() <= targets.shape[1] <= 1000
    assert set(target_lengths) == {targets.shape[1]} and set(input_lengths) == {steps}


def test_value_and_gradient_are_those_of_the_operator_alone():
    """Bit for bit: the fill changes nothing but what the operator is asked."""
    labels = [label for label in LABELS if label]
    scores = ms.Tensor(scores_for(labels), ms.float32)
    label, length = pack(labels)
    input_length = ms.Tensor([STEPS] * len(labels), ms.int32)

    def alone(x):
        losses, _ = ops.ctc_loss(ops.log_softmax(x, axis=2), label, input_length, length, blank=BLANK,
                                 reduction="none")
        return losses.sum()

    ms.set_context(mode=ms.GRAPH_MODE)
    value, gradient = ops.value_and_grad(alone, 0)(scores)
    filled_value, _, filled_gradient = run(CTCLoss("sum"), scores.asnumpy(), labels)
    assert filled_value == float(value.asnumpy())
    np.testing.assert_array_equal(filled_gradient, gradient.asnumpy())


def test_a_word_as_long_as_the_label_array_and_one_column_of_labels():
    for labels in ([[0, 1, 2], [2, 1, 0]], [[3], []]):
        scores = scores_for(labels)
        value, impossible, gradient = run(CTCLoss("sum"), scores, labels)
        expected = [reference_ctc(scores[:, n], label) for n, label in enumerate(labels)]
        assert impossible == 0 and value == pytest.approx(sum(loss for loss, _ in expected), rel=1e-5)
        np.testing.assert_allclose(gradient, np.stack([g for _, g in expected], axis=1), atol=1e-5)


def test_a_very_improbable_word_keeps_its_loss():
    """Scores of a run that goes wrong: the word is improbable, not impossible."""
    labels = [[0, 1, 2], [3, 3]]
    scores = scores_for(labels) * 1e4
    value, impossible, gradient = run(CTCLoss("sum"), scores, labels)
    expected = sum(reference_ctc(scores[:, n], label)[0] for n, label in enumerate(labels))
    assert impossible == 0 and value == pytest.approx(expected, rel=1e-5) and np.isfinite(gradient).all()


def reference_frame_loss(cell, features, labels):
    """Sum over the words of the mean cross-entropy of their columns, in float64."""
    scores = features.astype(np.float64) @ cell.head.weight.asnumpy().T.astype(np.float64) + cell.head.bias.asnumpy()
    log_p = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
    total = 0.0
    for n, word in enumerate(labels):
        for t in range(STEPS):
            total -= log_p[t, n, word[t * len(word) // STEPS] if word else BLANK]
    return total / STEPS


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_frame_loss(reduction, kind):
    ms.set_context(mode=ms.GRAPH_MODE)
    labels = [[0, 1, 2], [], [4], [1, 1, 0, 3, 2]]
    features = (np.random.default_rng(0).normal(size=(STEPS, 4, 8)) * 100).astype(kind)
    cell = FrameLoss(8, CLASSES, reduction)
    label, length = pack(labels)
    behind = np.arange(label.shape[1]) >= length.asnumpy()[:, None]
    label = ms.Tensor(np.where(behind, 2, label.asnumpy()).astype(np.int32))  # what is behind a word does not count
    loss = cell(ms.Tensor(features), label, length)
    expected = reference_frame_loss(cell, features, labels) / (4 if reduction == "mean" else 1)
    # In float16 scores of some hundreds would be right to 0.1 only.
    assert loss.dtype == ms.float32 and float(loss.asnumpy()) == pytest.approx(expected, rel=1e-5)


def test_unknown_reduction():
    with pytest.raises(ConfigError, match="loss_reduction"):
        CTCLoss("median")
