#!/usr/bin/env bash
# ops.ctc_loss of MindSpore with zero_infinity=True still returns an infinite loss; only the gradient is zero.
#
# Expected: as the argument's name says and as PyTorch does, the loss of a label that does not fit into the steps is 0,
# so that the mean over a batch stays a number.
# Seen with mindspore 2.10.0 on a CPU (28 November 2026): "aaa" needs five steps; over four steps its loss is inf, and so
# is the mean of the whole batch. Whoever prints, averages or checks the loss has to mask it first; the weights are fine.
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
STEPS, CLASSES = 4, 5
scores = Tensor(np.random.default_rng(0).normal(size=(STEPS, 2, CLASSES)).astype(np.float32))
labels = Tensor(np.array([[0, 0, 0], [1, 2, 3]], np.int32))  # "aaa" and "bcd"


def loss(values, reduction="none"):
    """Of both words."""
    return ops.ctc_loss(ops.log_softmax(values, -1), labels, Tensor([STEPS, STEPS], ms.int32),
                        Tensor([3, 3], ms.int32), blank=CLASSES - 1, reduction=reduction, zero_infinity=True)[0]


each, mean = loss(scores).asnumpy(), float(loss(scores, "mean").asnumpy())
gradient = ms.grad(lambda values: loss(values).sum())(scores).asnumpy()
print(f"losses {each}, their mean {mean}, largest gradient of the first word {np.abs(gradient[:, 0]).max()}")
if not np.isinf(each[0]) or not np.isinf(mean):
    sys.exit("the loss is a number now: this finding is out of date")
if np.abs(gradient[:, 0]).max() != 0 or not np.isfinite(each[1]):
    sys.exit("the gradient of the word that does not fit, or the loss of the one that does, is not what it was")
PYTHON
