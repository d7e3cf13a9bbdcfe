#!/usr/bin/env bash
# load_param_into_net of MindSpore takes a weight of shape (3, 1) for one of shape (3,), and the network's shape changes.
#
# Expected: an error, as for every other difference of shape, (1, 3) for (3,) among them; or the network's shape stays.
# Seen with mindspore 2.10.0 and 2.9.0 on a CPU (29 November 2026): loaded without a message, nothing is in the lists of what was
# not loaded, and the parameter of the network has the shape (3, 1) afterwards. A layer that adds it to rows of three
# numbers, as a bias, then gives 3 x 3 numbers for one row, and for three rows a result of the right shape whose values are
# wrong: each bias went to a row instead of a column. A converted checkpoint whose biases kept an axis of length 1 is such
# a file.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
cat >load.py <<'PYTHON'
import sys

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

ms.set_device("CPU")
BIAS = np.array([1.0, 2.0, 3.0], np.float32)


class Shift(nn.Cell):
    """Adds a bias to rows of three numbers."""

    def __init__(self):
        super().__init__()
        self.bias = Parameter(Tensor(np.zeros(3), ms.float32), name="bias")

    def construct(self, rows):
        return rows + self.bias


def loaded(shape):
    """The network with the bias from a checkpoint of this shape, and what load_param_into_net returns; None: refused."""
    ms.save_checkpoint([{"name": "bias", "data": Tensor(BIAS.reshape(shape))}], "bias.ckpt")
    network = Shift()
    try:
        return network, ms.load_param_into_net(network, ms.load_checkpoint("bias.ckpt"))
    except RuntimeError:
        return None, None


for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
    ms.set_context(mode=mode)
    shapes, three = {}, {}
    for shape in ((3,), (1, 3), (3, 1)):
        network, missing = loaded(shape)
        shapes[shape] = network and network.bias.shape
        print(f"stored {shape}: the network has {shapes[shape] or 'refused it'}, not loaded: {missing}")
        if network:
            three[shape] = network(Tensor(np.zeros((3, 3)), ms.float32)).asnumpy()
            print("zeros and the bias:", three[shape].tolist())
    if shapes[(3,)] != (3,) or not np.array_equal(three[(3,)], np.tile(BIAS, (3, 1))) or shapes[(1, 3)] is not None:
        sys.exit("the plain case or (1, 3) is not what it was: look at the example again")
    if shapes[(3, 1)] != (3, 1) or not np.array_equal(three[(3, 1)], np.tile(BIAS[:, None], (1, 3))):
        sys.exit("(3, 1) is refused or takes the network's shape now: this finding is out of date")
PYTHON
"$folder/venv/bin/python" load.py
