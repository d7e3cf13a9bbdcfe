#!/usr/bin/env bash
# EasyOCR's beam search reads "helo" from scores that say "hello" with 92 %, where its greedy decoder is right.
#
# Expected: a beam search finds a text at least as probable as the greedy one, the more so with a wide beam.
# Seen with easyocr 1.7.2 (29 November 2026), decoder="beamsearch"; "wordbeamsearch" calls the same function: where one
# blank parts two equal letters and the second takes one step, the pair becomes one letter. At 0.99 a step, "hello" has a
# probability of 0.92 (forward algorithm), "helo" of 0.01, and a beam of 5 or 100 says "helo". With a second blank, or two
# steps for the second letter, the pair stays. Of 300 random scores a quarter is read as a less probable text than by the
# greedy decoder. Only the decoder's functions are run, out of the package's own file, as all of it wants PyTorch.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4
"$folder/venv/bin/pip" install -q --no-deps easyocr==1.7.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import importlib.metadata
import itertools
import sys

import numpy as np

path = next(f for f in importlib.metadata.files("easyocr") if f.match("easyocr/utils.py")).locate()
tree = ast.parse(path.read_text(encoding="utf-8"))
tree.body = [part for part in tree.body if isinstance(part, (ast.FunctionDef, ast.ClassDef))
             and part.name not in ("CTCLabelConverter", "get_image_list")]
easyocr = {"np": np}
exec(compile(tree, str(path), "exec"), easyocr)


def probability(scores, text, classes):
    """CTC's forward algorithm; class 0 is the blank."""
    path = [0]
    for letter in text:
        path += [classes.index(letter), 0]
    at = np.zeros(len(path))
    at[0] = 1.0
    for step, row in enumerate(scores):
        new = np.zeros(len(path))
        for i, label in enumerate(path):
            new[i] = at[i] + (at[i - 1] if i and step else 0)
            if step == 0:
                new[i] = 1.0 if i < 2 else 0.0
            elif i > 1 and label and label != path[i - 2]:
                new[i] += at[i - 2]
            new[i] *= row[label]
        at = new
    return at[-1] + (at[-2] if len(path) > 1 else 0)


def greedy(scores, classes):
    return "".join(classes[label] for label, _ in itertools.groupby(scores.argmax(1)) if label)


def beam(scores, classes, width):
    return easyocr["ctcBeamSearch"](scores, classes, [0], None, beamWidth=width)


def drawn(steps, classes):
    """Scores that say one class with 0.99 at each step; "-" is the blank."""
    scores = np.full((len(steps), len(classes)), 0.01 / (len(classes) - 1))
    for row, step in zip(scores, steps):
        row[0 if step == "-" else classes.index(step)] = 0.99
    return scores


classes = ["[blank]", *"helo"]
for steps, expected in (("-h-e-l-lo-", "helo"), ("-h-e-ll-lo", "helo"), ("-h-e-l-llo", "hello"), ("-h-e-l--lo", "hello")):
    scores = drawn(steps, classes)
    read = beam(scores, classes, 5), beam(scores, classes, 100)
    values = [probability(scores, text, classes) for text in ("hello", "helo")]
    print(f"{steps}: greedy {greedy(scores, classes)}, beams of 5 and 100 {read}; "
          f"P(hello) {values[0]:.3f}, P(helo) {values[1]:.3f}")
    if greedy(scores, classes) != "hello" or values[0] < 0.8 or values[1] > 0.05:
        sys.exit("the scores do not say hello: look at the example again")
    if read != (expected, expected):
        sys.exit("this finding is out of date")
rng, three, worse = np.random.default_rng(0), ["[blank]", "a", "b"], 0
for _ in range(300):
    scores = rng.dirichlet([0.3] * 3, 6)
    worse += probability(scores, beam(scores, three, 100), three) < probability(scores, greedy(scores, three), three) - 1e-9
print(f"random scores: of 300 the beam search read {worse} as a less probable text than the greedy decoder")
if worse < 30:
    sys.exit("the beam search is hardly ever worse than the greedy decoder now: this finding is out of date")
PYTHON
