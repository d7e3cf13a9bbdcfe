#!/usr/bin/env bash
# Trains on one device, in train/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_standalone_train.sh DATASET_NAME DATASET_PATH [DEVICE_ID] [PLATFORM] [RESUME_CKPT]
                                            [--key=value ...]

Trains on one device, in the foreground. Works in train/ of the repository: everything printed is also in
train/log.txt, results are in train/output/. The exit code is that of train.py.

  DATASET_NAME   kind of the training set, such as synth or lmdb
  DATASET_PATH   its folder
  --key=value    any option of train.py (python train.py --help)

The others may be left out and come in any order:

  DEVICE_ID      a number: which Ascend or GPU device; default: the environment's DEVICE_ID, else 0
  PLATFORM       Ascend, GPU or CPU; default: the first of them that is there
  RESUME_CKPT    a file: the checkpoint to go on from
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 2 5 "$@"
require_path DATASET_PATH "${positional[1]}"
device_id='' platform='' resume=''
for word in "${positional[@]:2}"; do
  if take_device "$word"; then
    continue
  elif [ -f "$word" ]; then
    [ -z "$resume" ] || die "two files are given for RESUME_CKPT, $resume and $word; give one"
    resume=$word
  else
    die "$word is neither a device number nor a platform (Ascend, GPU, CPU) nor a checkpoint that exists; see --help"
  fi
done
python=$(project_python)
command=(
  "$python" "$ROOT/train.py" "--device_target=${platform:-auto}"
  "--train_dataset=${positional[0]}" "--train_dataset_path=$(absolute "${positional[1]}")"
)
alone_on_device
if [ -n "$resume" ]; then
  command+=("--resume_ckpt=$(absolute "$resume")")
fi
run_logged "$ROOT/train" "${command[@]}" ${options[@]+"${options[@]}"}
