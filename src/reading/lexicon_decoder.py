"""The lexicon decoder: reads the most probable word of a lexicon."""
from collections.abc import Sequence

import numpy as np

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import ctc
from src.reading.lexicon import Lexicon, LexiconReport
from src.reading.reading import Reading
from src.reading.word_list import WordEncoder

# How much more likely the words of a lexicon are taken to be than all other texts. Set on training words of IIIT5K, SVT
# and ICDAR 2015: there the confidence is calibrated with the truth always in the lexicon, and still when half are not.
_LEXICON_ODDS = 1e4


class LexiconDecoder:
    """Reads the lexicon word with the highest p(word | image); always exact unless ``delta`` is given.

    Words are compared after ``src.common.charset.normalise`` and read back as the lexicon spells them. The confidence
    is the word's share: p(word | image) / (sum over the lexicon + the rest / 10,000). The rest is all that the network
    holds possible and the lexicon does not have; it counts so little because a lexicon is given where its words are
    what can be expected, and it counts at all so that an image of some other word is not read with certainty. With one
    large lexicon only words near the best one are in the sum (see ``src.reading.lexicon.Lexicon.rivals``).

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

    Examples:
        Three frames that look most like "aba", which is no word of the lexicon:

        >>> scores = np.log(np.array([[.8, .1, .1], [.3, .6, .1], [.6, .3, .1]]))
        >>> LexiconDecoder(Charset("ab"), ["AB", "bab"])(scores[:, None])[0].text
        'AB'
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
        confidence = np.append(shares(image, score, em.images), 0.0)[row].tolist()  # row is -1 where there is no word
        return [Reading(name, p) if can_be else Reading("", 0.0)
                for name, p, can_be in zip(names, confidence, possible.tolist(), strict=True)]

    def ranked(self, logits: np.ndarray) -> list[list[Reading]]:
        """The words that come near the best one on each image, most probable first; for a shared lexicon.

        Args:
            logits: ``(T, N, C)`` network output.

        Returns:
            N lists of readings, the first of each what a call gives; empty where no word is possible.

        Raises:
            ConfigError, DataError: as a call.
        """
        em = ctc.emissions(logits, self.charset.class_num)
        best, best_score = self._search(em)
        image, word = self.lexicon.rivals(em, best, best_score)
        if self.temperature != 1.0:
            em = ctc.emissions(logits, self.charset.class_num, self.temperature)
        score = ctc.text_log_probability(em, image, self.lexicon.labels[word], self.lexicon.lengths[word])
        share = shares(image, score, em.images)
        readings: list[list[Reading]] = [[] for _ in range(em.images)]
        for row in np.lexsort((-score, image)):
            if score[row] > -np.inf:
                readings[image[row]].append(Reading(self.lexicon.words[word[row]], float(share[row])))
        return readings

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


def shares(image: np.ndarray, log_p: np.ndarray, images: int) -> np.ndarray:
    """The confidences of words, see :class:`LexiconDecoder`.

    Args:
        image: ``(P,)`` image of every word.
        log_p: ``(P,)`` its log probability there.
        images: how many there are.

    Returns:
        ``(P,)``.
    """
    p = np.exp(log_p)
    inside = np.bincount(image, p, images)
    total = inside + np.maximum(1 - inside, 0) / _LEXICON_ODDS
    return np.minimum(p / total[image], 1.0)


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
