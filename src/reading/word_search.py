"""CTC prefix beam search with a language model, one image at a time: few prefixes and fewer characters are alive.

Plain Python: of the 24 frames of a word most allow one character or none; arrays would cost more than they save.
"""
import math

from src.reading.language_model import CharacterModel, Use

# Characters that are tried in a frame: the likeliest ones, each at least so likely beside the best class.
_CHARACTERS_TRIED, _LEAST = 8, 1e-4
# Prefixes are dropped whose score is so much below the best one's.
_HOPELESS = 1e-4
_MOST = 600.0  # of a prior's logarithm, for settings that nobody would choose


class _Prefix:
    """A prefix, its two probabilities so far and in the next frame, and what the language model makes of it."""

    __slots__ = ("after", "children", "in_blank", "in_char", "labels", "last", "log_model", "next_blank", "next_char",
                 "prior", "seen", "state")

    def __init__(self, labels: tuple[int, ...], last: int, state: int, log_model: float, prior: float) -> None:
        self.labels, self.last, self.state, self.log_model, self.prior = labels, last, state, log_model, prior
        self.children: dict[int, _Prefix] = {}
        self.after: list[float] | None = None  # log probabilities of what may follow
        self.in_blank = self.in_char = self.next_blank = self.next_char = 0.0
        self.seen = -1  # the frame of the next probabilities


def search_words(relative: list[list[float]], model: CharacterModel, use: Use,
                 beam_width: int, thorough: bool = False) -> list[tuple[tuple[int, ...], float]]:
    """The texts with the highest score, by keeping the ``beam_width`` best prefixes after every frame.

    The probability of a prefix is kept in two parts, ending in a blank and ending in its last character, so that all
    paths of one text count together (Hannun et al. 2014). The score is log p(text | image) + the prior of ``use``.

    Args:
        relative: T frames of C likelihoods, that of the best class 1; the blank last.
        model: a language model over the same C - 1 characters.
        use: how the model is used.
        beam_width: prefixes kept.
        thorough: also follow what is hopeless, for those who want to see the next best texts.

    Returns:
        Classes and the log of the prior, end of the word included, of every text that stayed.
    """
    blank, hopeless, least_likely = len(relative[0]) - 1, 0.0 if thorough else _HOPELESS, 0.0 if thorough else _LEAST
    root = _Prefix((), blank, model.start, 0.0, 1.0)
    root.in_blank = 1.0
    beam, boost = [root], math.exp(min(max(use.bonus, 0.0), _MOST))  # that one more character can give at most
    for number, frame in enumerate(relative):
        by_blank, likely = frame[blank], _likely(frame, blank, least_likely)
        if not likely:
            for prefix in beam:
                prefix.in_blank = (prefix.in_blank + prefix.in_char) * by_blank
                prefix.in_char *= frame[prefix.last]
            continue
        touched: list[_Prefix] = []
        least = hopeless * max(((prefix.in_blank + prefix.in_char) * by_blank + prefix.in_char * frame[prefix.last])
                                * prefix.prior for prefix in beam)
        for prefix in beam:
            total, last = prefix.in_blank + prefix.in_char, prefix.last
            needed = least / (prefix.prior * boost) if prefix.prior else math.inf
            if prefix.seen != number:
                prefix.seen, prefix.next_blank, prefix.next_char = number, 0.0, 0.0
                touched.append(prefix)
            prefix.next_blank += total * by_blank
            prefix.next_char += prefix.in_char * frame[last]
            for char in likely:
                # The same character again makes a new one only behind a blank.
                enters = (prefix.in_blank if char == last else total) * frame[char]
                longer = prefix.children.get(char)
                if longer is None:
                    if enters <= needed:  # the model cannot help it so much
                        continue
                    longer = _grow(prefix, char, model, use)
                if longer.seen != number:
                    longer.seen, longer.next_blank, longer.next_char = number, 0.0, 0.0
                    touched.append(longer)
                longer.next_char += enters
        scored = [((prefix.next_blank + prefix.next_char) * prefix.prior, place)
                  for place, prefix in enumerate(touched)]
        scored.sort(reverse=True)
        least = scored[0][0] * hopeless
        beam = [touched[place] for score, place in scored[:beam_width] if score >= least]
        for prefix in beam:
            prefix.in_blank, prefix.in_char = prefix.next_blank, prefix.next_char
    result = []
    for prefix in beam:
        log_model = prefix.log_model + model.log_probs_after(prefix.state)[blank]
        result.append((prefix.labels, math.log(max(_prior(log_model, len(prefix.labels), use), math.exp(-_MOST)))))
    return result


def _grow(prefix: _Prefix, char: int, model: CharacterModel, use: Use) -> _Prefix:
    if prefix.after is None:
        prefix.after = model.log_probs_after(prefix.state)
    log_model, labels = prefix.log_model + prefix.after[char], (*prefix.labels, char)
    longer = _Prefix(labels, char, model.follow(prefix.state, char), log_model, _prior(log_model, len(labels), use))
    prefix.children[char] = longer
    return longer


def _likely(frame: list[float], blank: int, least: float) -> list[int]:
    chars = [char for char, likelihood in enumerate(frame) if likelihood >= least and char != blank]
    return chars if len(chars) <= _CHARACTERS_TRIED else sorted(chars, key=frame.__getitem__)[-_CHARACTERS_TRIED:]


def _prior(log_p: float, length: int, use: Use) -> float:
    """What counts beside p(text | image), for a prefix or text with this log probability by the model; see ``Use``."""
    return math.exp(min(use.weight * log_p + use.bonus * length, _MOST)) + use.strange
