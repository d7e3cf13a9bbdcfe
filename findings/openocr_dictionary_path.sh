#!/usr/bin/env bash
# OpenOCR turns what it read round where the path of the dictionary has "arabic" in it, whatever the characters are.
#
# Expected: the direction follows from the characters or from an option.
# Seen with openocr-python 0.1.5 (29 November 2026), CTCLabelDecode: with one English dictionary, scores that say "it's",
# "C&A" and "(5)" are read so from en.txt in a folder "words", and as "s'it", "A&C" and ")5(" from the same file in a
# folder "arabic_and_english". The other way round, Arabic words stay in the order of the picture when the dictionary is
# called ar.txt. In validation the label goes through the same decoder and is turned as well, so the accuracy shows nothing.
# The decoder's file alone is loaded, as the package wants PyTorch.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4
"$folder/venv/bin/pip" install -q --no-deps openocr-python==0.1.5
cd "$folder"
mkdir words arabic_and_english arabic
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.util
import string
import sys

import numpy as np

name = "openrec/postprocess/ctc_postprocess.py"
path = next(f for f in importlib.metadata.files("openocr-python") if f.match(name)).locate()
spec = importlib.util.spec_from_file_location("ctc_postprocess", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


def read(characters, file, word):
    """What scores that say one character at each step, blanks between them, are decoded to; and the label beside it."""
    with open(file, "w", encoding="utf-8") as lines:
        lines.write("".join(f"{character}\n" for character in characters))
    scores = np.zeros((1, 2 * len(word), len(characters) + 1), np.float32)
    for number, character in enumerate(word):
        scores[0, 2 * number, characters.index(character) + 1] = scores[0, 2 * number + 1, 0] = 1
    label = np.array([[characters.index(character) + 1 for character in word]])
    text, label = module.CTCLabelDecode(file)(scores, batch=(None, label), torch_tensor=False)
    return text[0][0], label[0][0]


english, arabic = string.printable[:94], "ابتثسلم"
picture = "ملس"  # the letters of a word as they stand from left to right
here, there = ([read(english, f"{place}/en.txt", word) for word in ("it's", "C&A", "(5)")]
               for place in ("words", "arabic_and_english"))
short, long = (read(arabic, file, picture) for file in ("words/ar.txt", "arabic/dictionary.txt"))
if any(text != label for text, label in (*here, *there, short, long)):
    sys.exit("text and label are turned differently now: this finding is out of date")
here, there, (short, _), (long, _) = [text for text, _ in here], [text for text, _ in there], short, long
print(f"en.txt in words: {here}, in arabic_and_english: {there}")
print(f"Arabic, from the left of the picture {list(picture)}: with words/ar.txt {list(short)}, "
      f"with arabic/dictionary.txt {list(long)}")
if here != ["it's", "C&A", "(5)"]:
    sys.exit("plain words are read otherwise: look at the example again")
if there != ["s'it", "A&C", ")5("] or short != picture or long != picture[::-1]:
    sys.exit("the path does not count any more: this finding is out of date")
PYTHON
