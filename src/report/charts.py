"""Charts of the report as inline SVG; colours come from the page's style sheet."""
from collections.abc import Sequence
from html import escape

_LEFT, _TOP, _PLOT_HEIGHT, _BARS = 44, 14, 180, 46


def length_chart(points: Sequence[dict]) -> str:
    """Accuracy by word length with 95 % intervals, the number of words as bars below.

    Args:
        points: dicts with length, correct, total, accuracy and interval.
    """
    if not points:
        return "<p>No words.</p>"
    step, width = 34, _LEFT + 34 * len(points) + 10
    height = _TOP + _PLOT_HEIGHT + _BARS + 42
    base = _TOP + _PLOT_HEIGHT
    largest = max(point["total"] for point in points)

    def x(n: int) -> float:
        return _LEFT + step * (n + 0.5)

    def y(share: float) -> float:
        return base - _PLOT_HEIGHT * share

    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
             'aria-label="Word accuracy by word length">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - 8}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
                     f'<text x="{_LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    path = " ".join(f"{'M' if n == 0 else 'L'}{x(n):.1f} {y(p['accuracy']):.1f}" for n, p in enumerate(points))
    parts.append(f'<path class="curve" d="{path}"/>')
    for n, point in enumerate(points):
        low, high = point["interval"]
        bar = max(1.0, (_BARS - 14) * point["total"] / largest)
        title = (f"{point['length']} characters: {point['correct']} of {point['total']} words right, "
                 f"{point['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%})")
        parts.append(f'<g><title>{title}</title><line class="whisker" x1="{x(n):.1f}" x2="{x(n):.1f}" '
                     f'y1="{y(low):.1f}" y2="{y(high):.1f}"/><circle class="dot" cx="{x(n):.1f}" '
                     f'cy="{y(point["accuracy"]):.1f}" r="4"/><rect class="bar" x="{x(n) - 10:.1f}" '
                     f'y="{base + _BARS - bar + 6:.1f}" width="20" height="{bar:.1f}"/>'
                     f'<text x="{x(n):.1f}" y="{base + _BARS + 20}" text-anchor="middle">{point["length"]}</text></g>')
    parts.append(f'<text x="{_LEFT - 6}" y="{base + _BARS + 4}" text-anchor="end">words</text>'
                 f'<text x="{(width + _LEFT) / 2:.0f}" y="{base + _BARS + 38}" text-anchor="middle">'
                 "characters in the word</text></svg>")
    return "".join(parts)


def accuracy_chart(rows: Sequence[dict], published: Sequence[dict]) -> str:
    """Our accuracy with its interval for every set read without a lexicon, published numbers as rings.

    Args:
        rows: rows of the report.
        published: entries of published.yaml.
    """
    rows = [row for row in rows if row["lexicon"] == "none" and row["status"] != "absent"]
    if not rows:
        return "<p>No set was read.</p>"
    left, plot, line = 104, 560, 34
    height = _TOP + line * len(rows) + 34
    others = [entry["numbers"][row["benchmark"]] for row in rows for entry in published
              if row["status"] == "complete" and row["benchmark"] in entry["numbers"]]
    smallest = min([100 * row["interval"][0] for row in rows] + others)
    start = max(0, int(smallest // 10) * 10)

    def x(value: float) -> float:
        return left + plot * (value - start) / (100 - start)

    parts = [f'<svg class="chart" viewBox="0 0 {left + plot + 24} {height}" width="{left + plot + 24}" '
             f'height="{height}" role="img" aria-label="Word accuracy by set beside published numbers">']
    for value in range(start, 101, 10):
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP - 6}" y2="{height - 28}"/>'
                     f'<text x="{x(value):.1f}" y="{height - 10}" text-anchor="middle">{value} %</text>')
    for n, row in enumerate(rows):
        y = _TOP + line * (n + 0.5)
        star = "" if row["status"] == "complete" else "*"
        parts.append(f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(row["title"])}{star}</text>')
        for entry in published if row["status"] == "complete" else ():
            if row["benchmark"] in entry["numbers"]:
                value = entry["numbers"][row["benchmark"]]
                parts.append(f'<circle class="ring" cx="{x(value):.1f}" cy="{y:.1f}" r="5">'
                             f"<title>{escape(entry['name'])}: {value} %</title></circle>")
        low, high = (100 * bound for bound in row["interval"])
        parts.append(f'<line class="whisker" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<circle class="dot" cx="{x(100 * row["accuracy"]):.1f}" cy="{y:.1f}" r="5">'
                     f"<title>this network: {row['accuracy']:.2%}</title></circle>")
    return "".join([*parts, "</svg>"])


def confusion_table(confusions: dict, attributes: str = "") -> str:
    """The confusion matrix of the most confused characters as a table; cells lead to their errors.

    Args:
        confusions: of the report.
        attributes: put into every link.
    """
    characters = confusions["characters"]
    if not characters:
        return "<p>No character was taken for another.</p>"
    off = [value for i, line in enumerate(confusions["matrix"]) for j, value in enumerate(line) if i != j]
    largest = max([*off, 1])
    head = "".join(f'<th scope="col">{escape(character)}</th>' for character in characters)
    lines = []
    for i, (character, values) in enumerate(zip(characters, confusions["matrix"], strict=True)):
        cells = []
        for j, value in enumerate(values):
            if i == j:
                cells.append(f'<td class="right">{value}</td>')
            elif value:
                pair = escape(f"{character}>{characters[j]}", quote=True)
                title = f"{escape(character)} read as {escape(characters[j])}"
                cells.append(f'<td style="--heat:{(value / largest) ** 0.5:.2f}"><a href="#errors" data-pair="{pair}"'
                             f'{attributes} title="{title}">{value}</a></td>')
            else:
                cells.append("<td></td>")
        lines.append(f'<tr><th scope="row">{escape(character)}</th>{"".join(cells)}'
                     f'<td class="sum">{confusions["row_totals"][i]}</td></tr>')
    return (f'<table class="matrix"><thead><tr><th></th>{head}<th scope="col">in all</th></tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table>")
