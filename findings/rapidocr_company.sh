#!/usr/bin/env bash
# RapidOCR reads a word differently when a longer one is recognised in the same call.
#
# Expected: recognition takes cut-out words, each for itself, so that a word has one reading and one confidence.
# Seen with rapidocr 3.10.0 and onnxruntime 1.32.0 (28 November 2026): up to rec_batch_num crops go through the network
# together, all padded to the width of the longest. A crop that reads "o00" alone reads "000" beside a long line; other
# words keep their letters, but their confidence moves by up to 0.06. So what is read of a photograph's word depends on
# what else is on it. Rec.rec_batch_num=1 gives each word its own width.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rapidocr==3.10.0 onnxruntime==1.32.0 numpy==1.26.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_rec import TextRecInput


def drawn(text, width):
    """Black letters on white, 48 pixels high."""
    image = np.full((48, width, 3), 255, np.uint8)
    cv2.putText(image, text, (6, 36), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2, cv2.LINE_AA)
    return image


def readings(batch):
    """Of each word alone and beside a long line: two lists of (text, confidence)."""
    engine = RapidOCR(params={"Global.log_level": "critical", "Rec.rec_batch_num": batch})
    engine(drawn("abc", 100), use_det=False, use_cls=False)  # loads the recogniser
    alone, among = [], []
    for word in ("Il1O0", "fig", "q9g", "oO0", "rn"):
        image = drawn(word, 28 * len(word))
        for images, found in (([image], alone), ([image, drawn("incomprehensibilities and more words here", 900)],
                                                 among)):
            result = engine.text_rec(TextRecInput(img=images))
            found.append((result.txts[0], round(float(result.scores[0]), 3)))
    return alone, among


alone, among = readings(6)
print("alone:", *alone, "\namong others:", *among)
single, single_among = readings(1)
if single != single_among:
    sys.exit("one crop a call is not for itself either: this finding is out of date")
if alone == among or all(a[0] == b[0] for a, b in zip(alone, among)):
    sys.exit("readings do not depend on the company any more: this finding is out of date")
PYTHON
