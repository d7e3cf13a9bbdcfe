#!/usr/bin/env bash
# Builds the C++ inference program, runs it on a data set and scores it, in output/infer/.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_infer_310.sh MINDIR_PATH DATA_PATH ANN_FILE_PATH DATASET [DEVICE_ID] [--key=value ...]

Builds the program of ascend310_infer/, reads all images of a folder with it and scores the readings. Works in
output/infer/ of the repository:

  build.log, infer.log     what the build and the program said
  readings.tsv             path, text and confidence of every image
  result_Files/            class scores of every image
  time_Result/             times
  acc.log                  correct num: ..., total num: ... and result CRNNAccuracy is: ...

  MINDIR_PATH     the model; MINDIR_PATH.json, which export.py writes, must lie beside it
  DATA_PATH       folder with the images
  ANN_FILE_PATH   the annotation of the data set
  DATASET         kind of the data set, such as svt or iiit5k
  DEVICE_ID       which device, default 0
  --key=value     any option of postprocess.py

DEVICE_TYPE=Ascend310 (default), Ascend, GPU or CPU chooses the device. For CPU the runtime is fetched from PyPI when
neither MINDSPORE_PATH nor LITE_HOME names one, and the model must be one of tools/mindir_for_lite.py. BATCH_SIZE=N sets
the batch of a model that leaves it free, THREADS=N the threads of the CPU.
Exit code 0: done; 1: images could not be read or have no result; 2: error.
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 4 5 "$@"
mindir=$(absolute "${positional[0]}")
data=$(absolute "${positional[1]}")
annotation=$(absolute "${positional[2]}")
dataset=${positional[3]}
device_id=${positional[4]:-0}
device_type=${DEVICE_TYPE:-Ascend310}
require_file MINDIR_PATH "$mindir"
[ -d "$data" ] || die "DATA_PATH $data is not a folder"
require_file ANN_FILE_PATH "$annotation"
case $device_id in
  '' | *[!0-9]*) die "DEVICE_ID $device_id is not a whole number" ;;
esac
case $device_type in
  Ascend310 | Ascend | GPU | CPU) ;;
  *) die "DEVICE_TYPE $device_type is not known; choose Ascend310, Ascend, GPU or CPU" ;;
esac

python=$(project_python)
work=$ROOT/output/infer
mkdir -p "$work"

if [ "$device_type" = CPU ] && [ -z "${MINDSPORE_PATH:-}${LITE_HOME:-}" ]; then
  MINDSPORE_PATH=$(bash "$ROOT/tools/fetch_lite.sh")
  export MINDSPORE_PATH
fi
say "Building the program, log in $work/build.log"
if ! PYTHON=$python bash "$ROOT/ascend310_infer/build.sh" >"$work/build.log" 2>&1; then
  tail -n 20 "$work/build.log" >&2
  die "the program could not be built, see $work/build.log"
fi
program=$(sed -n 's/^Built \(.*crnn_infer\)$/\1/p' "$work/build.log")
[ -x "$program" ] || die "the build made no program, see $work/build.log"

say "Reading the images of $data, log in $work/infer.log"
command=("$program" "--device_type=$device_type" "--device_id=$device_id" "--mindir_path=$mindir"
  "--dataset_path=$data" "--output_path=$work")
[ -z "${BATCH_SIZE:-}" ] || command+=("--batch_size=$BATCH_SIZE")
[ -z "${THREADS:-}" ] || command+=("--threads=$THREADS")
status=0
# GLOG_v=3: without it the runtime warns of things that nobody can act on.
GLOG_v=${GLOG_v:-3} "${command[@]}" >"$work/readings.tsv" 2>"$work/infer.log" || status=$?
cat "$work/infer.log" >&2
if [ "$status" -gt 1 ]; then
  die "the program failed with exit code $status, see $work/infer.log"
fi

say "Scoring, log in $work/acc.log"
if [ -f "$mindir.json" ]; then
  # The charset and the width that the model was trained with, unless the options say otherwise.
  facts=$(cd "$ROOT" && "$python" -c '
import sys
from src.deploy.metadata import read_sidecar
facts = read_sidecar(sys.argv[1])
print(f"--image_width={facts.image_width}\n--label_dict={facts.label_dict}")' "$mindir") ||
    die "the facts of the model could not be read from $mindir.json"
  mapfile -t facts <<<"$facts"
  options=("${facts[@]}" ${options[@]+"${options[@]}"})
fi
score=0
(cd "$work" && "$python" "$ROOT/postprocess.py" "--dataset=$dataset" "--ann_file=$annotation" \
  "--result_path=$work/result_Files" ${options[@]+"${options[@]}"}) 2>&1 | tee "$work/acc.log" || score=$?
if [ "$score" -gt 1 ]; then
  die "postprocess.py failed with exit code $score, see $work/acc.log"
fi
exit "$((status > score ? status : score))"
