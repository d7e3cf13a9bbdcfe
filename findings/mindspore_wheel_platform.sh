#!/usr/bin/env bash
# MindSpore's package for aarch64 on PyPI calls itself fit for any platform.
#
# Expected: its name says manylinux..._aarch64, so that pip refuses it elsewhere; its neighbour says manylinux1_x86_64.
# Seen with mindspore 2.10.0 and pip 24 (28 November 2026): asked for a package for x86-64 with musl (Alpine Linux), for
# which there is none, pip takes mindspore-2.10.0-cp311-none-any.whl without a word; all 142 libraries in it are for
# aarch64. There `pip install mindspore==2.10.0` ends well and `import mindspore` fails. The good side: the package for
# aarch64 servers with Ascend cards, often said to be missing on PyPI, is this one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip download -q --no-deps --only-binary=:all: --platform musllinux_1_2_x86_64 --python-version 3.11 \
  --implementation cp -d "$folder" mindspore==2.10.0
python3 - "$folder" <<'END'
import struct
import sys
import zipfile
from pathlib import Path

MACHINES = {62: "x86-64", 183: "aarch64"}
wheel, = Path(sys.argv[1]).glob("*.whl")
found = {}
with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    for name in names:
        if ".so" in Path(name).name:
            with archive.open(name) as file:
                head = file.read(20)
            if head[:4] == b"\x7fELF":
                machine = struct.unpack("<H", head[18:20])[0]
                found[machine] = found.get(machine, 0) + 1
kinds = {MACHINES.get(machine, machine): count for machine, count in found.items()}
ascend = "mindspore/lib/plugin/libmindspore_ascend.so.2" in names
print(f"asked for x86-64 with musl, pip took {wheel.name}; libraries by machine: {kinds}; Ascend's part in it: {ascend}")
assert wheel.name.endswith("-none-any.whl"), "the package names its platform now: this finding is out of date"
assert set(kinds) == {"aarch64"} and ascend, "the libraries are others now: look again"
END
