#!/usr/bin/env bash
# Fetches a runtime for the C++ program.
set -euo pipefail

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/env.sh"

usage() {
  cat <<'END'
Usage: bash tools/fetch_lite.sh [--ascend]

Downloads the package mindspore-lite 2.0.0 (170 MB), which holds the C++ runtime for the CPU of x86-64 Linux, with pip,
unpacks what a C++ program needs (310 MB) into .build/lite and prints the folder. The package is made for Python 3.7,
but no Python 3.7 is needed. What is there already is not fetched again.

--ascend takes mindspore-ascend 1.10.0 (170 MB) instead and unpacks its headers and the library that programs are linked
with (23 MB) into .build/ascend: enough to build the program for Ascend on a machine without one, not to run it.
END
}

package=mindspore-lite==2.0.0 python_version=3.7 platform=manylinux1_x86_64
target=$ROOT/.build/lite folder=mindspore_lite library=libmindspore-extendrt_python.so
needed="extendrt_python mindspore_core mindspore_converter mindspore_glog mslite_converter_plugin
  runtime_convert_plugin_python msplugin-ge-litert_python libdnnl libopencv"
case ${1:-} in
  '') ;;
  -h | --help)
    usage
    exit 0
    ;;
  --ascend)
    package=mindspore-ascend==1.10.0 python_version=3.9
    target=$ROOT/.build/ascend folder=mindspore library=libmindspore.so
    needed=libmindspore.so
    ;;
  *) die "cannot read $1; see --help" ;;
esac
if [ -f "$target/$folder/lib/$library" ]; then
  printf '%s\n' "$target/$folder"
  exit 0
fi
python=$(project_python)
mkdir -p "$ROOT/.build"
partial=$(mktemp -d "$ROOT/.build/fetch.XXXXXX")
trap 'find "$partial" -delete' EXIT
"$python" -m pip download --disable-pip-version-check --no-deps --only-binary=:all: \
  --python-version "$python_version" --platform "$platform" --dest "$partial/wheel" "$package" >&2 ||
  die "pip could not download $package, see above"
# zipfile, because unzip is not everywhere.
"$python" - "$partial" "$folder" "$needed" <<'END' || die "the package could not be unpacked; is the disk full?"
import pathlib, sys, zipfile

partial, folder, needed = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3].split()
with zipfile.ZipFile(next((partial / "wheel").glob("*.whl"))) as wheel:
    wheel.extractall(partial / "unpacked",
                     [name for name in wheel.namelist() if name.startswith(f"{folder}/include/") or
                      name.startswith(f"{folder}/lib/") and any(word in name for word in needed)])
END
[ -f "$partial/unpacked/$folder/lib/$library" ] || die "$package holds no $folder/lib/$library"
if [ -e "$target" ]; then
  mv "$target" "$partial/old"
fi
mv "$partial/unpacked" "$target"
printf '%s\n' "$target/$folder"
