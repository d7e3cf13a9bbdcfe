#!/usr/bin/env bash
# RapidOCR reads a 16-bit grey PNG as Chinese characters with full confidence, and a CMYK JPEG as an empty text.
#
# Expected: the word that both show, as in every 8-bit file of the same picture, or an error.
# Seen with rapidocr 3.10.0, onnxruntime 1.32.0 and pillow 12.0.0 (29 November 2026), recognition alone, files or Pillow
# images: a black word on white that is read rightly, with confidence 1.0, from PNGs in RGB, RGBA, grey, palette and black and
# white, becomes a dozen Chinese characters from a 16-bit grey PNG, with confidence 1.0 as well, and nothing from a CMYK
# JPEG whose black is made of its three colours, with confidence 0. Scanners write the one, print shops the other; no
# threshold on the confidence finds the first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rapidocr==3.10.0 onnxruntime==1.32.0 pillow==12.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from PIL import Image, ImageDraw
from rapidocr import RapidOCR

engine = RapidOCR(params={"Global.log_level": "critical"})
word = Image.new("RGB", (160, 48), "white")
ImageDraw.Draw(word).text((8, 8), "Hotel7", fill="black", font_size=30)
files = {mode: word.convert(mode) for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK")}
files["16 bits"] = word.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
read = {}
for mode, image in files.items():
    name = "word.jpg" if mode == "CMYK" else "word.png"
    image.save(name)
    result = engine(name, use_det=False, use_cls=False, use_rec=True)
    read[mode] = (result.txts[0], float(result.scores[0])) if result.txts else ("", 0.0)
    print(f"{mode}: {read[mode][0]!r}, {read[mode][1]:.3f}")
sixteen, cmyk = read.pop("16 bits"), read.pop("CMYK")
if any(text != "Hotel7" for text, _ in read.values()):
    sys.exit("the 8-bit files are not read rightly: look at the example again")
if sixteen[0] == "Hotel7" or sixteen[1] < 0.9 or cmyk[0]:
    sys.exit("16 bits or CMYK are read otherwise now: this finding is out of date")
PYTHON
