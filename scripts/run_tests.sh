#!/usr/bin/env bash
# Installs what the tests need and runs them.
set -euo pipefail

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

case ${1:-} in
  -h | --help)
    cat <<'END'
Usage: bash scripts/run_tests.sh [PYTEST_ARGUMENT ...]

Makes .venv, installs requirements-dev.txt into it when that has changed, and runs pytest. Tests that take minutes are
left out; `bash scripts/run_tests.sh -m slow` runs just those.
CRNN_PYTHON=PATH uses that interpreter as it is and installs nothing.
END
    exit 0
    ;;
esac
install_requirements requirements-dev.txt
python=$(project_python)
cd "$ROOT"
exec "$python" -m pytest -m "not slow" "$@"
