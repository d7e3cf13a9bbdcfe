"""The beam decoder: CTC prefix beam search, vectorised over images, with an optional character language model."""
from pathlib import Path

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import ctc
from src.reading.language_model import CharacterModel
from src.reading.reading import Reading, split_text

# Odd constants of the 64-bit prefix hash. Two different prefixes of one image's beam collide with probability 1e-15.
_MULTIPLY = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class BeamDecoder:
    """Prefix beam search: the text with the highest probability over all its paths, a language model mixed in.

    Args:
        charset: the classes.
        beam_width: prefixes kept after every frame.
        language_model: a :class:`~src.reading.language_model.CharacterModel` of the same charset, or the path of
            its file.
        lm_weight: weight of the model's log probability, 0 or more.
        length_bonus: added to the score per character, against the model's liking for short words. Without a model
            neither has an effect. Both defaults were set on 1,000 drawn words alone (preset hard, half of the words
            unknown to the model), on no word of a benchmark: benchmarks/tune_beam.py.
        temperature: see :class:`GreedyDecoder`.
    """

    def __init__(self, charset: Charset, beam_width: int = 10,
                 language_model: CharacterModel | str | Path | None = None, lm_weight: float = 0.2,
                 length_bonus: float = 1.0, temperature: float = 1.0):
        if beam_width < 1:
            raise ConfigError(f"beam_width is {beam_width}; it must be 1 or more")
        if isinstance(language_model, str | Path):
            language_model = CharacterModel.load(language_model, charset)
        if language_model is not None and language_model.charset != charset:
            raise ConfigError(f"the language model is for the characters '{language_model.charset.characters}', the "
                              f"charset (label_dict) is '{charset.characters}'")
        self.charset, self.beam_width, self.temperature = charset, beam_width, temperature
        self.language_model = language_model
        self.lm_weight, self.length_bonus = (lm_weight, length_bonus) if language_model is not None else (0.0, 0.0)
        self._table = np.array([*charset.characters], dtype="<U1")

    def __call__(self, logits: np.ndarray) -> list[Reading]:
        """Reads N images.

        Args:
            logits: ``(T, N, C)`` network output.

        Returns:
            N readings; the confidence is the network's p(text | image), without the language model.

        Raises:
            ConfigError, DataError: as :class:`GreedyDecoder`.
        """
        em = ctc.emissions(logits, self.charset.class_num)
        labels, lengths, _, prior = prefix_beam_search(em.log_probs(), self.beam_width, self.language_model,
                                                       self.lm_weight, self.length_bonus)
        # The search loses those paths of a text whose prefixes fell out of the beam: score the survivors in full.
        image, width = np.arange(em.images), labels.shape[1]
        log_p = ctc.text_log_probability(em, np.repeat(image, width), labels.reshape(-1, em.steps),
                                         lengths.reshape(-1)).reshape(lengths.shape)
        best = (log_p + prior).argmax(axis=1)
        labels, lengths, log_p = labels[image, best], lengths[image, best], log_p[image, best]
        if self.temperature != 1.0:
            em = ctc.emissions(logits, self.charset.class_num, self.temperature)
            log_p = ctc.text_log_probability(em, image, labels, lengths)
        texts = split_text(self._table, labels[np.arange(labels.shape[1]) < lengths[:, None]], lengths)
        return [Reading(text, p) for text, p in zip(texts, np.minimum(np.exp(log_p), 1.0).tolist(), strict=True)]


