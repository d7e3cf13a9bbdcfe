#!/usr/bin/env bash
# Evaluates a checkpoint on the CPU, in eval/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_eval_cpu.sh DATASET_NAME DATASET_PATH CHECKPOINT_PATH [--key=value ...]

Evaluates a checkpoint on the CPU, in the foreground. Works in eval/ of the repository: everything printed is also in
eval/log.txt. The exit code is that of eval.py.

  DATASET_NAME      kind of the set, such as svt or iiit5k
  DATASET_PATH      its folder
  CHECKPOINT_PATH   the checkpoint
  --key=value       any option of eval.py (python eval.py --help)
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 3 3 "$@"
require_path DATASET_PATH "${positional[1]}"
require_file CHECKPOINT_PATH "${positional[2]}"
python=$(project_python)
run_logged "$ROOT/eval" "$python" "$ROOT/eval.py" --device_target=CPU \
  "--eval_dataset=${positional[0]}" "--eval_dataset_path=$(absolute "${positional[1]}")" \
  "--checkpoint_path=$(absolute "${positional[2]}")" ${options[@]+"${options[@]}"}
