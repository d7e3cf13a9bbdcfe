#!/usr/bin/env bash
# nn.Momentum of MindSpore on a CPU does the same with use_nesterov=True as without.
#
# Expected: as its page says, p - (gradient * lr + v * momentum * lr), which is what nn.SGD(nesterov=True) does.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026), in graph mode and PyNative: the weights are the same bits with
# use_nesterov=True and False. From 0, with a gradient of 1, lr 0.1 and momentum 0.9, the first steps lead to -0.1, -0.29
# and -0.561; the formula and nn.SGD give -0.19, -0.461 and -0.8049. No message: a recipe that asks for Nesterov's
# momentum trains with plain momentum.
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
from mindspore import Parameter, Tensor, nn

ms.set_device("CPU")


def steps(optimizer, *arguments, **options):
    """Where three steps with a gradient of 1 lead from 0."""
    weight, where = Parameter(Tensor([0.0], ms.float32), name="weight"), []
    update = optimizer([weight], 0.1, *arguments, **options)
    for _ in range(3):
        update((Tensor([1.0], ms.float32),))
        where.append(float(weight.asnumpy()[0]))
    return where


for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
    ms.set_context(mode=mode)
    plain, nesterov = steps(nn.Momentum, 0.9), steps(nn.Momentum, 0.9, use_nesterov=True)
    sgd = steps(nn.SGD, momentum=0.9, nesterov=True)
    print(f"plain {plain}, use_nesterov {nesterov}, nn.SGD {sgd}")
    if not (np.allclose(plain, [-0.1, -0.29, -0.561]) and np.allclose(sgd, [-0.19, -0.461, -0.8049])):
        sys.exit("plain momentum or nn.SGD is not what it was: look at the example again")
    if nesterov != plain:
        sys.exit("use_nesterov changes something now: this finding is out of date")
PYTHON