def prefix_beam_search(log_probs: np.ndarray, beam_width: int, model: CharacterModel | None = None,
                       model_weight: float = 0.0,
                       length_bonus: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The texts with the highest score, by keeping the ``beam_width`` best prefixes after every frame.

    The probability of a prefix is kept in two parts, ending in a blank and ending in its last character, so that all
    paths of one text count together (Hannun et al. 2014). With a beam as wide as the number of prefixes it is exact.
    The score is log p(text | image) + model_weight * log p_model(text and its end) + length_bonus * length.

    Args:
        log_probs: ``(T, N, C)`` float64, the blank last.
        beam_width: B, prefixes kept.
        model: a language model over the same C - 1 characters.
        model_weight: weight of its log probability.
        length_bonus: added per character; offsets a model's liking for short texts.

    Returns:
        labels ``(N, B, T)`` padded with the blank, and lengths, log p(text | image) over the paths that stayed in the
        beam, and prior (language model and bonus), each ``(N, B)``; sorted by their sum, falling. There are fewer than
        B where there are fewer prefixes, and log p is -inf where a prefix is impossible.
    """
    steps, images, classes = log_probs.shape
    characters = classes - 1
    every = np.arange(images)[:, None]
    # One empty prefix; after no frame at all it "ends in a blank" with probability 1.
    in_blank, in_char = np.zeros((images, 1)), np.full((images, 1), -np.inf)
    last = np.full((images, 1), -1, np.int64)
    name, parent_name = np.ones((images, 1), np.uint64), np.zeros((images, 1), np.uint64)
    prior = np.zeros((images, 1))  # weighted language model and bonus
    state = None if model is None else np.full((images, 1), model.start, np.int64)
    trail = []
    with np.errstate(over="ignore"):
        for t in range(steps):
            frame = log_probs[t]
            total = np.logaddexp(in_blank, in_char)
            width = total.shape[1]
            stay_blank = total + frame[:, -1:]
            # last is -1 for the empty prefix: whatever is picked there is added to -inf.
            stay_char = in_char + np.take_along_axis(frame, last, axis=1)
            grow = total[:, :, None] + frame[:, None, :-1]
            n, k = np.nonzero(last >= 0)
            c = last[n, k]
            grow[n, k, c] = in_blank[n, k] + frame[n, c]
            # A prefix that is in the beam together with its parent also receives what its parent grows into. Rows of
            # probability 0 fill a beam that is wider than the possible prefixes; they may share a name with a live one.
            alive = total > -np.inf
            same = (parent_name[:, :, None] == name[:, None, :]) & alive[:, :, None] & alive[:, None, :]
            n, k, j = np.nonzero(same)
            c = last[n, k]
            stay_char[n, k] = np.logaddexp(stay_char[n, k], grow[n, j, c])
            grow[n, j, c] = -np.inf
            score = [np.logaddexp(stay_blank, stay_char) + prior]
            grown_prior = prior[:, :, None] + np.full(characters, length_bonus)
            if model is not None:
                grown_prior = grown_prior + model_weight * model.log_probs(state)[..., :-1]
            score.append((grow + grown_prior).reshape(images, width * characters))
            score = np.concatenate(score, axis=1)
            keep = min(beam_width, score.shape[1])
            top = np.argpartition(-score, keep - 1, axis=1)[:, :keep]
            grown = top >= width
            origin = np.where(grown, (top - width) // characters, top)
            char = np.where(grown, (top - width) % characters, -1)
            trail.append((origin, char))
            old_last, old_name = last[every, origin], name[every, origin]
            in_blank = np.where(grown, -np.inf, stay_blank[every, origin])
            in_char = np.where(grown, grow[every, origin, char], stay_char[every, origin])
            prior = np.where(grown, grown_prior[every, origin, char], prior[every, origin])
            last = np.where(grown, char, old_last)
            parent_name = np.where(grown, old_name, parent_name[every, origin])
            mixed = (old_name ^ (char + 2).astype(np.uint64)) * _MULTIPLY
            name = np.where(grown, mixed ^ (mixed >> _SHIFT), old_name)
            if model is not None:
                old_state = state[every, origin]
                state = np.where(grown, model.advance(old_state, char), old_state)
    log_p = np.logaddexp(in_blank, in_char)
    if model is not None:
        prior = prior + model_weight * model.log_probs(state)[..., -1]
    order = np.argsort(-(log_p + prior), axis=1, kind="stable")
    labels, lengths = _texts(trail, order, steps, characters)
    return labels, lengths, log_p[every, order], prior[every, order]


def _texts(trail: list[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, steps: int,
           blank: int) -> tuple[np.ndarray, np.ndarray]:
    """Follows the beam back from its last rows ``(N, B)`` to the texts."""
    every = np.arange(len(rows))[:, None]
    chars = np.empty((*rows.shape, steps), np.int64)
    for t in range(steps - 1, -1, -1):
        origin, char = trail[t]
        chars[:, :, t] = char[every, rows]
        rows = origin[every, rows]
    filled = chars >= 0
    # Stable sort: characters first, in order, then the frames that added none.
    order = np.argsort(~filled, axis=2, kind="stable")
    chars = np.take_along_axis(chars, order, axis=2)
    return np.where(chars >= 0, chars, blank), filled.sum(axis=2)
