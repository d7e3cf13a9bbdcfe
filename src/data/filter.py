"""Which words of a set are used, and an account of the others."""
from dataclasses import dataclass, field

import numpy as np

from src.common.charset import Charset
from src.data.labels import LabelTable
from src.data.protocol import Selection
from src.data.source import WordSource

_EXAMPLES = 5
_CASE_TELLS = 20  # distinct words in one and the same case that are no accident
_REASONS = ("", "without text", "outside the charset", "too long", "too many CTC steps")


@dataclass
class FilterReport:
    """How many words of a data set are used, and why the others are not; every word counts under one reason.

    In evaluation only the protocol leaves words out, and the counts say how many of the others the network can never
    read in full.

    Attributes:
        name: of the data set.
        total: words in its annotation.
        used: words used.
        without_text: words that are empty, or ``###`` (what nobody can read).
        outside_charset: other words with characters outside the charset.
        too_long: other words longer than ``max_text_length``.
        infeasible: other words that need more CTC steps than the network gives.
        outside_characters: the characters outside the charset, each once.
        examples: up to five of these words with their reason and image.
        is_training: whether the words were left out.
        max_text_length: characters.
        steps: CTC steps the network gives.
        remainder: words an epoch leaves out because they do not fill a batch on every card; others in each epoch.
        selection: in evaluation, the words that count by the protocol; None in training.
        mixture: the shares of the parts of the set in an epoch, in words; '' where there are none.
        unmixed: words that could be used but are in no part of the mixture.
        spelling: why labels may not be what the pictures show; '' where nothing speaks for it.
    """

    name: str
    total: int
    used: int
    without_text: int = 0
    outside_charset: int = 0
    too_long: int = 0
    infeasible: int = 0
    outside_characters: str = ""
    examples: list[str] = field(default_factory=list)
    is_training: bool = True
    max_text_length: int = 0
    steps: int = 0
    remainder: int = 0
    selection: Selection | None = None
    mixture: str = ""
    unmixed: int = 0
    spelling: str = ""

    def summary(self) -> str:
        """One line for people."""
        reasons = []
        if self.without_text:
            reasons.append(f"{self.without_text} without text (empty, or ###)")
        if self.outside_charset:
            shown = " ".join(repr(c)[1:-1] for c in self.outside_characters[:40])
            reasons.append(f"{self.outside_charset} with characters outside the charset ({shown})")
        if self.too_long:
            reasons.append(f"{self.too_long} longer than max_text_length {self.max_text_length}")
        if self.infeasible:
            reasons.append(f"{self.infeasible} that need more than {self.steps} CTC steps")
        if self.is_training:
            line = f"{self.name}: {self.used} of {self.total} words used for training"
            verb = "left out"
        else:
            chosen = f" ({self.selection.summary()})" if self.selection else ""
            line = f"{self.name}: {self.used} words{chosen}, all evaluated"
            verb = "beyond the network or its training"
        if reasons:
            line += f"; {verb}: {', '.join(reasons)}, such as {'; '.join(self.examples)}"
        if self.mixture:
            line += f"; {self.mixture}" + (f"; {self.unmixed} in parts not named" if self.unmixed else "")
        if self.spelling:
            line += f"; {self.spelling}"
        if self.remainder:
            line += f"; {self.remainder} do not fill a batch and wait for another epoch"
        return line


def filter_words(source: WordSource, labels: LabelTable, max_text_length: int, steps: int, is_training: bool,
                 selection: Selection | None = None) -> tuple[np.ndarray, FilterReport]:
    """Finds the words that can be trained on; in evaluation counts the others, but keeps them.

    Args:
        source: images and words.
        labels: of ``source.texts``.
        max_text_length: longest label in characters.
        steps: CTC steps of the network.
        is_training: leave them out.
        selection: the words to look at at all; None takes every one.

    Returns:
        (K,) numbers of the samples to use, and the report. Labels are never cut.
    """
    reason = np.select([labels.without_text, labels.outside > 0, labels.text_length > max_text_length,
                        labels.required > steps], [1, 2, 3, 4])
    reason = reason.astype(np.uint8)
    numbers = np.arange(len(source)) if selection is None else selection.numbers
    reason_of_sample = reason[source.text_index[numbers]]
    uses = np.bincount(source.text_index[numbers], minlength=len(reason))
    count = [int(uses[reason == k].sum()) for k in range(5)]
    unusable = numbers[np.flatnonzero(reason_of_sample)[:_EXAMPLES]]
    examples = [f"{source.text(i)!r} ({_REASONS[reason[source.text_index[i]]]}; {source.reference(i)})"
                for i in unusable]
    if is_training:
        numbers = numbers[reason_of_sample == 0]
    if len(source) < 2**31:
        numbers = numbers.astype(np.int32)
    _, without_text, outside, too_long, infeasible = count
    report = FilterReport(source.name, len(source), len(numbers), without_text, outside, too_long, infeasible,
                          labels.outside_characters(uses > 0), examples, is_training, max_text_length, steps,
                          selection=selection)
    return numbers, report


def spelling_note(source: WordSource, charset: Charset) -> str:
    """Why the labels of a set may not be what its pictures show; '' where nothing speaks for it.

    With a charset that tells case also where a set has one case only.

    The benchmarks' annotations are in capitals and MJSynth's lexicon in lower case, whatever the pictures show.
    """
    if source.contradicted:
        return (f"{source.contradicted} file names tell of another word than their row of lexicon.txt: is it the "
                "lexicon of this set?")
    if not charset.case_sensitive:
        return ""
    if source.spelling_unknown:
        return (f"{source.spelling_unknown} words are spelled as the lexicon has them, their file names do not tell: "
                "their labels may not be in the case that the pictures show")
    cased = [text for text in source.texts if text.lower() != text.upper()]
    if len(cased) >= _CASE_TELLS:
        for case, change in (("upper", str.upper), ("lower", str.lower)):
            if all(text == change(text) for text in cased):
                return (f"all {len(source)} words are in {case} case, as such sets have them whatever the pictures "
                        "show, but label_dict tells case: the labels may not be what the pictures show")
    return ""
