#!/usr/bin/env bash
# Fuzzes the C++ program's decoders, JSON and language-model readers with libFuzzer under the sanitizers.
set -euo pipefail

usage() {
  cat <<'HELP'
Usage: bash tests/fuzz/fuzz_cpp.sh [SECONDS] [FOLDER] [PART]

Builds the parts of ascend310_infer with the address and undefined-behaviour sanitizers and libFuzzer, makes a corpus of
sound files, and fuzzes for SECONDS (default 600). An input at fault is left in FOLDER (default: the current one) as
crash-..., timeout-... or oom-..., and the exit code is not 0. PART is images, json (the reader, and the JSON file beside
a model) or language_model; without it all are in one corpus.

Needs clang with its runtime, libjpeg and libpng; Debian: apt-get install clang-16 libclang-rt-16-dev libjpeg-dev libpng-dev
CXX names the compiler (default clang++-16); CRNN_PYTHON the Python (default python3) with the packages of requirements.txt.
HELP
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac
seconds=${1:-600}
part=${3:-all}
case $part in
  all | images | json | language_model) ;;
  *)
    printf 'error: PART %s is none of images, json, language_model; see --help\n' "$part" >&2
    exit 2
    ;;
esac
keep=$(mkdir -p "${2:-.}" && cd "${2:-.}" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
compiler=${CXX:-clang++-16}
command -v "$compiler" >/dev/null || {
  printf 'error: %s is not installed; see --help\n' "$compiler" >&2
  exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
parts=()
for name in image transparency decode_png decode_jpeg decode_bmp resize checksum json sidecar ctc language_model word_search; do
  parts+=("$root/ascend310_infer/src/$name.cc")
done
"$compiler" -std=c++17 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
  -I"$root/ascend310_infer/src" "$root/tests/fuzz/fuzz_cpp.cc" "${parts[@]}" -ljpeg -lpng -o "$work/fuzz"
mkdir "$work/corpus" "$work/place"
(cd "$root" && "${CRNN_PYTHON:-python3}" - "$work/corpus" "$part" <<'PYTHON'
import sys
from pathlib import Path

from tests.fuzz.targets import images, language_models, sidecars

parts = {"images": [(b"i", images())], "json": [(b"j", sidecars()), (b"s", sidecars())],
         "language_model": [(b"l", [data.partition(b"\n")[2] for data in language_models()]), (b"m", language_models())]}
for name, kinds in parts.items():
    for mark, samples in kinds if sys.argv[2] in (name, "all") else ():
        for number, data in enumerate(samples):
            Path(sys.argv[1], f"{mark.decode()}{number}").write_bytes(mark + data)
PYTHON
)
# Sizes of 8,192 x 4,096 take 100 MB and under the sanitizers a second; so much may be.
CRNN_FUZZ_FOLDER=$work/place ASAN_OPTIONS=allocator_may_return_null=1 "$work/fuzz" "$work/corpus" \
  -max_total_time="$seconds" -timeout=30 \
  -rss_limit_mb=2048 -max_len=20000 -artifact_prefix="$keep/" -print_final_stats=1
