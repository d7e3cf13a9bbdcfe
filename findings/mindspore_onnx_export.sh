#!/usr/bin/env bash
# MindSpore writes ONNX files that compute something else: log_softmax over an inner axis, and slices that run backwards.
#
# Expected: a file that gives what the network gives, or an error as for the many operators that cannot be exported.
# Seen with mindspore 2.10.0 and onnxruntime 1.32.0 (29 November 2026), both without a message: ops.log_softmax(x, 1) of
# four-dimensional x becomes a LogSoftmax of operator set 11, which flattens all axes from the first one named, so that the
# exponentials of an inner axis no longer add up to 1 (softmax is exported in another way and is right, and so is
# log_softmax over the last axis); and x[:, :, ::-1] becomes a slice that gives an axis of length 0. Networks for text
# have both: scores whose class axis is not the last, and sequences turned round.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4 onnxruntime==1.32.0
cd "$folder"
cat >networks.py <<'PYTHON'
import sys

import mindspore as ms
import numpy as np
import onnxruntime
from mindspore import nn, ops


class LogSoftmax(nn.Cell):
    def construct(self, x):
        return ops.log_softmax(x, 1)


class LastLogSoftmax(nn.Cell):
    def construct(self, x):
        return ops.log_softmax(x, -1)


class Softmax(nn.Cell):
    def construct(self, x):
        return ops.softmax(x, 1)


class Backwards(nn.Cell):
    def construct(self, x):
        return x[:, :, ::-1]


ms.set_device("CPU")
ms.set_context(mode=ms.GRAPH_MODE)
x = np.random.default_rng(0).standard_normal((2, 4, 8, 10)).astype(np.float32)


def both(network):
    """What MindSpore gives, and what onnxruntime gives for the file that MindSpore wrote."""
    name = network.__name__
    ms.export(network(), ms.Tensor(x), file_name=name, file_format="ONNX")
    session = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"])
    return network()(ms.Tensor(x)).asnumpy(), session.run(None, {session.get_inputs()[0].name: x})[0]


for network in (Softmax, LastLogSoftmax):
    ours, theirs = both(network)
    if not np.allclose(ours, theirs, atol=1e-5):
        sys.exit(f"{network.__name__} is exported wrongly, too: look at the example again")
ours, theirs = both(LogSoftmax)
sums = [np.exp(values).sum(1)[0, 0, 0] for values in (ours, theirs)]
print(f"log_softmax over axis 1: probabilities add up to {sums[0]:.3f} in MindSpore, {sums[1]:.3f} in the file")
if not np.isclose(sums[0], 1, atol=1e-4):
    sys.exit("MindSpore's own log_softmax is not one: look at the example again")
if np.allclose(ours, theirs, atol=1e-3):
    sys.exit("log_softmax is exported rightly now: this finding is out of date")
ours, theirs = both(Backwards)
print(f"x[:, :, ::-1]: {ours.shape} in MindSpore, {theirs.shape} in the file")
if not np.array_equal(ours, x[:, :, ::-1]):
    sys.exit("MindSpore's own slice is not one: look at the example again")
if theirs.shape == ours.shape:
    sys.exit("slices that run backwards are exported rightly now: this finding is out of date")
PYTHON
"$folder/venv/bin/python" networks.py
