"""The benchmark sets of the field: how many words each counts, its lexicons, and the averages made of them."""
from collections.abc import Mapping
from dataclasses import dataclass

from src.metric import Tally


@dataclass(frozen=True)
class Benchmark:
    """One column of the field's tables.

    Attributes:
        key: its name in results.json, published.yaml and LMDB folders, such as 'IC13_857'.
        title: its name for people.
        dataset: the data set it is chosen from, see ``src.dataset.SOURCES``.
        protocol: how, see ``src.data.protocol.PROTOCOLS``.
        words: how many words it has; fewer are a part of it, and no number to compare.
        lexicons: the lexicons it is read with in the CRNN paper.
    """

    key: str
    title: str
    dataset: str
    protocol: str
    words: int
    lexicons: tuple[str, ...] = ()


BENCHMARKS = (
    Benchmark("IIIT5K", "IIIT5K", "iiit5k", "whole", 3000, ("50", "1k")),
    Benchmark("SVT", "SVT", "svt", "whole", 647, ("50", "full")),
    Benchmark("IC03_860", "IC03 860", "ic03", "860", 860, ("50", "full", "50k")),
    Benchmark("IC03_867", "IC03 867", "ic03", "867", 867),
    Benchmark("IC13_857", "IC13 857", "ic13", "857", 857),
    Benchmark("IC13_1015", "IC13 1015", "ic13", "1015", 1015),
    Benchmark("IC15_1811", "IC15 1811", "ic15", "1811", 1811),
    Benchmark("IC15_2077", "IC15 2077", "ic15", "2077", 2077),
    Benchmark("SVTP", "SVTP", "svtp", "whole", 645),
    Benchmark("CUTE80", "CUTE80", "cute80", "whole", 288),
)
BY_KEY = {benchmark.key: benchmark for benchmark in BENCHMARKS}
LEXICON_TITLES = {"none": "none", "50": "50", "1k": "1k", "full": "Full", "50k": "50k"}
# A word list that does not come with the set: the CRNN paper took the Hunspell dictionary.
GIVEN_LEXICON = "50k"


@dataclass(frozen=True)
class AverageRule:
    """One way to average over sets.

    Attributes:
        key: in results.json and published.yaml.
        title: for people.
        short: the same for the head of a column.
        members: keys of the benchmarks.
        weighted: by words; otherwise every set counts the same.
    """

    key: str
    title: str
    short: str
    members: tuple[str, ...]
    weighted: bool


_SIX = ("IIIT5K", "SVT", "IC13_857", "IC15_1811", "SVTP", "CUTE80")
AVERAGES = (
    AverageRule("six", "six sets, plain mean", "mean of six", _SIX, False),
    AverageRule("ten", "ten columns, plain mean", "mean of ten", tuple(BY_KEY), False),
    AverageRule("words_7672", "7,672 words, weighted by words", "7,672 words",
                ("IIIT5K", "SVT", "IC13_1015", "IC15_2077", "SVTP", "CUTE80"), True),
    AverageRule("words_7248", "7,248 words, weighted by words", "7,248 words", _SIX, True),
)


@dataclass(frozen=True)
class Average:
    """An average; the accuracy is 0 to 1, None where members are missing."""

    rule: AverageRule
    accuracy: float | None
    missing: tuple[str, ...]


def average(rule: AverageRule, results: Mapping[str, Tally]) -> Average:
    """The average over the complete sets without a lexicon.

    Args:
        rule: which one.
        results: key of a benchmark -> correct and total words; complete sets only.
    """
    missing = tuple(key for key in rule.members if key not in results)
    if missing:
        return Average(rule, None, missing)
    tallies = [results[key] for key in rule.members]
    if rule.weighted:
        return Average(rule, sum(t.correct for t in tallies) / sum(t.total for t in tallies), ())
    return Average(rule, sum(t.accuracy for t in tallies) / len(tallies), ())
