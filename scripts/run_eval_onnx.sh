#!/usr/bin/env bash
# Evaluates an ONNX file, in eval_onnx/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_eval_onnx.sh DATASET_NAME DATASET_PATH ONNX_MODEL [DEVICE_TARGET] [--key=value ...]

Evaluates an ONNX file with onnxruntime, in the foreground; MindSpore is not needed. Works in eval_onnx/ of the
repository: everything printed is also in eval_onnx/log.txt. The exit code is that of eval_onnx.py.

  DATASET_NAME    kind of the set, such as svt or iiit5k
  DATASET_PATH    its folder
  ONNX_MODEL      the file export.py wrote
  DEVICE_TARGET   CPU, GPU or Ascend; auto, the default, takes what this onnxruntime can use
  --key=value     any option of eval_onnx.py (python eval_onnx.py --help)
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 3 4 "$@"
require_path DATASET_PATH "${positional[1]}"
require_file ONNX_MODEL "${positional[2]}"
python=$(project_python)
run_logged "$ROOT/eval_onnx" "$python" "$ROOT/eval_onnx.py" "--device_target=${positional[3]:-auto}" \
  "--eval_dataset=${positional[0]}" "--eval_dataset_path=$(absolute "${positional[1]}")" \
  "--onnx_file=$(absolute "${positional[2]}")" ${options[@]+"${options[@]}"}
