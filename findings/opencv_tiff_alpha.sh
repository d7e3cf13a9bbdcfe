#!/usr/bin/env bash
# OpenCV hands the colours of a TIFF with unassociated alpha out multiplied by the alpha, even "as stored".
#
# Expected: cv2.imdecode(..., IMREAD_UNCHANGED) gives the four channels that the file holds, as it does for PNG and WebP.
# Seen with opencv-python-headless 4.11.0.86 and Pillow 12.0.0 (28 November 2026): for PNG and WebP it does; for TIFF
# the colours are multiplied by alpha / 255, and IMREAD_COLOR, which drops the alpha, returns the multiplied ones, too.
# So a half-transparent red pixel (200, 0, 0, 128) comes out as (100, 0, 0, 128), darker with every change of its alpha.
# Who lays such an image over a ground darkens it twice.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==4.11.0.86 numpy==1.26.4 pillow==12.0.0
"$folder/venv/bin/python" - <<'END'
import io

import cv2
import numpy as np
from PIL import Image

print("OpenCV", cv2.__version__)
pixel = (200, 0, 0, 128)
seen = {}
for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), pixel).save(buffer, kind, **options)
    data = np.frombuffer(buffer.getvalue(), np.uint8)
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[0, 0, [2, 1, 0, 3]].tolist()
    colour = cv2.imdecode(data, cv2.IMREAD_COLOR)[0, 0, ::-1].tolist()
    seen[kind] = stored
    print(f"{kind}: stored {pixel}, IMREAD_UNCHANGED {stored}, IMREAD_COLOR {colour}")
assert seen["PNG"] == seen["WEBP"] == list(pixel), "PNG or WebP are no longer as stored"
assert seen["TIFF"] == [100, 0, 0, 128], "the TIFF is no longer multiplied: this finding is out of date"
END
