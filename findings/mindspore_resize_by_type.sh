#!/usr/bin/env bash
# vision.Resize of MindSpore gives two different pictures for the same pixels, as the image is an array or Pillow's.
#
# Expected: one transform with one interpolation (LINEAR) gives the same result however the image was decoded.
# Seen with mindspore 2.10.0 (28 November 2026): an array is resized as OpenCV does (two neighbours each way), a Pillow
# image as Pillow does (all pixels under the larger one's area). Halving noise, single grey levels differ by more than
# 90 of 255, 20 on average. A network trained through one and used through the other sees other pictures; nothing warns.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4 opencv-python-headless==4.11.0.86 pillow==12.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
from mindspore.dataset import vision
from PIL import Image

image = np.random.default_rng(0).integers(0, 256, (64, 256, 3)).astype(np.uint8)
resize = vision.Resize((32, 100), vision.Inter.LINEAR)
array, pillow = resize(image), np.asarray(resize(Image.fromarray(image)))
away = np.abs(array.astype(int) - pillow)
from_opencv = np.abs(array.astype(int) - cv2.resize(image, (100, 32), interpolation=cv2.INTER_LINEAR)).max()
from_pillow = np.abs(pillow.astype(int) - Image.fromarray(image).resize((100, 32), Image.BILINEAR)).max()
print(f"array and Pillow image: {away.max()} grey levels apart at most, {away.mean():.1f} on average; "
      f"from OpenCV {from_opencv}, from Pillow {from_pillow}")
if away.max() < 50:
    sys.exit("both are alike now: this finding is out of date")
if from_opencv > 1 or from_pillow > 1:
    sys.exit("one of them follows neither OpenCV nor Pillow: look again")
PYTHON
