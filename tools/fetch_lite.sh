#!/usr/bin/env bash
# Fetches the CPU runtime for the C++ program.
set -euo pipefail

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

version=2.0.0
target=$ROOT/.build/lite

case ${1:-} in
  -h | --help)
    cat <<END
Usage: bash tools/fetch_lite.sh

Downloads the package mindspore-lite $version (170 MB), which holds the C++ runtime for the CPU of x86-64 Linux, with pip
and unpacks what a C++ program needs (310 MB) into .build/lite. It is made for Python 3.7, but no Python 3.7 is needed. What is there already
is not fetched again.
END
    exit 0
    ;;
esac
if [ -f "$target/mindspore_lite/lib/libmindspore-extendrt_python.so" ]; then
  printf '%s\n' "$target/mindspore_lite"
  exit 0
fi
python=$(project_python)
mkdir -p "$ROOT/.build"
partial=$(mktemp -d "$ROOT/.build/lite.XXXXXX")
trap 'find "$partial" -delete' EXIT
"$python" -m pip download --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.7 \
  --platform manylinux1_x86_64 --dest "$partial/wheel" "mindspore-lite==$version" >&2 ||
  die "pip could not download mindspore-lite $version, see above"
# zipfile, because unzip is not everywhere.
"$python" - "$partial" <<'END' || die "the package could not be unpacked; is the disk full?"
import pathlib, sys, zipfile

NEEDED = ("extendrt_python", "mindspore_core", "mindspore_converter", "mindspore_glog", "mslite_converter_plugin",
          "runtime_convert_plugin_python", "msplugin-ge-litert_python", "libdnnl", "libopencv")
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next((folder / "wheel").glob("*.whl"))) as wheel:
    wheel.extractall(folder / "lite", [name for name in wheel.namelist() if name.startswith("mindspore_lite/include/") or
                                       name.startswith("mindspore_lite/lib/") and any(word in name for word in NEEDED)])
END
if [ -e "$target" ]; then
  mv "$target" "$partial/old"
fi
mv "$partial/lite" "$target"
printf '%s\n' "$target/mindspore_lite"
