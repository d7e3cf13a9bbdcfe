"""Metrics of word recognition: accuracy, 1-NED, CER, breakdowns, and the calibration of the confidence.

``CRNNAccuracy``, the MindSpore metric, is importable from here too, and only then imports MindSpore.
"""
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np

from src.common.charset import Charset, normalise
from src.common.edit_distance import edit_distances


def __getattr__(name: str):
    if name == "CRNNAccuracy":
        from src.evaluation.crnn_accuracy import CRNNAccuracy  # it imports MindSpore

        return CRNNAccuracy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def group_of(text: str) -> str:
    """``letters``, ``digits``, ``mixed`` (both, nothing else), or ``other`` (empty, or with any other character)."""
    if text.isalpha():
        return "letters"
    if text.isdecimal():
        return "digits"
    return "mixed" if all(c.isalpha() or c.isdecimal() for c in text) and text else "other"


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a proportion (95 % by default); (0, 1) without samples.

    Examples:
        >>> low, high = wilson_interval(8, 10)
        >>> f"{low:.3f} to {high:.3f}"
        '0.490 to 0.943'
    """
    if total == 0:
        return 0.0, 1.0
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the bound is exactly 0 or 1; rounding must not put the proportion outside its interval.
    return (centre - half if correct else 0.0), (centre + half if correct < total else 1.0)


@dataclass(frozen=True)
class Tally:
    """Correct words of total; the accuracy follows."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Share of correct words; 0 without words."""
        return self.correct / self.total if self.total else 0.0


@dataclass(frozen=True)
class EvalResult:
    """What ``evaluate_readings`` found.

    Attributes:
        correct: words whose prediction equals the truth.
        total: words compared.
        accuracy: their ratio, 0 to 1.
        interval: 95 % Wilson interval of the accuracy.
        one_minus_ned: ICDAR 2019 "1-N.E.D.": 1 - mean of distance / length of the longer string.
        cer: edit operations over all words / characters of all truths; can exceed 1.
        edit_operations: that numerator.
        truth_characters: that denominator.
        per_length: accuracy by length of the truth, rising.
        per_group: accuracy by kind of truth: letters, digits, mixed, other; only kinds that occur.
        ece: expected calibration error of the confidence in 15 equal bins; ``None`` without confidences.
        mean_confidence: mean confidence; ``None`` without confidences.
    """

    correct: int
    total: int
    accuracy: float
    interval: tuple[float, float]
    one_minus_ned: float
    cer: float
    edit_operations: int
    truth_characters: int
    per_length: dict[int, Tally]
    per_group: dict[str, Tally]
    ece: float | None = None
    mean_confidence: float | None = None

    def to_dict(self) -> dict:
        """Plain numbers, lists and dicts, for JSON; every tally with its accuracy."""
        result = asdict(self)
        result["interval"] = list(self.interval)
        for key in ("per_length", "per_group"):
            result[key] = {str(name): {"correct": tally.correct, "total": tally.total, "accuracy": tally.accuracy}
                           for name, tally in getattr(self, key).items()}
        return result

    @classmethod
    def from_dict(cls, values: dict) -> "EvalResult":
        """What :meth:`to_dict` gave, also after JSON."""
        tallies: dict[str, dict] = {
            key: {kind(name): Tally(part["correct"], part["total"]) for name, part in values[key].items()}
            for key, kind in (("per_length", int), ("per_group", str))}
        return cls(**{**values, **tallies, "interval": tuple(values["interval"])})


