#!/usr/bin/env bash
# On a CPU, ReLU, max and max pooling of MindSpore turn NaN into an ordinary number.
#
# Expected: NaN stays NaN, as in numpy, PyTorch and the standard of floating-point numbers, so that a broken weight or
# image is seen in the result.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026): relu(NaN) is 0, clamp(NaN, 0, 1) is 0, max(1, NaN, 3) is 3, and so is
# the largest of a pooling window. In a network of convolution, ReLU and pooling, one layer whose weights are all NaN gives
# finite outputs, and a finite loss: a check of the loss does not notice. Look at the weights and gradients instead.
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
from mindspore import Tensor, nn, ops

ms.set_device("CPU")
three = Tensor([1.0, np.nan, 3.0], ms.float32)
for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
    ms.set_context(mode=mode)
    layer = nn.SequentialCell(
        nn.Conv2d(1, 2, 3, pad_mode="same", weight_init=Tensor(np.full((2, 1, 3, 3), np.nan), ms.float32)), nn.ReLU(),
        nn.MaxPool2d(2, 2))
    seen = {
        "relu": ops.relu(three).asnumpy().tolist(),
        "clamp": ops.clamp(three, 0, 1).asnumpy().tolist(),
        "max": float(ops.max(three, axis=0)[0].asnumpy()),
        "pooling": ops.max_pool2d(three.reshape(1, 1, 1, 3), (1, 3)).asnumpy().ravel().tolist(),
        "layer of NaN": sorted(set(layer(Tensor(np.ones((1, 1, 4, 4)), ms.float32)).asnumpy().ravel().tolist())),
        "sum": float(ops.sum(three).asnumpy()),
    }
    print(seen)
    if not np.isnan(seen.pop("sum")):
        sys.exit("a sum with NaN is a number: look at the example again")
    if seen != {"relu": [1, 0, 3], "clamp": [1, 0, 1], "max": 3, "pooling": [3], "layer of NaN": [0]}:
        sys.exit("NaN no longer vanishes so: this finding is out of date")
PYTHON
