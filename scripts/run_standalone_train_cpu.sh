#!/usr/bin/env bash
# Trains on the CPU, in train_cpu/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_standalone_train_cpu.sh DATASET_NAME DATASET_PATH [RESUME_CKPT] [--key=value ...]

Trains on the CPU, in the foreground. Works in train_cpu/ of the repository: everything printed is also in
train_cpu/log.txt, results are in train_cpu/output/. The exit code is that of train.py.

  DATASET_NAME   kind of the training set, such as synth or iiit5k
  DATASET_PATH   its folder
  RESUME_CKPT    checkpoint to go on from
  --key=value    any option of train.py (python train.py --help)
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 2 3 "$@"
require_path DATASET_PATH "${positional[1]}"
python=$(project_python)
command=(
  "$python" "$ROOT/train.py" --device_target=CPU
  "--train_dataset=${positional[0]}" "--train_dataset_path=$(absolute "${positional[1]}")"
)
if [ "${#positional[@]}" = 3 ]; then
  require_file RESUME_CKPT "${positional[2]}"
  command+=("--resume_ckpt=$(absolute "${positional[2]}")")
fi
run_logged "$ROOT/train_cpu" "${command[@]}" ${options[@]+"${options[@]}"}
