#!/usr/bin/env bash
# docTR's "anyascii" and "unicase" accuracies count Chinese words as right of which every character was misread.
#
# Expected: a tolerance for accents and letter forms, as "é" for "e"; a word of other characters stays wrong.
# Seen with python-doctr 1.1.0 and anyascii 0.3.3 (29 November 2026), TextMatch, whose "unicase" its evaluation script
# prints as "Partial": both texts are spelled in Latin letters before they are compared, and Chinese characters of one sound
# have one spelling. "上海" (a city) read as "伤害" (injury) is a match, so is "世界" for "视界"; so are Cyrillic
# "Москва" and Latin "Moskva", though a recogniser that writes Latin for Cyrillic is of no use. The raw accuracy is 0 of 4.
# The metrics' file alone is loaded, as the package wants PyTorch.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q anyascii==0.3.3 numpy==1.26.4 scipy==1.17.1 shapely==2.2.0
"$folder/venv/bin/pip" install -q --no-deps python-doctr==1.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.util
import sys

path = next(f for f in importlib.metadata.files("python-doctr") if f.match("doctr/utils/metrics.py")).locate()
spec = importlib.util.spec_from_file_location("metrics", path)
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)

pairs = (("上海", "伤害"), ("世界", "视界"), ("Москва", "Moskva"), ("東京", "DongJing"))
metric = metrics.TextMatch()
metric.update([word for word, _ in pairs], [read for _, read in pairs])
found = metric.summary()
print(found)
metric.reset()
metric.update(["street"], ["stroet"])
if metric.summary()["unicase"] != 0 or found["raw"] != 0:
    sys.exit("the exact match is not what it was: look at the example again")
if found["anyascii"] != 1 or found["unicase"] != 1:
    sys.exit("other characters are no match any more: this finding is out of date")
PYTHON
