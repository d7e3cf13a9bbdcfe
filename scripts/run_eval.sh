#!/usr/bin/env bash
# Evaluates a checkpoint on one device, in eval/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_eval.sh DATASET_NAME DATASET_PATH CHECKPOINT_PATH [DEVICE_ID] [PLATFORM] [--key=value ...]

Evaluates a checkpoint on one device, in the foreground. Works in eval/ of the repository: everything printed is also in
eval/log.txt. The exit code is that of eval.py.

  DATASET_NAME      kind of the set, such as svt or iiit5k
  DATASET_PATH      its folder
  CHECKPOINT_PATH   the checkpoint
  --key=value       any option of eval.py (python eval.py --help)

The others may be left out and come in any order:

  DEVICE_ID         a number: which Ascend or GPU device; default: the environment's DEVICE_ID, else 0
  PLATFORM          Ascend, GPU or CPU; default: the first of them that is there
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 3 5 "$@"
require_path DATASET_PATH "${positional[1]}"
require_file CHECKPOINT_PATH "${positional[2]}"
device_id='' platform=''
for word in "${positional[@]:3}"; do
  take_device "$word" || die "$word is neither a device number nor a platform (Ascend, GPU, CPU); see --help"
done
python=$(project_python)
command=(
  "$python" "$ROOT/eval.py" "--device_target=${platform:-auto}"
  "--eval_dataset=${positional[0]}" "--eval_dataset_path=$(absolute "${positional[1]}")"
  "--checkpoint_path=$(absolute "${positional[2]}")"
)
alone_on_device
run_logged "$ROOT/eval" "${command[@]}" ${options[@]+"${options[@]}"}
