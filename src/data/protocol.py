"""Which words of a benchmark count: the field's protocols, `--eval_protocol`."""
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from src.common.errors import ConfigError, DataError
from src.common.files import read_lines
from src.data.source import WordSource

_ALPHANUMERIC = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def plain(text: str) -> bool:
    """The word has nothing but [0-9A-Za-z]."""
    return bool(text) and _ALPHANUMERIC.issuperset(text)


def plain_from_three(text: str) -> bool:
    """The word has nothing but [0-9A-Za-z], and three characters or more."""
    return len(text) >= 3 and plain(text)


@dataclass(frozen=True)
class Protocol:
    """One way to choose the words of a set.

    Attributes:
        dataset: the set it belongs to.
        rule: which words count; None where nothing but a list of images tells.
        reason: why the others do not.
    """

    dataset: str
    rule: Callable[[str], bool] | None
    reason: str


PROTOCOLS = {
    "860": Protocol("ic03", plain_from_three, "a non-alphanumeric character or fewer than 3 characters"),
    "867": Protocol("ic03", None, "not in the list of the 867"),
    "857": Protocol("ic13", plain_from_three, "a non-alphanumeric character or fewer than 3 characters"),
    "1015": Protocol("ic13", plain, "a non-alphanumeric character"),
    "1811": Protocol("ic15", None, "not in the list of the 1811"),
    "1922": Protocol("ic15", plain, "a non-alphanumeric character"),
    "2077": Protocol("ic15", lambda text: True, ""),
}
_STANDARD = {"ic03": "860", "ic13": "857"}


@dataclass
class Selection:
    """The words that count.

    Attributes:
        numbers: (K,) int64 numbers of the samples, rising.
        protocol: name of the protocol, such as '860', or 'whole'.
        total: words of the set.
        dropped: reason -> how many are not counted.
        examples: up to five of these.
        note: what else a reader should know; '' for nothing.
    """

    numbers: np.ndarray
    protocol: str
    total: int
    dropped: dict[str, int]
    examples: list[str]
    note: str = ""

    def summary(self) -> str:
        """One line for people."""
        line = f"protocol {self.protocol}: {len(self.numbers)} of {self.total} words count"
        for reason, count in self.dropped.items():
            line += f"; dropped {count}: {reason}, such as {', '.join(self.examples)}"
        return line + (f"; {self.note}" if self.note else "")


def select_words(source: WordSource, protocol: str = "standard") -> Selection:
    """Finds the words of a set that count in evaluation.

    A list of images beside the annotation, ``protocol_N.txt`` (one a line, path or file name), goes before the rule of
    protocol N; 867 and 1811 were chosen by eye, so only such a list tells. 'standard' is 860 for ic03, 857 for ic13,
    1811 for ic15 where its list is there, and every other set whole.

    Args:
        source: the set.
        protocol: 'standard', 'whole', or a key of ``PROTOCOLS``.

    Raises:
        ConfigError: no such protocol, or one of another set.
        DataError: the list it needs is not there or does not fit, or no word is left.
    """
    note, total = "", len(source)
    if protocol == "standard":
        protocol = _STANDARD.get(source.name, "whole")
        if source.name == "ic15":
            listed = source.companion("protocol_1811")
            protocol = "1811" if listed and os.path.isfile(listed) else "whole"
            if protocol == "whole" and total != 1811:
                note = "the 1811 need a list, protocol_1811.txt"
    if protocol == "whole":
        return Selection(np.arange(total), protocol, total, {}, [], note)
    if protocol not in PROTOCOLS:
        raise ConfigError(f"eval_protocol {protocol}: expected standard, whole or one of {', '.join(PROTOCOLS)}")
    entry = PROTOCOLS[protocol]
    if source.name not in (entry.dataset, "lmdb"):
        own = [name for name, other in PROTOCOLS.items() if other.dataset == source.name]
        raise ConfigError(f"eval_protocol {protocol} belongs to {entry.dataset}; for {source.name}: "
                          f"{', '.join(['standard', 'whole', *own])}")
    listed = source.companion(f"protocol_{protocol}")
    if listed and os.path.isfile(listed):
        counts = _listed(source, listed)
    elif entry.rule:
        good = np.array([entry.rule(text) for text in source.texts], bool)
        counts = good[source.text_index]
    elif total == int(protocol):
        counts = np.ones(total, bool)
    else:
        raise DataError(f"{source.name}: the {protocol} words were chosen by eye: put the list of their images, "
                        f"protocol_{protocol}.txt (one a line), beside the annotation, or choose another "
                        f"eval_protocol; the {total} words here do not tell")
    numbers, left_out = np.flatnonzero(counts), np.flatnonzero(~counts)
    if not len(numbers):
        raise DataError(f"{source.name}: none of its {total} words counts in eval_protocol {protocol}")
    if len(numbers) != int(protocol):
        note = f"the whole benchmark has {protocol}"
    examples = [f"{source.text(i)!r} ({source.reference(i)})" for i in left_out[:5]]
    return Selection(numbers, protocol, total, {entry.reason: len(left_out)} if len(left_out) else {}, examples, note)


def _listed(source: WordSource, path: str) -> np.ndarray:
    """Marks the samples that a list of images names; (N,) bool."""
    wanted = {line.strip().removeprefix("./"): number for number, line in read_lines(path)}
    found, counts = set(), np.zeros(len(source), bool)
    for i in range(len(source)):
        reference = source.reference(i).removeprefix("./")
        for name in (reference, os.path.basename(reference)):
            if name in wanted:
                found.add(name)
                counts[i] = True
    for name in wanted:
        if name not in found:
            raise DataError(f"{path}, line {wanted[name]}: the set has no image {name}")
    return counts
