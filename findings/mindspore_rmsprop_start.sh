#!/usr/bin/env bash
# nn.RMSProp of MindSpore begins its mean of squared gradients at 1, so that small gradients hardly move a weight.
#
# Expected: it begins at 0, as in PyTorch and as the formula of its page suggests, which names no start. The first step is
# then about lr / sqrt(1 - decay), whatever the size of the gradient, which is what the method is for.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026): with decay 0.9, lr 0.1 and a gradient of 0.001 the first step is
# 0.000105 instead of 0.316, 3,000 times smaller. The learning rate of a PyTorch recipe does not carry over; with a decay
# of 0.99 it takes hundreds of steps until the start is forgotten.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import mindspore as ms
from mindspore import Parameter, Tensor, nn

ms.set_device("CPU")


def first_step(gradient):
    weight = Parameter(Tensor([0.0], ms.float32), name="weight")
    nn.RMSProp([weight], 0.1, decay=0.9)((Tensor([gradient], ms.float32),))
    return -float(weight.asnumpy()[0])


def by_formula(gradient, start):
    return 0.1 * gradient / (0.9 * start + 0.1 * gradient ** 2 + 1e-10) ** 0.5


for gradient in (1.0, 0.001):
    step, ones, zeros = first_step(gradient), by_formula(gradient, 1), by_formula(gradient, 0)
    print(f"gradient {gradient}: first step {step:.6f}; from a mean of 1 {ones:.6f}, of 0 {zeros:.6f}")
    if abs(step / ones - 1) > 1e-3:
        sys.exit("the mean no longer begins at 1: this finding is out of date")
PYTHON
