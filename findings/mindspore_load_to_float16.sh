#!/usr/bin/env bash
# load_param_into_net of MindSpore makes infinities of large float32 weights in a float16 network, and reports success.
#
# Expected: converting a type is documented (strict_load=False); values that the new type cannot hold are an error, or at
# least named.
# Seen with mindspore 2.10.0 on a CPU (29 November 2026): a checkpoint with a weight of 70000 (float32), loaded into a layer
# whose parameter is float16 (largest number 65504), leaves inf there. The list of what was not loaded is empty; the
# warning says that the conversion "may consume additional memory and time", and nothing of infinities. A moving variance
# or an optimiser's state, which grow large, meet this first.
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
ms.save_checkpoint([{"name": "weight", "data": ms.Tensor([[70000.0, 1.0]], ms.float32)}], "large.ckpt")
half = ms.nn.Dense(2, 1, has_bias=False)
half.weight.set_dtype(ms.float16)
try:
    not_loaded, left_over = ms.load_param_into_net(half, ms.load_checkpoint("large.ckpt"))
except Exception as error:
    sys.exit(f"it is refused now ({error!r}): this finding is out of date")
loaded = half.weight.asnumpy()
print(f"loaded {loaded.tolist()} {loaded.dtype}, not loaded {not_loaded}, left over {left_over}")
if loaded[0, 1] != 1 or loaded.dtype != np.float16 or not_loaded or left_over:
    sys.exit("the weights were not loaded as before: look at the example again")
if np.isfinite(loaded).all():
    sys.exit("large weights no longer become infinite: this finding is out of date")
PYTHON
