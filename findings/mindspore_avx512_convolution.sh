#!/usr/bin/env bash
# A convolution of MindSpore takes a hundred times as long on a processor with AVX-512 as with AVX-512 switched off.
#
# Expected: the wider instructions make it faster, or change nothing.
# Seen with mindspore 2.10.0 on an AMD EPYC with AVX-512 (29 November 2026): nn.Conv2d, 64 to 128 channels, 3 x 3, on
# float32 images of 16 x 50, batch 4, takes 780 ms; with ONEDNN_MAX_CPU_ISA=AVX2 in the environment before the import,
# the same sums take 6 ms. ONEDNN_VERBOSE=1 tells why: oneDNN 3.10 sends convolutions of this plain layout to a
# reference loop ("jit_uni_ncsp:conv+ref:any") where it has AVX-512, and to "x64:gemm:jit" where it has not. The values
# are the same, nothing warns. On a processor without AVX-512 there is nothing to see, and this script says so.
set -euo pipefail

if ! grep -qw avx512f /proc/cpuinfo; then
  echo "This processor has no AVX-512: nothing was tried."
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
cat >convolution.py <<'PYTHON'
import statistics
import sys
import time

import mindspore as ms
import numpy as np

ms.set_device("CPU")
ms.set_context(mode=ms.GRAPH_MODE)
drawn = np.random.default_rng(0).standard_normal
layer = ms.nn.Conv2d(64, 128, 3, pad_mode="same", weight_init=ms.Tensor(drawn((128, 64, 3, 3)), ms.float32))
images, times = ms.Tensor(drawn((4, 64, 16, 50)), ms.float32), []
for _ in range(6):
    start = time.process_time()
    values = layer(images).asnumpy()
    times.append(time.process_time() - start)
np.save(sys.argv[1], values)
print(1000 * statistics.median(times[1:]))
PYTHON
with=$(env -u ONEDNN_MAX_CPU_ISA "$folder/venv/bin/python" convolution.py with.npy)
without=$(ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" convolution.py without.npy)
"$folder/venv/bin/python" - "$with" "$without" <<'PYTHON'
import sys

import numpy as np

with_avx512, without = map(float, sys.argv[1:])
print(f"CPU time of one convolution: {with_avx512:.0f} ms with AVX-512, {without:.0f} ms without")
if not np.allclose(np.load("with.npy"), np.load("without.npy"), atol=1e-3):
    sys.exit("the values are not the same: look at the example again")
if with_avx512 < 10 * without:
    sys.exit("AVX-512 no longer makes it slower: this finding is out of date")
PYTHON