def evaluate_readings(truths: Sequence[str], readings: Sequence, charset: Charset | None = None) -> EvalResult:
    """Compares readings with truths.

    Args:
        truths: N annotated texts.
        readings: N ``src.reading.reading.Reading`` or plain strings; with strings there is no calibration.
        charset: normalises both sides (see ``normalise``); without it the strings are compared as they are.

    Returns:
        All metrics; every ratio is 0 when there are no words.

    Raises:
        ValueError: different numbers of truths and readings.
    """
    if len(truths) != len(readings):
        raise ValueError(f"{len(truths)} truths against {len(readings)} readings")
    predictions = [r if isinstance(r, str) else r.text for r in readings]
    if charset is not None:
        truths = [normalise(text, charset) for text in truths]
        predictions = [normalise(text, charset) for text in predictions]
    right = np.array([t == p for t, p in zip(truths, predictions, strict=True)], bool)
    distance = edit_distances(truths, predictions)
    length = np.array([len(t) for t in truths], np.int64)
    # Two empty strings are at distance 0 of each other: normalised distance 0, like any other equal pair.
    longest = np.maximum(np.maximum(length, [len(p) for p in predictions]), 1)
    total, correct = len(truths), int(right.sum())
    characters, operations = int(length.sum()), int(distance.sum())
    ece = mean_confidence = None
    if total and not any(isinstance(r, str) for r in readings):
        confidence = np.array([r.confidence for r in readings])
        ece = expected_calibration_error(confidence, right)
        mean_confidence = float(confidence.mean())
    groups = np.array([group_of(t) for t in truths])
    return EvalResult(
        correct=correct, total=total, accuracy=correct / total if total else 0.0,
        interval=wilson_interval(correct, total),
        one_minus_ned=float(1 - (distance / longest).mean()) if total else 0.0,
        cer=operations / characters if characters else float(operations > 0),
        edit_operations=operations, truth_characters=characters,
        per_length={int(n): _tally(right, length == n) for n in np.unique(length)},
        per_group={g: _tally(right, groups == g) for g in ("letters", "digits", "mixed", "other") if g in groups},
        ece=ece, mean_confidence=mean_confidence)


def _tally(right: np.ndarray, rows: np.ndarray) -> Tally:
    return Tally(int(right[rows].sum()), int(rows.sum()))


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy (Guo et al. 2017), over equal bins (k/bins, (k+1)/bins], 0 in the first.

    Args:
        confidence: ``(N,)`` 0 to 1.
        right: ``(N,)`` bool.
        bins: number of bins.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if confidence.size == 0:
        return 0.0
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # |sum of confidence - sum of right| over a bin is its gap times its size.
    return float(np.abs(np.bincount(index, confidence - right, minlength=bins)).sum() / confidence.size)


def calibration_error_by_chance(confidence: np.ndarray, bins: int = 15, draws: int = 200, seed: int = 1) -> float:
    """The calibration error that few words show although the confidence is exactly right: the mean of many draws.

    In each draw every word is right with the probability that its confidence states. Compare a measured
    :func:`expected_calibration_error` of the same words with it.

    Args:
        confidence: ``(N,)`` 0 to 1.
        bins: number of bins.
        draws: how often right and wrong are drawn.
        seed: of the draws.
    """
    confidence, generator = np.asarray(confidence, np.float64), np.random.default_rng(seed)
    return float(np.mean([expected_calibration_error(confidence, generator.random(confidence.size) < confidence, bins)
                          for _ in range(draws)]))


def fit_temperature(confidence_at: Callable[[float], np.ndarray], right: np.ndarray, low: float = 0.2,
                    high: float = 10.0, iterations: int = 24) -> float:
    """Temperature at which the confidence tells right from wrong words with the least log loss.

    Fit it on training (or validation) words, never on the test set. One call of ``confidence_at`` per iteration.

    Args:
        confidence_at: temperature -> confidences ``(N,)``, as ``lambda t: [r.confidence for r in
            GreedyDecoder(charset, t)(logits)]``.
        right: ``(N,)`` bool: the word was read correctly.
        low: smallest temperature tried.
        high: largest temperature tried.
        iterations: golden-section steps over log temperature; 24 narrow the range 100,000 times.
    """
    right = np.asarray(right, bool)

    def loss(log_temperature: float) -> float:
        p = np.clip(np.asarray(confidence_at(float(np.exp(log_temperature))), np.float64), 1e-12, 1 - 1e-12)
        return float(-np.where(right, np.log(p), np.log1p(-p)).mean())

    golden = (sqrt(5) - 1) / 2
    a, b = np.log(low), np.log(high)
    c, d = b - golden * (b - a), a + golden * (b - a)
    loss_c, loss_d = loss(c), loss(d)
    for _ in range(iterations):
        if loss_c < loss_d:
            b, d, loss_d = d, c, loss_c
            c = b - golden * (b - a)
            loss_c = loss(c)
        else:
            a, c, loss_c = c, d, loss_d
            d = a + golden * (b - a)
            loss_d = loss(d)
    return float(np.exp((a + b) / 2))


def result_lines(correct: int, total: int) -> tuple[str, str]:
    """The two lines that ``eval.py`` ends with, as users of the model zoo know them."""
    return (f"correct num: {correct} , total num: {total}",
            f"result: {{'CRNNAccuracy': {correct / total if total else 0.0}}}")
