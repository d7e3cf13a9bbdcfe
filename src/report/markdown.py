"""results.md: the tables of the report as Markdown."""
from collections.abc import Iterable, Sequence

from src.report.benchmarks import AVERAGES, BY_KEY

ABSENT = "–"


def percent(share: float | None) -> str:
    """A share as it stands in every table: 81.27."""
    return ABSENT if share is None else f"{100 * share:.2f}"


def result_cells(row: dict) -> list[str]:
    """The cells of a row of the main table: set, lexicon, words, correct, accuracy, interval, 1-NED, CER, ECE."""
    head = [row["title"], row["lexicon_title"]]
    if row["status"] == "absent":
        return [*head, "absent", *[ABSENT] * 6]
    words = f"{row['total']:,}" if row["status"] == "complete" else f"{row['total']:,} of {row['expected_words']:,}"
    low, high = row["interval"]
    ece = ABSENT if row["ece"] is None else f"{row['ece']:.4f}"
    return [*head, words, f"{row['correct']:,}", percent(row["accuracy"]), f"{percent(low)} to {percent(high)}",
            f"{row['one_minus_ned']:.4f}", f"{row['cer']:.4f}", ece]


def average_remark(average: dict) -> str:
    """What is missing for an average; '' for nothing."""
    return f"missing: {', '.join(BY_KEY[key].title for key in average['missing'])}" if average["missing"] else ""


RESULT_HEAD = ("set", "lexicon", "words", "correct", "accuracy %", "95 % interval", "1-NED", "CER", "ECE")


def comparison(report: dict) -> tuple[list[str], list[str], list[list[str]]]:
    """Ours beside the published numbers.

    Returns:
        Keys of the columns, their titles, and rows: name, training data, the numbers in per cent.
    """
    ours = {_column(row): row for row in report["rows"]}
    columns = [key for key, row in ours.items()
               if row["status"] != "absent" or any(key in entry["numbers"] for entry in report["published"])]
    titles = [BY_KEY[key.partition("/")[0]].title + (f" / {ours[key]['lexicon_title']}" if "/" in key else "")
              for key in columns]
    rules = {average["key"]: average["accuracy"] for average in report["averages"]}
    first = [percent(ours[key].get("accuracy")) + ("*" if ours[key]["status"] == "incomplete" else "")
             for key in columns]
    name = f"this network: {report['facts'].get('network', '')}"
    rows = [[name, ABSENT, *first, *(percent(rules[r.key]) for r in AVERAGES)]]
    for entry in report["published"]:
        cells = [entry["numbers"].get(key) for key in columns] + [entry["averages"].get(r.key) for r in AVERAGES]
        rows.append([entry["name"], entry["training_data"], *(ABSENT if n is None else f"{n:.2f}" for n in cells)])
    return [*columns, *(r.key for r in AVERAGES)], [*titles, *(r.short for r in AVERAGES)], rows


def _column(row: dict) -> str:
    return row["benchmark"] if row["lexicon"] == "none" else f"{row['benchmark']}/{row['lexicon']}"


def to_markdown(report: dict) -> str:
    """The text of results.md."""
    facts = [f"* {name}: {value}" for name, value in report["facts"].items()]
    lines = ["# Benchmark results", "", *facts, "",
             "Word accuracy by the field's protocol: lower case, letters and digits only (with a case-sensitive or "
             "other charset: text as it is). Intervals are Wilson's.", "",
             *_table(RESULT_HEAD, map(result_cells, report["rows"])), "", "## Averages, without lexicons", "",
             *_table(("average", "accuracy %", "remark"),
                     ([a["title"], percent(a["accuracy"]), average_remark(a)] for a in report["averages"])), ""]
    notes = [f"* {row['title']}, lexicon {row['lexicon_title']}: {row['status']}: {row['note']}"
             for row in report["rows"] if row["status"] != "complete"]
    lines += ["## Absent or incomplete", "", *notes, ""] if notes else []
    _, titles, rows = comparison(report)
    lines += ["## Beside published numbers", "", "In per cent; – is not published or not measured"
              + (", * is a part of the set only" if any("*" in cell for cell in rows[0][2:]) else "") + ".", "",
              *_table(("network", "training data", *titles), rows), "", "Sources:", ""]
    lines += [f"* {entry['name']}: {entry['source']}" + (f" ({entry['note']})" if entry["note"] else "")
              for entry in report["published"]]
    own = [{p["length"]: f"{percent(p['accuracy'])} ({p['total']})" for p in one["per_length"]}
           for one in report["sets"]]
    lines += ["", "## By length of the word", "", "Accuracy in per cent; of the sets with the number of words.", "",
              *_table(("characters", "words", "correct", "accuracy %", *(one["title"] for one in report["sets"])),
                      ([str(p["length"]), str(p["total"]), str(p["correct"]), percent(p["accuracy"]),
                        *(column.get(p["length"], ABSENT) for column in own)] for p in report["per_length"])), ""]
    shown = [[p["truth"] or "(nothing)", p["prediction"] or "(nothing)", str(p["count"]), percent(p["share"])]
             for p in report["confusions"]["pairs"][:20]]
    lines += ["## Most frequent confusions", "", *_table(("truth", "read as", "times", "% of that character"), shown),
              "", "## Sets", ""]
    for one in report["sets"]:
        lines += [f"* {one['dataset']} in {one['place']}: {one['words_read']} words read"
                  + (f", {len(one['unreadable'])} images could not be read" if one["unreadable"] else ""),
                  *(f"  * {note}" for note in one["notes"])]
    lines += [f"* not used: {place}: {reason}" for place, reason in report["skipped"].items()]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
