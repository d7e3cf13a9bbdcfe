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
if [ "${#positional[@]}" -lt 2 ] || [ "${#positional[@]}" -gt 5 ]; then
  usage >&2
  exit 2
fi
if [ ! -e "${positional[1]}" ]; then
  die "DATASET_PATH ${positional[1]} does not exist"
fi
device_id='' platform='' resume=''
for word in "${positional[@]:2}"; do
  if [[ $word =~ ^[0-9]+$ ]]; then
    [ -z "$device_id" ] || die "two numbers are given for DEVICE_ID, $device_id and $word; give one"
    device_id=$word
  elif platform_of "$word" >/dev/null; then
    [ -z "$platform" ] || die "two platforms are given, $platform and $word; give one"
    platform=$(platform_of "$word")
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
if [ -n "$device_id" ]; then
  export DEVICE_ID=$device_id
  command+=("--device_id=$device_id")
fi
if [ -n "$resume" ]; then
  command+=("--resume_ckpt=$(absolute "$resume")")
fi
unset RANK_TABLE_FILE # left over in a shell, it makes MindSpore expect the other devices
export RANK_ID=0 RANK_SIZE=1
run_logged "$ROOT/train" "${command[@]}" ${options[@]+"${options[@]}"}
