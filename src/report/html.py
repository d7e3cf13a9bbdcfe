"""report.html: one self-contained page with tables, charts and a gallery of errors."""
import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from src.report.charts import accuracy_chart, confusion_table, length_chart
from src.report.markdown import RESULT_HEAD, average_remark, comparison, percent, result_cells

_HERE = Path(__file__).parent


def to_html(report: dict, errors: Sequence[dict], error_count: int) -> str:
    """The text of report.html.

    Args:
        report: see ``src.report.summary``.
        errors: entries of the gallery.
        error_count: number of all errors.
    """
    # "</" would end the script element, "<!--" would change how it is read.
    data = json.dumps(errors, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    sections = [
        ("results", "Results", _results(report)),
        ("published", "Beside published numbers", _published(report)),
        ("lengths", "By length of the word", "<p>Without a lexicon, with 95 % intervals; the bars show how many words "
         "there are.</p>" + _views(report, lambda part, _: _scroll(length_chart(part["per_length"])))),
        ("confusions", "Confused characters", _CONFUSIONS_HELP
         + _views(report, lambda part, title: _confusions(part["confusions"], title))),
        ("errors", "Errors", _gallery(report, errors, error_count)),
        ("sets", "Sets and notes", _sets(report)),
    ]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, title, content in sections)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report["facts"].items())
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            f"<title>CRNN benchmark results</title><style>{_asset('report.css')}</style></head><body>"
            f"<header><h1>CRNN benchmark results</h1><dl>{facts}</dl><nav>{links}</nav></header><main>{body}</main>"
            f'<script type="application/json" id="data">{data}</script><script>{_asset("report.js")}</script>'
            "</body></html>\n")


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _scroll(content: str) -> str:
    return f'<div class="scroll">{content}</div>'


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], kind: str = "numbers") -> str:
    """A table; each row comes with its class; the first cell is its heading."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(f'<tr class="{style}"><th scope="row">{escape(cells[0])}</th>'
                    + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:]) + "</tr>" for style, cells in rows)
    return _scroll(f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>')


def _results(report: dict) -> str:
    rows = [(row["status"], result_cells(row)) for row in report["rows"]]
    averages = [("absent" if a["accuracy"] is None else "complete",
                 [a["title"], percent(a["accuracy"]), average_remark(a)]) for a in report["averages"]]
    notes = "".join(f"<li>{escape(row['title'])}, lexicon {escape(row['lexicon_title'])}: {row['status']}: "
                    f"{escape(row['note'])}</li>" for row in report["rows"] if row["status"] != "complete")
    return (_table(RESULT_HEAD, rows) + "<h3>Averages, without lexicons</h3>"
            + _table(("average", "accuracy %", "remark"), averages, "")
            + (f"<details><summary>Absent or incomplete</summary><ul>{notes}</ul></details>" if notes else ""))


def _published(report: dict) -> str:
    _, titles, rows = comparison(report)
    sources = "".join(f"<li>{escape(entry['name'])}: {escape(entry['source'])}"
                      + (f" ({escape(entry['note'])})" if entry["note"] else "") + "</li>"
                      for entry in report["published"])
    table = _table(("network", "training data", *titles),
                   [("ours" if n == 0 else "", row) for n, row in enumerate(rows)], "numbers wide")
    star = " * is a part of the set only, no number to compare." if any("*" in cell for cell in rows[0]) else ""
    return (f"<p>In per cent. Dots with intervals are this network, rings are published numbers.{star}</p>"
            f"{_scroll(accuracy_chart(report['rows'], report['published']))}{table}"
            f"<details><summary>Sources</summary><ul>{sources}</ul></details>")


_CONFUSIONS_HELP = (
    "<p>Counted along a shortest edit path between truth and prediction. Rows are the truth, columns what was read, "
    "of the most confused characters. Behind a confusion: how often, and in what share of that character. A click "
    "shows the errors.</p>")


def _views(report: dict, draw: Callable[[dict, str], str]) -> str:
    """The same drawing for all sets together and for each, with a choice between them.

    Args:
        report: see :func:`to_html`.
        draw: makes it from the report or an entry of its sets, and the set's title, '' for all.
    """
    titles = [one["title"] for one in report["sets"]]
    names = [one["title"] + (f" ({one['place']})" if titles.count(one["title"]) > 1 else "") for one in report["sets"]]
    if len(names) < 2:
        return draw(report, "")
    options = "".join(f'<option value="{n}">{escape(name)}</option>' for n, name in enumerate(["all", *names]))
    parts = [draw(report, ""), *(draw(one, one["title"]) for one in report["sets"])]
    return (f'<label class="choice">Set <select>{options}</select></label>'
            + "".join(f'<div class="view"{" hidden" if n else ""}>{part}</div>' for n, part in enumerate(parts)))


def _confusions(confusions: dict, title: str) -> str:
    own = f' data-set="{escape(title, quote=True)}"' if title else ""
    pairs = "".join(f'<li><a href="#errors" data-pair="{escape(p["truth"] + ">" + p["prediction"], quote=True)}"{own}>'
                    f"{_shown(p['truth'])} → {_shown(p['prediction'])}</a> {p['count']}"
                    + (f" <small>{percent(p['share'])} %</small>" if p["share"] is not None else "") + "</li>"
                    for p in confusions["pairs"])
    return (f"<p>{confusions['truth_characters']:,} characters: {confusions['substituted']:,} taken for another, "
            f"{confusions['missed']:,} missed, {confusions['invented']:,} invented.</p>"
            f'<div class="side">{_scroll(confusion_table(confusions, own))}<ol class="pairs">{pairs}</ol></div>')


def _shown(character: str) -> str:
    return f"<b>{escape(character)}</b>" if character else "<i>nothing</i>"


def _gallery(report: dict, errors: Sequence[dict], error_count: int) -> str:
    cap = ("" if len(errors) == error_count else
           f" The page holds {len(errors):,} of the {error_count:,} errors, evenly spread (see gallery_images).")
    titles = dict.fromkeys(error["set"] for error in errors)
    options = "".join(f'<option value="{escape(title, quote=True)}">{escape(title)}</option>' for title in titles)
    longest = max((len(error["truth"]) for error in errors), default=1)
    return (f"<p>Words read wrongly without a lexicon; images are made small.{cap}</p>"
            '<form id="filters">'
            f'<label>Set <select name="set"><option value="">all</option>{options}</select></label>'
            f'<label>Length <input name="min" type="number" min="0" max="{longest}" placeholder="0"/> to '
            f'<input name="max" type="number" min="0" max="{longest}" placeholder="{longest}"/></label>'
            '<label>Confidence <input name="low" type="number" min="0" max="1" step="0.05" placeholder="0"/> to '
            '<input name="high" type="number" min="0" max="1" step="0.05" placeholder="1"/></label>'
            '<label>Text <input name="text" type="search" placeholder="in truth or prediction"/></label>'
            '<label>Confusion <input name="pair" type="text" placeholder="o&gt;0" size="5"/></label>'
            '<label>Order <select name="order"><option value="">as in the set</option>'
            '<option value="sure">most confident first</option><option value="unsure">least confident first</option>'
            '<option value="long">longest first</option></select></label>'
            '<button type="reset">Reset</button></form>'
            '<p id="count" role="status"></p><div id="gallery"></div><button id="more" type="button">More</button>'
            "<noscript><p>The gallery needs JavaScript.</p></noscript>")


def _sets(report: dict) -> str:
    parts = []
    for one in report["sets"]:
        notes = "".join(f"<li>{escape(note)}</li>" for note in one["notes"])
        broken = "".join(f"<li>could not be read: {escape(path)}</li>" for path in one["unreadable"])
        parts.append(f"<h3>{escape(one['dataset'])} <small>{escape(one['place'])}</small></h3><ul><li>"
                     f"{one['words_read']:,} words read</li>{notes}{broken}</ul>")
    skipped = "".join(f"<li>{escape(place)}: {escape(reason)}</li>" for place, reason in report["skipped"].items())
    return "".join(parts) + (f"<h3>Not used</h3><ul>{skipped}</ul>" if skipped else "")
