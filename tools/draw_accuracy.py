"""Draws docs/pictures/accuracy.svg: our word accuracy on IIIT5K and SVT beside what others published.

Ours comes from pretrained/runs/accuracy.json, the others' from benchmarks/published.yaml.
"""
import json
import sys
from html import escape
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "accuracy.svg"
OURS = {"both": "this, synthetic + real words", "synth": "this, synthetic words only"}
OTHERS = {
    "MindSpore model zoo CRNN V2 (V100)": "model zoo V2, MJSynth",
    "MindOCR CRNN VGG7 (8.72 M parameters), as of MindSpore 2.5.0": "MindOCR VGG7, MJSynth + SynthText",
    "deep-text-recognition-benchmark CRNN": "dtrb, MJSynth + SynthText",
    "CRNN paper (TPAMI 2017)": "CRNN paper (2017), MJSynth",
}
SETS = {"IIIT5K": "iiit5k", "SVT": "svt"}
LEFT, PLOT, ROW, LOWEST = 262, 330, 15, 70
COLOURS = {"IIIT5K": "#4477aa", "SVT": "#ee8866"}


def rows() -> list[tuple[str, dict[str, float], bool]]:
    """(name, {set: accuracy in per cent}, whether it is ours), ours first."""
    measured = json.loads((ROOT / "pretrained" / "runs" / "accuracy.json").read_text())
    published = {entry["name"]: entry["numbers"]
                 for entry in yaml.safe_load((ROOT / "benchmarks" / "published.yaml").read_text())}
    ours = [(text, {name: 100 * measured[key][way]["correct"] / measured[key][way]["total"]
                    for name, way in SETS.items()}, True) for key, text in OURS.items()]
    return ours + [(text, {name: published[key][name] for name in SETS}, False) for key, text in OTHERS.items()]


def draw() -> str:
    """The picture as SVG text; the scale begins at 70 per cent."""
    parts, top = [], 34
    for name, numbers, ours in rows():
        weight = ' font-weight="bold"' if ours else ""
        parts.append(f'<text x="{LEFT - 8}" y="{top + ROW + 4}" text-anchor="end"{weight}>{escape(name)}</text>')
        for line, (column, value) in enumerate(numbers.items()):
            x, y = LEFT + PLOT * (value - LOWEST) / (100 - LOWEST), top + line * ROW
            parts.append(f'<line x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y + 7}" y2="{y + 7}" stroke="#eee"/>'
                         f'<circle cx="{x:.1f}" cy="{y + 7}" r="{6 if ours else 4.5}" fill="{COLOURS[column]}" '
                         f'opacity="{1 if ours else 0.7}"/>'
                         f'<text x="{x + 10:.1f}" y="{y + 11}" font-size="11">{value:.1f}</text>')
        top += 2 * ROW + 10
    grid = "".join(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="{top}" stroke="#ccc"/>'
                   f'<text x="{x:.1f}" y="{top + 14}" text-anchor="middle" font-size="11">{share} %</text>'
                   for share in (70, 80, 90, 100) for x in [LEFT + PLOT * (share - LOWEST) / (100 - LOWEST)])
    legend = "".join(f'<rect x="{LEFT + 90 * n}" y="8" width="12" height="12" fill="{colour}"/>'
                     f'<text x="{LEFT + 90 * n + 17}" y="18">{name}</text>'
                     for n, (name, colour) in enumerate(COLOURS.items()))
    width, height = LEFT + PLOT + 50, top + 24
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="sans-serif" font-size="13">'
            f'<rect width="{width}" height="{height}" fill="#fff"/>{grid}{legend}{"".join(parts)}</svg>\n')


def main() -> None:
    """Writes the picture."""
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw())
    print(f"picture: {PICTURE}")


if __name__ == "__main__":
    main()
