#!/usr/bin/env bash
# nn.Dropout of MindSpore cannot be put back to an earlier state: set_rng_state and set_seed do not reach it.
#
# Expected: after set_rng_state(state), or after set_seed with the same number, a layer draws the same masks again, so
# that a training that was interrupted can be resumed exactly, as with PyTorch's generators.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026), in graph mode and PyNative: the state taken before a mask was drawn
# and set again gives another mask (half of its places differ), and so does set_seed(1) before each of two calls of one
# layer. Only a layer that is made anew after set_seed(1) begins again. Whoever needs the same masks after a resume has to
# draw them outside and hand them in.
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

ms.set_device("CPU")
ones = ms.Tensor(np.ones((64, 64)), ms.float32)


def equal(first, second):
    return float((first == second).mean())


def new_layer():
    ms.set_seed(1)
    return ms.nn.Dropout(p=0.5).set_train()


for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
    ms.set_context(mode=mode)
    layer = new_layer()
    anew = equal(layer(ones).asnumpy(), new_layer()(ones).asnumpy())
    state = ms.get_rng_state()
    before = layer(ones).asnumpy()
    ms.set_rng_state(state)
    restored = equal(before, layer(ones).asnumpy())
    ms.set_seed(1)
    before = layer(ones).asnumpy()
    ms.set_seed(1)
    reseeded = equal(before, layer(ones).asnumpy())
    print(f"places that are equal: new layers {anew:.2f}, state restored {restored:.2f}, seed set again {reseeded:.2f}")
    if anew != 1:
        sys.exit("new layers with the same seed differ: look at the example again")
    if max(restored, reseeded) == 1:
        sys.exit("masks come back now: this finding is out of date")
PYTHON
