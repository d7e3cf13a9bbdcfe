"""Which words of a set are used, and an account of the others."""
from dataclasses import dataclass, field

import numpy as np

from src.data.labels import LabelTable
from src.data.protocol import Selection
from src.data.source import WordSource

_EXAMPLES = 5
_REASONS = ("", "outside the charset", "too long", "too many CTC steps")


@dataclass
class FilterReport:
    """How many words of a data set are used, and why the others are not; every word counts under one reason.

    In evaluation only the protocol leaves words out, and the counts say how many of the others the network can never
    read in full.

    Attributes:
        name: of the data set.
        total: words in its annotation.
        used: words used.
        outside_charset: words with characters outside the charset.
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
    """

    name: str
    total: int
    used: int
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

    def summary(self) -> str:
        """One line for people."""
        reasons = []
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
    reason = np.select([labels.outside > 0, labels.text_length > max_text_length, labels.required > steps], [1, 2, 3])
    reason = reason.astype(np.uint8)
    numbers = np.arange(len(source)) if selection is None else selection.numbers
    reason_of_sample = reason[source.text_index[numbers]]
    uses = np.bincount(source.text_index[numbers], minlength=len(reason))
    count = [int(uses[reason == k].sum()) for k in range(4)]
    unusable = numbers[np.flatnonzero(reason_of_sample)[:_EXAMPLES]]
    examples = [f"{source.text(i)!r} ({_REASONS[reason[source.text_index[i]]]}; {source.reference(i)})"
                for i in unusable]
    if is_training:
        numbers = numbers[reason_of_sample == 0]
    if len(source) < 2**31:
        numbers = numbers.astype(np.int32)
    report = FilterReport(source.name, len(source), len(numbers), count[1], count[2], count[3],
                          labels.outside_characters(uses > 0), examples, is_training, max_text_length, steps,
                          selection=selection)
    return numbers, report
