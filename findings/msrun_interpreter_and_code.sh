#!/usr/bin/env bash
# msrun of a virtual environment starts another environment's Python, and hides the exit code of what it started.
#
# Expected: VENV/bin/msrun runs the script with VENV/bin/python, as VENV/bin/pip does, and its exit code tells of a
# script that failed: with --join the script's own code, as torchrun or mpirun pass one on.
# Seen with mindspore 2.10.0 (28 November 2026): `msrun ... script.py` runs the first `python` of PATH; where the
# environment is not activated, that is another one, without MindSpore. A script that ends with code 7 gives 1 with
# --join=True, and 0 without it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
mkdir "$folder/other"
cat >"$folder/other/python" <<END
#!/bin/sh
echo another Python >>"$folder/seen"
exec "$folder/venv/bin/python" "\$@"
END
chmod +x "$folder/other/python"
printf 'raise SystemExit(7)\n' >"$folder/seven.py"
cd "$folder"

code=0
PATH=$folder/other:/usr/bin:/bin "$folder/venv/bin/msrun" --worker_num=1 --local_worker_num=1 --master_port=8171 \
  --log_dir=joined --join=True seven.py >joined.txt 2>&1 || code=$?
echo "with --join the exit code is $code; started by: $(sort -u seen 2>/dev/null || echo its own Python)"
alone=0
PATH=$folder/other:/usr/bin:/bin "$folder/venv/bin/msrun" --worker_num=1 --local_worker_num=1 --master_port=8172 \
  --log_dir=left seven.py >left.txt 2>&1 || alone=$?
echo "without it, $alone"
[ -s seen ] || { echo "it runs its own Python now: this finding is out of date"; exit 1; }
[ "$code" = 1 ] && [ "$alone" = 0 ] || { echo "the codes have changed: this finding is out of date"; exit 1; }
