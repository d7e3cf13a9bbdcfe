#!/usr/bin/env bash
# MindSpore's compile cache gives the result of an earlier program when a number in the network has changed.
#
# Expected: the cache notices that the network is another one and compiles it.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026), MS_COMPILER_CACHE_ENABLE=1: a network that multiplies by a number given
# on the command line is compiled once with 1. Started again with 10 it still multiplies by 1. What is compared are the
# source files alone, not the values that the graph was made of: learning rates, clipping norms or layer sizes from a
# configuration file are such numbers. A warning says "be aware of correctness risks", in the right case and in the wrong.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
cat >multiply.py <<'PYTHON'
import sys

import mindspore as ms
from mindspore import nn

ms.set_device("CPU")
ms.set_context(mode=ms.GRAPH_MODE)


class Multiply(nn.Cell):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def construct(self, x):
        return x * self.factor


print(float(Multiply(float(sys.argv[1]))(ms.Tensor(3.0, ms.float32)).asnumpy()))
PYTHON
multiply() { "$folder/venv/bin/python" multiply.py "$1" 2>>messages; }
export MS_COMPILER_CACHE_PATH=$folder/cache
uncached=$(MS_COMPILER_CACHE_ENABLE=0 multiply 10)
first=$(MS_COMPILER_CACHE_ENABLE=1 multiply 1)
second=$(MS_COMPILER_CACHE_ENABLE=1 multiply 10)
echo "3 times 10 without the cache: $uncached; 3 times 1 with it: $first; then 3 times 10: $second"
if [ "$uncached" != 30.0 ] || [ "$first" != 3.0 ]; then
  echo "the network does not multiply: look at the example again"
  exit 1
fi
if [ "$second" != 3.0 ]; then
  echo "the changed number is noticed now: this finding is out of date"
  exit 1
fi
