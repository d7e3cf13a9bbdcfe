"""The arithmetic of CTC in numpy: frame probabilities, the best path, and p(text | image) by the forward algorithm."""
from dataclasses import dataclass, field

import numpy as np

from src.common.errors import ConfigError, DataError

# Pairs of (image, text) per pass of the forward algorithm: the working arrays then stay in the cache.
_CHUNK = 512
# Below this the linear-space sum could have lost paths to underflow, and the pair is computed again in log space. A
# path is lost only when its product is below 1e-307, and a text has far fewer than 1e40 paths.
_UNDERFLOW = 1e-250
# Logits of the best classes within this range are exponentiated in single precision as they are.
_EXP_RANGE = 60.0


@dataclass(frozen=True)
class Emissions:
    """Frame probabilities, scaled so that the best class of every frame counts 1.

    With that scale the forward algorithm runs in linear space (five times faster than in log space) and underflows only
    where a text is 1e-250 times as likely as the best path; those are computed again in log space.

    Attributes:
        log_relative: ``(T, N, C)``, log probability minus that of the frame's best class; at most 0.
        relative: ``(T, N, C)``, its exponential.
        log_scale: ``(N,)`` float64; log p = log of a product of ``relative`` over the frames, minus ``log_scale``.
        best: ``(T, N)`` int64, the best class of every frame.
    """

    log_relative: np.ndarray
    relative: np.ndarray
    log_scale: np.ndarray
    best: np.ndarray = field(repr=False)

    @property
    def steps(self) -> int:
        """Number of frames T."""
        return self.relative.shape[0]

    @property
    def images(self) -> int:
        """Number of images N."""
        return self.relative.shape[1]

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.relative.shape[2]

    def select(self, images: np.ndarray) -> "Emissions":
        """The emissions of some of the images."""
        return Emissions(self.log_relative[:, images], self.relative[:, images], self.log_scale[images],
                         self.best[:, images])

    def log_probs(self) -> np.ndarray:
        """Log probabilities ``(T, N, C)`` float64."""
        return self.log_relative - np.log(self.relative.sum(axis=-1, keepdims=True))


def emissions(logits: np.ndarray, class_num: int, temperature: float = 1.0) -> Emissions:
    """Softmax over the classes, in the form that the forward algorithm wants.

    Args:
        logits: ``(T, N, C)`` network output, or log probabilities; the blank is class ``C - 1``.
        class_num: the C that the charset asks for.
        temperature: the logits are divided by it; above 1 makes the reader less sure of itself.

    Raises:
        ConfigError: the shape is not ``(T, N, class_num)``, or the temperature is not above 0.
        DataError: the logits hold NaN or +inf.
    """
    logits = np.asarray(logits)
    best, top = _best_classes(logits, class_num, temperature)
    log_relative = np.subtract(logits, top[..., None], dtype=np.float64)
    if temperature != 1.0:
        log_relative /= temperature
    relative = np.exp(log_relative)
    # einsum sums short rows five times faster than sum().
    log_scale = np.log(np.einsum("tnc->tn", relative)).sum(axis=0, dtype=np.float64)
    return Emissions(log_relative, relative, log_scale, best)


