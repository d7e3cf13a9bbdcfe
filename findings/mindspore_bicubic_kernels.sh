#!/usr/bin/env bash
# MindSpore's bicubic ops.interpolate uses one cubic with align_corners=True and another with align_corners=False.
#
# Expected: align_corners moves the grid, the kernel stays the same: PyTorch and OpenCV have a = -0.75, Pillow a = -0.5.
# Seen with mindspore 2.10.0 and 2.9.0 on a CPU (29 November 2026): True has a = -0.75; False, the usual choice, has a = -0.5, and
# at the border it leaves the outer pixels out and scales the rest up, where PyTorch repeats the edge. On noise with a
# deviation of 1 that makes up to 0.08 inside. So images or position embeddings that are resized in a network that came
# from PyTorch differ with align_corners=False and agree with True; bilinear agrees in both.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

ms.set_device("CPU")
SIZE, NEW = 24, 48
row = np.random.default_rng(0).normal(size=SIZE)


def cubic(distance, a):
    """Keys' kernel, in float64."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def resized(a, align_corners):
    """The new pixels whose four neighbours all exist, by their place."""
    new = {}
    for place in range(NEW):
        at = place * (SIZE - 1) / (NEW - 1) if align_corners else (place + 0.5) * SIZE / NEW - 0.5
        first = int(np.floor(at)) - 1
        if first >= 0 and first + 4 <= SIZE:
            new[place] = sum(cubic(at - x, a) * row[x] for x in range(first, first + 4))
    return new


kernels = {}
image = Tensor(np.tile(row, (1, 1, 4, 1)), ms.float32)
for align_corners in (True, False):
    got = ops.interpolate(image, size=(4, NEW), mode="bicubic", align_corners=align_corners).asnumpy()[0, 0, 1]
    for a in (-0.5, -0.75):
        away = max(abs(got[place] - value) for place, value in resized(a, align_corners).items())
        print(f"align_corners={align_corners}: at most {away:.4f} from the cubic with a = {a}")
        if away < 0.005:
            kernels[align_corners] = a
if kernels != {True: -0.75, False: -0.5}:
    sys.exit(f"the kernels are {kernels} now: this finding is out of date")
PYTHON
