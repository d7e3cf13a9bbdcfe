#!/usr/bin/env bash
# Importing MindSpore makes every program that is started afterwards run on one thread, and os.environ does not show it.
#
# Expected: an import leaves the environment as it is, or os.environ shows what it changed.
# Seen with mindspore 2.10.0 on x86-64 Linux (28 November 2026): after `import mindspore` children that inherit the
# environment find OMP_NUM_THREADS=1, where it was unset before; os.environ still has no such variable, so that printing
# it explains nothing. Children that are handed env=dict(os.environ) run as before.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
env -u OMP_NUM_THREADS "$folder/venv/bin/python" - <<'PYTHON'
import os
import subprocess
import sys


def seen(**options):
    """What a child finds."""
    return subprocess.run(["printenv", "OMP_NUM_THREADS"], stdout=subprocess.PIPE, text=True, **options).stdout.strip()


before = seen()
import mindspore  # noqa: E402, F401

after, handed, shown = seen(), seen(env=dict(os.environ)), os.environ.get("OMP_NUM_THREADS")
print(f"a child's OMP_NUM_THREADS before the import: {before or 'unset'}, after: {after or 'unset'}, with "
      f"env=dict(os.environ): {handed or 'unset'}; os.environ has {shown or 'nothing'}")
if before or after != "1" or handed or shown:
    sys.exit("this has changed: this finding is out of date")
PYTHON