def _best_classes(logits: np.ndarray, class_num: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The best class of every frame and its logit, each ``(T, N)``, once everything is found to be in order."""
    if logits.ndim != 3 or logits.shape[0] == 0 or logits.shape[2] != class_num:
        raise ConfigError(f"logits of shape {logits.shape} do not fit the charset, which needs (steps, images, "
                          f"{class_num}); use the charset (label_dict) that the network was trained with")
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature}; it must be above 0")
    best = logits.argmax(axis=-1)
    top = logits.reshape(-1).take(np.arange(best.size) * class_num + best.reshape(-1)).reshape(best.shape)
    if not np.isfinite(top).all():
        raise DataError("the logits hold NaN or infinite values; check the checkpoint (training may have diverged)")
    return best, top


def read_best_paths(logits: np.ndarray, class_num: int,
                    temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The text of every best path and its log p(text | image) over all paths, in single precision.

    Good to 1e-5: a best path counts 1 in the scale of the sum, so no path that underflows beside it matters. Three
    times as fast as :func:`emissions` and :func:`text_log_probability`, which serve any text.

    Args:
        logits: as for :func:`emissions`.
        class_num: as there.
        temperature: as there; the text does not depend on it.

    Returns:
        labels: the classes read, of all images one after the other, ``(sum of lengths,)``.
        lengths: ``(N,)`` number of characters of every image.
        log_p: ``(N,)`` float64.

    Raises:
        ConfigError, DataError: as :func:`emissions`.
    """
    logits = np.ascontiguousarray(logits, np.float32)
    best, top = _best_classes(logits, class_num, temperature)
    if temperature != 1.0:
        divisor = np.float32(min(max(temperature, 1e-30), 1e30))  # beyond, it would become 0 or infinite
        logits, top = logits / divisor, top / divisor
    if np.abs(top).max(initial=0) > _EXP_RANGE:
        logits, top = logits - top[..., None], np.zeros_like(top)
    steps, images = best.shape
    blank = class_num - 1
    flat, lengths = best_path(best, blank)
    labels = pad_labels(flat, lengths, blank).T
    likelihood = np.exp(logits)
    scale = np.exp(-top)
    log_scale = np.log(np.einsum("tnc->tn", likelihood) * scale).sum(axis=0, dtype=np.float64)
    likelihood = likelihood.reshape(steps, -1)
    places = np.arange(images) * class_num
    emission = likelihood.take(places + labels, axis=1)
    emission *= scale[:, None]
    total = _forward_linear(emission, likelihood[:, places + blank] * scale, labels, lengths)
    return flat, lengths, np.log(total.astype(np.float64)) - log_scale


def best_path(best: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Collapses the best path: repeats merge, blanks go.

    Args:
        best: ``(T, N)`` class of every frame.
        blank: index of the blank.

    Returns:
        labels: the classes read, of all images one after the other, ``(sum of lengths,)``.
        lengths: ``(N,)`` number of characters of every image.
    """
    keep = best != blank
    keep[1:] &= best[1:] != best[:-1]
    return best.T[keep.T], keep.sum(axis=0)


def pad_labels(flat: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    """Turns labels that follow one another into a matrix ``(P, longest)`` padded with the blank."""
    width = int(lengths.max(initial=0))
    padded = np.full((len(lengths), width), blank, np.int64)
    padded[np.arange(width) < lengths[:, None]] = flat
    return padded


def required_steps(labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Frames that CTC needs for each text: its length plus one blank between equal neighbours.

    Args:
        labels: ``(P, L)`` classes, padded with anything behind ``lengths``.
        lengths: ``(P,)`` characters.

    Returns:
        ``(P,)`` int64.
    """
    inside = np.arange(1, labels.shape[1]) < lengths[:, None]
    return lengths + ((labels[:, 1:] == labels[:, :-1]) & inside).sum(axis=1)


def text_log_probability(em: Emissions, image: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Log p(text | image) by the CTC forward algorithm (Graves et al. 2006, equations 6 to 8), for P pairs at once.

    Args:
        em: frame probabilities of N images.
        image: ``(P,)`` which image each text is scored on.
        labels: ``(P, L)`` classes padded with the blank.
        lengths: ``(P,)`` characters of each text; 0 scores the empty text.

    Returns:
        ``(P,)`` float64; -inf where the text cannot be produced in T frames.
    """
    count = len(lengths)
    relative = em.relative.reshape(em.steps, -1)
    result = np.empty(count)
    order = np.argsort(lengths, kind="stable") if count > _CHUNK else np.arange(count)
    for start in range(0, count, _CHUNK):
        rows = order[start:start + _CHUNK]
        chosen = labels[rows, :int(lengths[rows].max(initial=0))].T
        places = image[rows] * em.classes
        total = _forward_linear(relative.take(places + chosen, axis=1), relative[:, places + em.classes - 1], chosen,
                                lengths[rows])
        lost = total < _UNDERFLOW
        with np.errstate(divide="ignore"):
            log_total = np.log(total)
        if lost.any():
            again = rows[lost]
            feasible = required_steps(labels[again], lengths[again]) <= em.steps
            log_total[lost] = -np.inf
            again = again[feasible]
            log_total[np.flatnonzero(lost)[feasible]] = _forward_log(em, image[again], labels[again], lengths[again])
        result[rows] = log_total - em.log_scale[image[rows]]
    return result


def _states(labels: np.ndarray, lengths: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Blank-interleaved classes ``(2L+1, P)`` and where a state may be entered from two states before it."""
    width = int(lengths.max(initial=0))
    states = np.full((2 * width + 1, len(lengths)), blank, np.int64)
    states[1::2] = labels[:, :width].T
    skip = np.zeros(states.shape)
    skip[3::2] = states[3::2] != states[1:-2:2]
    return states, skip


def _forward_linear(emission: np.ndarray, blank: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum over all paths of the product of the frames' likelihoods, in the precision of ``emission``.

    What lies behind a text's own end is computed and never read, so padding needs no mask.

    Args:
        emission: ``(T, L, P)`` likelihood of every character in every frame.
        blank: ``(T, P)`` likelihood of the blank.
        labels: ``(L, P)`` the characters.
        lengths: ``(P,)``.

    Returns:
        ``(P,)``.
    """
    width, count = labels.shape
    direct = np.zeros((width, count), emission.dtype)  # a character may follow its neighbour without a blank between
    direct[1:] = labels[1:] != labels[:-1]
    # Row i: i characters read, the last frame a blank / the i-th character.
    in_blank, in_char = np.zeros((2, width + 1, count), emission.dtype)
    in_blank[0] = 1
    here, before, blank_before = in_char[1:], in_char[:-1], in_blank[:-1]
    enter = np.empty_like(direct)
    for t in range(len(emission)):
        np.multiply(before, direct, out=enter)
        enter += blank_before
        enter += here
        in_blank += in_char
        in_blank *= blank[t]
        np.multiply(enter, emission[t], out=here)
    pairs = np.arange(count)
    return in_blank[lengths, pairs] + in_char[lengths, pairs]


def _forward_log(em: Emissions, image: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The same sum in log space."""
    steps, images, classes = em.relative.shape
    states, skip = _states(labels, lengths, classes - 1)
    emission = em.log_relative.reshape(steps, -1).take(image * classes + states, axis=1)
    alpha = np.full((len(states) + 2, len(lengths)), -np.inf)
    alpha[2:4] = emission[0, :2]
    with np.errstate(divide="ignore"):
        log_skip = np.log(skip)
    for t in range(1, steps):
        total = np.logaddexp(np.logaddexp(alpha[2:], alpha[1:-1]), alpha[:-2] + log_skip)
        alpha[2:] = total + emission[t]
    pairs = np.arange(len(lengths))
    return np.logaddexp(alpha[2 * lengths + 2, pairs], alpha[2 * lengths + 1, pairs])
