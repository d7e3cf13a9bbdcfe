#!/usr/bin/env bash
# run_infer_310.sh under the name and with the arguments that later model zoos gave it.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_infer_cpp.sh MINDIR_PATH DATA_PATH ANN_FILE_PATH DATASET DEVICE_TYPE [DEVICE_ID] [--key=value ...]

Does what scripts/run_infer_310.sh does (see its --help), with DEVICE_TYPE as an argument: Ascend310, Ascend, GPU or CPU.
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

positional=()
options=()
for word in "$@"; do
  case $word in
    -h | --help)
      usage
      exit 0
      ;;
    -*) options+=("$word") ;;
    *) positional+=("$word") ;;
  esac
done
if [ "${#positional[@]}" -lt 5 ] || [ "${#positional[@]}" -gt 6 ]; then
  usage >&2
  exit 2
fi
export DEVICE_TYPE=${positional[4]}
exec bash "$ROOT/scripts/run_infer_310.sh" "${positional[@]:0:4}" "${positional[@]:5}" ${options[@]+"${options[@]}"}
