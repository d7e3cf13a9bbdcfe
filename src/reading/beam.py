"""The beam decoder: CTC prefix beam search, vectorised over images, with an optional character language model."""
from pathlib import Path

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import ctc
from src.reading.greedy import GreedyDecoder
from src.reading.language_model import CharacterModel, Use
from src.reading.reading import Reading
from src.reading.word_search import search_words

# Odd constants of the 64-bit prefix hash. Two different prefixes of one image's beam collide with probability 1e-15.
_MULTIPLY = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class BeamDecoder:
    """Prefix beam search: the text with the highest probability over all its paths, a language model mixed in.

    With a language model a greedy reading that is sure enough (``Use.sure``) is left alone, which also saves its time.

    Args:
        charset: the classes.
        beam_width: prefixes kept after every frame.
        language_model: a :class:`~src.reading.language_model.CharacterModel` of the same charset, or the path of
            its file.
        use: how the language model is used, instead of the way its file says.
        temperature: see :class:`GreedyDecoder`; of the confidence of what is read without the language model.

    Examples:
        Two frames over the classes a and blank. The best path is two blanks, with probability 0.36; but the three paths
        that spell "a" have 0.64 together:

        >>> reading = BeamDecoder(Charset("a"))(np.log(np.array([[[.4, .6]], [[.4, .6]]])))[0]
        >>> reading.text, round(reading.confidence, 2)
        ('a', 0.64)
    """

    def __init__(self, charset: Charset, beam_width: int = 10,
                 language_model: CharacterModel | str | Path | None = None, use: Use | None = None,
                 temperature: float = 1.0):
        if beam_width < 1:
            raise ConfigError(f"beam_width is {beam_width}; it must be 1 or more")
        if isinstance(language_model, str | Path):
            language_model = CharacterModel.load(language_model, charset)
        if language_model is not None and language_model.charset != charset:
            raise ConfigError(f"the language model is for the characters '{language_model.charset.characters}', the "
                              f"charset (label_dict) is '{charset.characters}'")
        self.charset, self.beam_width, self.temperature = charset, beam_width, temperature
        self.language_model = language_model
        self.use = use or (language_model.use if language_model is not None else Use())
        self._greedy = GreedyDecoder(charset, temperature)

    def __call__(self, logits: np.ndarray) -> list[Reading]:
        """Reads N images.

        Args:
            logits: ``(T, N, C)`` network output.

        Returns:
            N readings. Without a language model, and where a sure reading was left alone, the confidence is the
            network's p(text | image). Elsewhere it is the text's share of exp(score / ``Use.temperature``) among all
            texts that the search ended with; a text that the network alone reads, too, is at least as sure as there.

        Raises:
            ConfigError, DataError: as :class:`GreedyDecoder`.
        """
        if self.language_model is None:
            return self._search(logits)
        readings = self._greedy(logits)
        unsure = [i for i, reading in enumerate(readings) if reading.confidence < self.use.sure]
        if unsure:
            for i, (best, *_) in zip(unsure, self.ranked(np.asarray(logits)[:, unsure]), strict=True):
                if best.text != readings[i].text or best.confidence > readings[i].confidence:
                    readings[i] = best
        return readings

    def ranked(self, logits: np.ndarray, width: int = 0) -> list[list[Reading]]:
        """What the search with the language model finds in N images, the best first; the shares of each sum to 1.

        Args:
            logits: ``(T, N, C)`` network output.
            width: prefixes kept for a thorough search; 0 searches as for reading.

        Raises:
            ValueError: there is no language model.
        """
        if self.language_model is None:
            raise ValueError("ranking needs a language model")
        em = ctc.emissions(logits, self.charset.class_num)
        found = [search_words(em.relative[:, i].tolist(), self.language_model, self.use, width or self.beam_width,
                              thorough=bool(width)) for i in range(em.images)]
        image = np.repeat(np.arange(em.images), [len(texts) for texts in found])
        lengths = np.array([len(text) for texts in found for text, _ in texts], np.int64)
        flat = np.array([c for texts in found for text, _ in texts for c in text], np.int64)
        # The search loses those paths of a text whose prefixes fell out of the beam: score the survivors in full.
        log_p = ctc.text_log_probability(em, image, ctc.pad_labels(flat, lengths, self.charset.blank), lengths)
        score = (log_p + np.array([prior for texts in found for _, prior in texts])) / self.use.temperature
        texts = self.charset.split_text(flat, lengths)
        result = []
        for i in range(em.images):
            own = np.flatnonzero(image == i)
            share = np.exp(score[own] - score[own].max())
            share /= share.sum()
            result.append([Reading(texts[own[k]], float(share[k])) for k in np.argsort(-share, kind="stable")])
        return result

    def _search(self, logits: np.ndarray) -> list[Reading]:
        """Reads N images without a language model."""
        em = ctc.emissions(logits, self.charset.class_num)
        labels, lengths, found = prefix_beam_search(em.log_probs(), self.beam_width)
        # As above.
        image, width = np.arange(em.images), labels.shape[1]
        log_p = ctc.text_log_probability(em, np.repeat(image, width), labels.reshape(-1, em.steps),
                                         lengths.reshape(-1)).reshape(lengths.shape)
        # Impossible rows, which fill a beam that is too wide, may repeat another row's text.
        best = np.where(found > -np.inf, log_p, -np.inf).argmax(axis=1)
        labels, lengths, log_p = labels[image, best], lengths[image, best], log_p[image, best]
        if self.temperature != 1.0:
            em = ctc.emissions(logits, self.charset.class_num, self.temperature)
            log_p = ctc.text_log_probability(em, image, labels, lengths)
        texts = self.charset.split_text(labels[np.arange(labels.shape[1]) < lengths[:, None]], lengths)
        return [Reading(text, p) for text, p in zip(texts, np.minimum(np.exp(log_p), 1.0).tolist(), strict=True)]


