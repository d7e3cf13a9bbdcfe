"""From network output to text and confidence: greedy, prefix beam search, and reading with a lexicon."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import ctc
from src.reading.beam import prefix_beam_search
from src.reading.language_model import CharacterModel
from src.reading.lexicon import Lexicon, LexiconReport
from src.reading.word_list import WordEncoder

# Images that the greedy decoder takes together.
_GREEDY_IMAGES = 256
# How much more likely the words of a lexicon are taken to be than all other texts. Set on training words of IIIT5K, SVT
# and ICDAR 2015: there the confidence is calibrated with the truth always in the lexicon, and still when half are not.
_LEXICON_ODDS = 1e4


@dataclass(slots=True)
class Reading:
    """What a decoder read in one image.

    Attributes:
        text: the text, without blanks.
        confidence: 0 to 1: p(text | image) under the network's CTC model, the sum over all paths that collapse to the
            text, not the probability of the single best path; with a lexicon see :class:`LexiconDecoder`.
    """

    text: str
    confidence: float


class GreedyDecoder:
    """Takes the best class of every frame, merges repeats, removes blanks.

    Args:
        charset: the classes.
        temperature: divides the logits before the confidence is computed (see ``src.metric.fit_temperature``); the
            text does not depend on it.
    """

    def __init__(self, charset: Charset, temperature: float = 1.0):
        self.charset = charset
        self.temperature = temperature
        self._table = np.array([*charset.characters], dtype="<U1")

    def __call__(self, logits: np.ndarray) -> list[Reading]:
        """Reads N images.

        Args:
            logits: ``(T, N, C)`` network output.

        Returns:
            N readings.

        Raises:
            ConfigError: the number of classes is not the charset's.
            DataError: the logits hold NaN.
        """
        logits = np.asarray(logits)
        readings: list[Reading] = []
        # Pieces of this size stay in the cache.
        for first in range(0, logits.shape[1] if logits.ndim == 3 else 1, _GREEDY_IMAGES):
            flat, lengths, log_p = ctc.read_best_paths(logits[:, first:first + _GREEDY_IMAGES], self.charset.class_num,
                                                       self.temperature)
            readings += map(Reading, split_text(self._table, flat, lengths), np.minimum(np.exp(log_p), 1.0).tolist())
        return readings


def split_text(table: np.ndarray, flat: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Turns labels that follow one another into strings.

    Args:
        table: ``(C - 1,)`` array of single characters.
        flat: ``(sum of lengths,)`` classes.
        lengths: ``(N,)`` characters of every string.
    """
    joined = table[flat].tobytes().decode("utf-32-le")
    ends = np.cumsum(lengths)
    return [joined[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


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


class LexiconDecoder:
    """Reads the lexicon word with the highest p(word | image); always exact unless ``delta`` is given.

    Words are compared after ``src.metric.normalise`` and read back as the lexicon spells them. The confidence is the
    word's share: p(word | image) / (sum over the lexicon + the rest / 10,000). The rest is all that the network holds
    possible and the lexicon does not have; it counts so little because a lexicon is given where its words are what can
    be expected, and it counts at all so that an image of some other word is not read with certainty. With one large
    lexicon only words near the best one are in the sum (see ``src.reading.lexicon.Lexicon.rivals``).

    Args:
        charset: the classes.
        words: one lexicon for all images; not needed when every call brings its own.
        delta: the CRNN paper's shortcut: only words within this edit distance of the greedy text are scored, all words
            where none is near. It can miss the best word and, with a large lexicon, takes longer than the exact search
            (benchmarks/bench_decode.py measures both); it is here to repeat the paper's protocol. Per-image lexicons
            are always scored in full.
        temperature: see :class:`GreedyDecoder`.

    Attributes:
        lexicon: the shared :class:`~src.reading.lexicon.Lexicon`, or ``None``.
        report: counts of words that cannot be used and images that needed a fall-back.
    """

    def __init__(self, charset: Charset, words: Sequence[str] | None = None, delta: int | None = None,
                 temperature: float = 1.0):
        if delta is not None and not 0 <= delta <= 200:
            raise ConfigError(f"delta is {delta}; the edit distance must be 0 to 200")
        self.charset, self.delta, self.temperature = charset, delta, temperature
        self.report = LexiconReport()
        self._encoder = WordEncoder(charset)
        self.lexicon = None
        self._steps_reported: set[int] = set()
        if words is not None:
            self.lexicon = Lexicon(words, self._encoder, self.report)
            if not len(self.lexicon):
                raise ConfigError(f"the lexicon has no word that the charset can write ({self.report.summary()})")

    def __call__(self, logits: np.ndarray, lexicons: Sequence[Sequence[str]] | None = None) -> list[Reading]:
        """Reads N images.

        Args:
            logits: ``(T, N, C)`` network output.
            lexicons: N lexicons, one per image; ``None`` takes the decoder's own.

        Returns:
            N readings; the empty text with confidence 0 where no word of the lexicon is possible (see ``report``).

        Raises:
            ConfigError: there is no lexicon, or not one per image; or as :class:`GreedyDecoder`.
            DataError: as :class:`GreedyDecoder`.
        """
        em = ctc.emissions(logits, self.charset.class_num)
        if lexicons is not None:
            if len(lexicons) != em.images:
                raise ConfigError(f"{len(lexicons)} lexicons for {em.images} images; give one per image")
            words, image, labels, lengths = self._encode(lexicons, em.steps)
            score = ctc.text_log_probability(em, image, labels, lengths)
            row, best_score = best_of_groups(image, score, em.images)
            names = [words[i] if i >= 0 else "" for i in row.tolist()]
        elif self.lexicon is None:
            raise ConfigError("the lexicon decoder needs words: a lexicon for all images, or one per image")
        else:
            if em.steps not in self._steps_reported:
                self._steps_reported.add(em.steps)
                self._count_infeasible(self.lexicon.required > em.steps, self.lexicon.words)
            best, best_score = self._search(em)
            names = [self.lexicon.words[i] for i in best.tolist()]
            image, word = self.lexicon.rivals(em, best, best_score)
            row, labels, lengths = np.arange(em.images), self.lexicon.labels[word], self.lexicon.lengths[word]
            score = None
        if self.temperature != 1.0:
            em = ctc.emissions(logits, self.charset.class_num, self.temperature)
        if self.temperature != 1.0 or score is None:
            score = ctc.text_log_probability(em, image, labels, lengths)
        possible = best_score > -np.inf
        self.report.unread += int((~possible).sum())
        confidence = shares(image, score, row).tolist()
        return [Reading(name, p) if can_be else Reading("", 0.0)
                for name, p, can_be in zip(names, confidence, possible.tolist(), strict=True)]

    def _search(self, em: ctc.Emissions) -> tuple[np.ndarray, np.ndarray]:
        if self.delta is None:
            return self.lexicon.most_probable(em)
        flat, lengths = ctc.best_path(em.best, self.charset.blank)
        greedy = ctc.pad_labels(flat, lengths, self.charset.blank)
        image, word = self.lexicon.near(greedy, lengths, self.delta)
        scores = ctc.text_log_probability(em, image, self.lexicon.labels[word], self.lexicon.lengths[word])
        pair, log_p = best_of_groups(image, scores, em.images)
        best = np.where(pair >= 0, word[pair] if len(word) else 0, 0)
        rest = np.flatnonzero(log_p == -np.inf)
        if len(rest):
            self.report.no_candidate += len(rest)
            best[rest], log_p[rest] = self.lexicon.most_probable(em.select(rest))
        return best, log_p

    def _encode(self, lexicons: Sequence[Sequence[str]], steps: int):
        """All words of all lexicons, each once: words, their image, labels, lengths."""
        words, keys, counts = [], [], []
        for lexicon in lexicons:
            own = [self._encoder.key(word) for word in lexicon]
            self.report.words += len(own)
            if "" in own:
                self.report.empty += own.count("")
                self.report.example([word for word, key in zip(lexicon, own, strict=True) if not key])
                lexicon, own = [word for word, key in zip(lexicon, own, strict=True) if key], [*filter(None, own)]
            if len(set(own)) < len(own):  # the first spelling stays
                first = dict(zip(reversed(own), reversed(lexicon), strict=True))
                self.report.duplicates += len(own) - len(first)
                own, lexicon = [*first][::-1], [*first.values()][::-1]
            words += lexicon
            keys += own
            counts.append(len(own))
        image = np.repeat(np.arange(len(lexicons)), counts)
        labels, lengths, known = self._encoder.encode(keys)
        if not known.all():
            self.report.outside += int((~known).sum())
            self.report.example([words[i] for i in np.flatnonzero(~known)[:5]])
            rows = np.flatnonzero(known)
            words, image, labels, lengths = [words[i] for i in rows], image[rows], labels[rows], lengths[rows]
        self._count_infeasible(ctc.required_steps(labels, lengths) > steps, words)
        return words, image, labels, lengths

    def _count_infeasible(self, infeasible: np.ndarray, words: Sequence[str]) -> None:
        rows = np.flatnonzero(infeasible)
        self.report.infeasible += len(rows)
        self.report.example([words[i] for i in rows[:5]])


def shares(image: np.ndarray, log_p: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The confidences of the words read, see :class:`LexiconDecoder`.

    Args:
        image: ``(P,)`` image of every word.
        log_p: ``(P,)`` its log probability there.
        row: ``(N,)`` which of these was read on each image, -1 for none.

    Returns:
        ``(N,)``, 0 for images without a word.
    """
    inside = np.bincount(image, np.exp(log_p), len(row))
    total = inside + np.maximum(1 - inside, 0) / _LEXICON_ODDS
    return np.minimum(np.exp(np.append(log_p, -np.inf)[row]) / total, 1.0)


def best_of_groups(group: np.ndarray, score: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row of the highest score in every group, the first of equals.

    Args:
        group: ``(P,)`` rising group numbers.
        score: ``(P,)``.
        count: number of groups.

    Returns:
        row ``(count,)`` (-1 for a group without rows) and score ``(count,)`` (-inf).
    """
    row, best = np.full(count, -1, np.int64), np.full(count, -np.inf)
    order = np.lexsort((-np.arange(len(group)), score, group))
    row[group[order]] = order  # the last assignment, the highest score, stays
    filled = row >= 0
    best[filled] = score[row[filled]]
    return row, best


DECODERS = {"greedy": GreedyDecoder, "beam": BeamDecoder, "lexicon": LexiconDecoder}


def create_decoder(name: str, charset: Charset, **options):
    """Makes a decoder by its name.

    Args:
        name: ``greedy``, ``beam`` or ``lexicon``.
        charset: the classes.
        **options: keyword arguments of the decoder's class.

    Raises:
        ConfigError: there is no decoder of that name.
    """
    if name not in DECODERS:
        raise ConfigError(f"decoder '{name}' is not known; choose from {', '.join(DECODERS)}")
    return DECODERS[name](charset, **options)
