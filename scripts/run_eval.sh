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
if [ "${#positional[@]}" -lt 3 ] || [ "${#positional[@]}" -gt 5 ]; then
  usage >&2
  exit 2
fi
if [ ! -e "${positional[1]}" ]; then
  die "DATASET_PATH ${positional[1]} does not exist"
fi
if [ ! -f "${positional[2]}" ]; then
  die "CHECKPOINT_PATH ${positional[2]} is not a file"
fi
device_id='' platform=''
for word in "${positional[@]:3}"; do
  if [[ $word =~ ^[0-9]+$ ]]; then
    [ -z "$device_id" ] || die "two numbers are given for DEVICE_ID, $device_id and $word; give one"
    device_id=$word
  elif platform_of "$word" >/dev/null; then
    [ -z "$platform" ] || die "two platforms are given, $platform and $word; give one"
    platform=$(platform_of "$word")
  else
    die "$word is neither a device number nor a platform (Ascend, GPU, CPU); see --help"
  fi
done
python=$(project_python)
command=(
  "$python" "$ROOT/eval.py" "--device_target=${platform:-auto}"
  "--eval_dataset=${positional[0]}" "--eval_dataset_path=$(absolute "${positional[1]}")"
  "--checkpoint_path=$(absolute "${positional[2]}")"
)
if [ -n "$device_id" ]; then
  export DEVICE_ID=$device_id
  command+=("--device_id=$device_id")
fi
unset RANK_TABLE_FILE # left over in a shell, it makes MindSpore expect the other devices
export RANK_ID=0 RANK_SIZE=1
run_logged "$ROOT/eval" "${command[@]}" ${options[@]+"${options[@]}"}
