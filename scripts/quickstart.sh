#!/usr/bin/env bash
# From nothing to a trained network that reads words.
set -euo pipefail

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

usage() {
  cat <<'END'
Usage: bash scripts/quickstart.sh [--again]

Reads words at once, then goes from nothing to a network that reads words, on the CPU: makes .venv and installs
requirements.txt, reads twelve drawn words with pretrained/crnn_v2.ckpt, draws a set of synthetic words, trains on it,
evaluates on words that were never trained on, reads some of them and draws a picture of the readings. What is done
already is not done again; --again reads, trains and evaluates anew.
CRNN_PYTHON=PATH uses that interpreter as it is and installs nothing.
END
}

again=
case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  --again) again=1 && shift ;;
esac
if [ $# -gt 0 ]; then
  usage >&2
  exit 2
fi

output=output/quickstart
checkpoint=$output/ckpt/best_acc.ckpt
picture=$output/readings.png
weights=pretrained/crnn_v2.ckpt
samples=$output/samples

# is_done STEP STAMP: whether a step ended well with the same inputs before.
is_done() {
  [ -z "$again" ] && [ "$(cat "$output/.$1" 2>/dev/null)" = "$2" ]
}

# show STEP STAMP COMMAND...: runs a step, or shows again what it printed.
show() {
  local step=$1 stamp=$2
  shift 2
  if is_done "$step" "$stamp"; then
    cat "$output/$step.txt"
    return
  fi
  "$@" | tee "$output/$step.txt"
  printf '%s\n' "$stamp" >"$output/.$step"
}

install_requirements requirements.txt
python=$(project_python)
cd "$ROOT"

mkdir -p "$output"

# read_samples: draws twelve words as they look in photographs and reads them.
read_samples() {
  "$python" generate_synth.py "--output_dir=$samples" --train=0 --test=12 --difficulty=medium --seed=12 --overwrite >&2 &&
    "$python" predict.py "--checkpoint_path=$weights" "--picture=$output/pretrained.png" "$samples"
}

if [ -f "$weights" ]; then
  say "== Reading drawn words with the network that comes with the program"
  [ -f "$output/pretrained.png" ] || rm -f "$output/.pretrained"
  stamp=$(cksum <"$weights")
  show pretrained "$stamp" read_samples
  say "Picture of the readings: $ROOT/$output/pretrained.png"
else
  say "note: $weights is not there, so nothing can be read before training"
fi

say "== Training a network of our own from nothing"
stamp=$(cat default_config.yaml configs/quickstart.yaml src/data/embedded.py | cksum)
if is_done trained "$stamp" && [ -f "$checkpoint" ]; then
  say "done before: $checkpoint"
else
  if [ -d "$output/ckpt" ]; then # train.py does not mix a new run with an earlier one
    previous=$output/ckpt.$(date +%Y%m%d-%H%M%S)
    mv "$output/ckpt" "$previous"
    say "The checkpoints of the run before are in $previous"
  fi
  "$python" train.py
  [ -f "$checkpoint" ] || die "train.py ended without writing $checkpoint"
  printf '%s\n' "$stamp" >"$output/.trained"
fi
stamp="$stamp $(cksum <"$checkpoint")"

say "== Evaluating on words that were never trained on"
[ -f data/embedded/annotation_test.txt ] || rm -f "$output/.evaluated" # eval.py draws the words again
show evaluated "$stamp" "$python" eval.py

say "== Reading some of them"
images=()
while read -r path _; do
  images+=("data/embedded/$path")
done < <(head -n 12 data/embedded/annotation_test.txt)
[ -f "$picture" ] || rm -f "$output/.read"
show read "$stamp" "$python" predict.py "--checkpoint_path=$checkpoint" "--picture=$picture" "${images[@]}"
say "Picture of the readings: $ROOT/$picture"