def prefix_beam_search(log_probs: np.ndarray, beam_width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most probable texts, by keeping the ``beam_width`` best prefixes after every frame.

    The probability of a prefix is kept in two parts, ending in a blank and ending in its last character, so that all
    paths of one text count together (Hannun et al. 2014). With a beam as wide as the number of prefixes it is exact.

    Args:
        log_probs: ``(T, N, C)`` float64, the blank last.
        beam_width: B, prefixes kept.

    Returns:
        labels ``(N, B, T)`` padded with the blank, and lengths and log p(text | image) over the paths that stayed in
        the beam, each ``(N, B)``; sorted by it, falling. There are fewer than B where there are fewer prefixes, and
        log p is -inf where a prefix is impossible.
    """
    steps, images, characters = (*log_probs.shape[:2], log_probs.shape[2] - 1)
    every = np.arange(images)[:, None]
    # One empty prefix; after no frame at all it "ends in a blank" with probability 1.
    in_blank, in_char = np.zeros((images, 1)), np.full((images, 1), -np.inf)
    last = np.full((images, 1), -1, np.int64)
    name, parent_name = np.ones((images, 1), np.uint64), np.zeros((images, 1), np.uint64)
    trail = []
    with np.errstate(over="ignore"):
        for frame in log_probs:
            total = np.logaddexp(in_blank, in_char)
            width = total.shape[1]
            stay_blank = total + frame[:, -1:]
            # last is -1 for the empty prefix: whatever is picked there is added to -inf.
            last_emission = np.take_along_axis(frame, last, axis=1)
            stay_char = in_char + last_emission
            # The same character again makes a new one only behind a blank.
            again = np.arange(characters) == last[:, :, None]
            grow = np.where(again, in_blank[:, :, None], total[:, :, None]) + frame[:, None, :-1]
            # A prefix that is in the beam together with its parent also receives what its parent grows into. Rows of
            # probability 0 fill a beam that is wider than the possible prefixes; they may share a name with a live one.
            alive = total > -np.inf
            same = (parent_name[:, :, None] == name[:, None, :]) & alive[:, :, None] & alive[:, None, :]
            n, k, j = np.nonzero(same)
            own = last[n, k]
            entering = np.where(last[n, j] == own, in_blank[n, j], total[n, j]) + last_emission[n, k]
            stay_char[n, k] = np.logaddexp(stay_char[n, k], entering)
            grow[n, j, own] = -np.inf
            score = np.concatenate([np.logaddexp(stay_blank, stay_char), grow.reshape(images, width * characters)],
                                   axis=1)
            keep = min(beam_width, score.shape[1])
            top = np.argpartition(-score, keep - 1, axis=1)[:, :keep]
            grown = top >= width
            origin = np.where(grown, (top - width) // characters, top)
            char = np.where(grown, (top - width) % characters, 0)
            new = np.where(grown, char, -1)
            trail.append((origin, new))
            old_name = name[every, origin]
            in_blank = np.where(grown, -np.inf, stay_blank[every, origin])
            in_char = np.where(grown, grow[every, origin, char], stay_char[every, origin])
            last = np.where(grown, new, last[every, origin])
            parent_name = np.where(grown, old_name, parent_name[every, origin])
            mixed = (old_name ^ (new + 2).astype(np.uint64)) * _MULTIPLY
            name = np.where(grown, mixed ^ (mixed >> _SHIFT), old_name)
    log_p = np.logaddexp(in_blank, in_char)
    order = np.argsort(-log_p, axis=1, kind="stable")
    labels, lengths = _texts(trail, order, steps, characters)
    return labels, lengths, log_p[every, order]


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
