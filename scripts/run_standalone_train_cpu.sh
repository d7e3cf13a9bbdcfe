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

positional=()
options=()
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    --*=*) options+=("$(absolute_option "$word")") ;;
    -*) die "cannot read the option $word; write --key=value, and see --help" ;;
    *) positional+=("$word") ;;
  esac
done
if [ "${#positional[@]}" -lt 2 ] || [ "${#positional[@]}" -gt 3 ]; then
  usage >&2
  exit 2
fi
if [ ! -e "${positional[1]}" ]; then
  die "DATASET_PATH ${positional[1]} does not exist"
fi
python=$(project_python)
command=(
  "$python" "$ROOT/train.py" --device_target=CPU
  "--train_dataset=${positional[0]}" "--train_dataset_path=$(absolute "${positional[1]}")"
)
if [ "${#positional[@]}" = 3 ]; then
  if [ ! -f "${positional[2]}" ]; then
    die "RESUME_CKPT ${positional[2]} is not a file"
  fi
  command+=("--resume_ckpt=$(absolute "${positional[2]}")")
fi
run_logged "$ROOT/train_cpu" "${command[@]}" ${options[@]+"${options[@]}"}
