#!/usr/bin/env bash
# Builds the C++ inference program.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash ascend310_infer/build.sh [--sanitize] [--check] [MINDSPORE_PATH]

Builds crnn_infer and, for the tests, crnn_check (what needs no runtime) in BUILD_DIR, by default .build/infer of the
repository. --sanitize builds with the address and undefined-behaviour sanitizers, in .build/infer_sanitize; --check
builds only crnn_check.

MINDSPORE_PATH is the folder of a MindSpore or MindSpore Lite package, with include/api and lib. Without it the first of
these is taken: $MINDSPORE_PATH, $LITE_HOME, .build/lite/mindspore_lite (made by `bash tools/fetch_lite.sh`), the
`mindspore` package of $PYTHON (default python3).

Needs g++ 8 or later, CMake 3.14 or later, libjpeg(-turbo) and libpng. Debian, Ubuntu:
  apt-get install g++ cmake make libjpeg-dev libpng-dev
openEuler, CentOS:
  yum install gcc-c++ cmake make libjpeg-turbo-devel libpng-devel
END
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BUILD_DIR:-$here/../.build/infer}
only_check=
options=(-DCRNN_SANITIZE=OFF -DCMAKE_BUILD_TYPE=Release)
path=
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    --sanitize)
      build=${BUILD_DIR:-$here/../.build/infer_sanitize}
      options=(-DCRNN_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo)
      ;;
    --check) only_check=1 ;;
    -*) die "cannot read the option $word; see --help" ;;
    *) path=$word ;;
  esac
done
for tool in cmake c++ make; do
  command -v "$tool" >/dev/null ||
    die "$tool is not installed; Debian, Ubuntu: apt-get install g++ cmake make libjpeg-dev libpng-dev"
done

# find_mindspore: prints the folder of the first package there is.
find_mindspore() {
  local folder
  for folder in "${MINDSPORE_PATH:-}" "${LITE_HOME:-}" "$here/../.build/lite/mindspore_lite" \
    "$("${PYTHON:-python3}" -c 'import importlib.util as u; print(u.find_spec("mindspore").submodule_search_locations[0])' \
      2>/dev/null || true)"; do
    if [ -n "$folder" ] && { [ -f "$folder/include/api/model.h" ] || [ -f "$folder/runtime/include/api/model.h" ]; }; then
      printf '%s\n' "$folder"
      return
    fi
  done
}

if [ -n "$only_check" ]; then
  options+=(-DMINDSPORE_PATH=)
  targets=(crnn_check)
else
  [ -n "$path" ] || path=$(find_mindspore)
  [ -n "$path" ] || die "no MindSpore package found; for a CPU run: bash tools/fetch_lite.sh; otherwise give its folder"
  [ -d "$path" ] || die "MINDSPORE_PATH $path is not a folder"
  path=$(cd "$path" && pwd)
  printf 'Building with %s\n' "$path"
  # What was found in another package before is looked for again.
  options+=("-DMINDSPORE_PATH=$path" -UMINDSPORE_LIBRARY -UMINDSPORE_API)
  targets=(crnn_check crnn_infer)
fi
cmake -S "$here" -B "$build" "${options[@]}" ||
  die "CMake failed, see above; missing headers: apt-get install g++ cmake make libjpeg-dev libpng-dev"
cmake --build "$build" --parallel "${BUILD_JOBS:-2}" --target "${targets[@]}"
for target in "${targets[@]}"; do
  printf 'Built %s\n' "$(cd "$build" && pwd)/$target"
done
