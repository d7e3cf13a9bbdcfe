"""All results as one plain dictionary: results.json is it, results.md and report.html are made of it."""
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from src.common.charset import Charset, normalise
from src.metric import Tally, wilson_interval
from src.report.benchmarks import AVERAGES, BY_KEY, LEXICON_TITLES, average
from src.report.confusion import NOTHING, count_confusions, most_confused
from src.report.measure import Measured, Row, merge
from src.report.published import Published

_PAIRS = 40  # confusions listed


def summarise(measured: Sequence[Measured], skipped: dict[str, str], published: Sequence[Published], charset: Charset,
              facts: dict[str, str], unreadable: dict[str, str] | None = None) -> dict:
    """Puts everything together.

    Args:
        measured: the sets that were read.
        skipped: folder -> why it was not used.
        published: numbers of others.
        charset: of the network.
        facts: about the run, for people: name -> value.
        unreadable: benchmark -> why its set cannot be read.

    Returns:
        Plain dicts, lists, numbers and strings; accuracies are 0 to 1, those of others in per cent as published.
    """
    rows = merge(list(measured), unreadable)
    complete = {row.key: Tally(row.result.correct, row.result.total) for row in rows
                if row.complete and row.lexicon == "none"}
    words = [[(normalise(one.source.text(i), charset), normalise(reading.text, charset))
              for i, reading in zip(one.index, one.readings, strict=True)] for one in measured]
    together = [pair for own in words for pair in own]
    return {
        "facts": facts,
        "rows": [_row(row) for row in rows],
        "averages": [{"key": a.rule.key, "title": a.rule.title, "members": list(a.rule.members),
                      "weighted": a.rule.weighted, "accuracy": a.accuracy, "missing": list(a.missing)}
                     for a in (average(rule, complete) for rule in AVERAGES)],
        "published": [asdict(entry) for entry in published],
        "sets": [{"dataset": one.found.dataset, "place": one.found.place, "benchmark": one.main,
                  "words_read": len(one.index), "unreadable": one.unreadable,
                  "notes": [*one.found.notes, *one.messages], "title": BY_KEY[one.main].title,
                  "per_length": per_length(own), "confusions": confusions(own)}
                 for one, own in zip(measured, words, strict=True)],
        "skipped": skipped,
        "per_length": per_length(together),
        "confusions": confusions(together),
    }


def _row(row: Row) -> dict:
    benchmark = BY_KEY[row.key]
    entry = {"benchmark": row.key, "title": benchmark.title, "lexicon": row.lexicon,
             "lexicon_title": LEXICON_TITLES[row.lexicon], "expected_words": benchmark.words,
             "status": "absent" if row.result is None else "complete" if row.complete else "incomplete",
             "note": row.note}
    return entry | (row.result.to_dict() if row.result else {})


def per_length(words: Sequence[tuple[str, str]]) -> list[dict]:
    """Accuracy by length of the truth over all words (truth, prediction), rising, with 95 % intervals."""
    total, correct = Counter(), Counter()
    for truth, prediction in words:
        total[len(truth)] += 1
        correct[len(truth)] += truth == prediction
    return [{"length": length, "correct": correct[length], "total": total[length],
             "accuracy": correct[length] / total[length],
             "interval": list(wilson_interval(correct[length], total[length]))} for length in sorted(total)]


def confusions(words: Sequence[tuple[str, str]]) -> dict:
    """The confusion matrix of the most confused characters, and the most frequent confusions."""
    counts, characters = count_confusions(words)
    chosen = most_confused(counts)
    right = characters.copy()
    for (truth, _), number in counts.items():
        if truth:
            right[truth] -= number
    pairs = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {
        "characters": chosen,
        "matrix": [[right[row] if row == column else counts[row, column] for column in chosen] for row in chosen],
        "row_totals": [characters[row] for row in chosen],
        "pairs": [{"truth": truth, "prediction": prediction, "count": number,
                   "share": number / characters[truth] if truth else None}
                  for (truth, prediction), number in pairs[:_PAIRS]],
        "substituted": sum(n for (a, b), n in counts.items() if a and b),
        "missed": sum(n for (_, b), n in counts.items() if b == NOTHING),
        "invented": sum(n for (a, _), n in counts.items() if a == NOTHING),
        "truth_characters": sum(characters.values()),
    }
