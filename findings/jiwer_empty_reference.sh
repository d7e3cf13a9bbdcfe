#!/usr/bin/env bash
# jiwer's character error rate of an empty reference is a number of characters, not a rate; and blanks at the ends are free.
#
# Expected: a rate, or an error or infinity where there is nothing to divide by (dinglehopper 0.11 says infinity); a blank
# that was read too much counts wherever it stands, or nowhere.
# Seen with jiwer 4.0.0 (29 November 2026): cer("", "abc") is the whole number 3, so the mean of single rates over a data set
# with an empty label is pulled up by the length of what was read there. Over lists the characters are added up instead,
# which is right: use that. cer(" ab", "ab") is 0, cer("a  b", "a b") is 0.25: ends are stripped first, inner blanks are not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jiwer==4.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from jiwer import cer

pairs = (("", "abc"), ("", ""), (" ab", "ab"), ("a  b", "a b"), ("ab", "ax"))
rates = [cer(reference, read) for reference, read in pairs]
print(*(f"cer{pair} = {rate!r}" for pair, rate in zip(pairs, rates)), sep="\n")
print("list:", cer(["", "ab"], ["x", "ab"]))
if rates[4] != 0.5:
    sys.exit("one wrong character of two is not 0.5: look at the example again")
if rates[0] != 3:
    sys.exit("an empty reference no longer gives a count: this finding is out of date")
if rates[2:4] != [0, 0.25]:
    sys.exit("blanks count otherwise now: this finding is out of date")
PYTHON
