#!/usr/bin/env bash
# Starts a container with the data, the models and the devices of this host.
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/docker_start.sh IMAGE DATA_DIR MODEL_DIR [COMMAND ...]

Starts a container of an image (docker build -t crnn . makes one) and runs COMMAND in it, by default a shell. Both
folders have the same path inside as outside, and COMMAND starts in MODEL_DIR. On a host with Ascend devices the
container gets all of them and the driver, on one with NVIDIA's container toolkit all GPUs; anywhere else it uses the
CPU. The container is kept when it ends: docker ps -a, docker rm. The exit code is that of COMMAND.

  IMAGE       the image
  DATA_DIR    folder of the data
  MODEL_DIR   folder of the project, or where checkpoints and results go
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -lt 3 ]; then
  usage >&2
  exit 2
fi
image=$1
for folder in "$2" "$3"; do
  [ -d "$folder" ] || die "$folder is not a folder"
  case $folder in
    *:*) die "$folder: docker cannot mount a path with a colon in it; rename it or give a link to it" ;;
  esac
done
data=$(cd "$2" && pwd)
model=$(cd "$3" && pwd)
shift 3
command -v docker >/dev/null || die "docker is not installed"

# CRNN_HOST_ROOT is for the tests: a folder to look for devices and drivers in.
host=${CRNN_HOST_ROOT:-}
# --ipc=host: the 64 MB of shared memory that a container gets otherwise are too few for several processes.
options=(--interactive --ipc=host "--volume=$data:$data" "--workdir=$model")
[ "$model" = "$data" ] || options+=("--volume=$model:$model")
if [ -t 0 ] && [ -t 1 ]; then
  options+=(--tty)
fi
ascend=0
for device in "$host"/dev/davinci[0-9]*; do
  if [ -e "$device" ]; then
    options+=("--device=${device#"$host"}")
    ascend=$((ascend + 1))
  fi
done
if [ "$ascend" -gt 0 ]; then
  say "Ascend devices: $ascend"
  for device in davinci_manager devmm_svm hisi_hdc; do
    [ -e "$host/dev/$device" ] || die "/dev/$device is missing, so the Ascend driver does not run; see npu-smi info"
    options+=("--device=/dev/$device")
  done
  for path in /usr/local/Ascend/driver /usr/local/Ascend/add-ons /usr/local/dcmi /usr/local/bin/npu-smi \
    /usr/local/sbin/npu-smi /etc/ascend_install.info /etc/hccn.conf; do
    if [ -e "$host$path" ]; then
      options+=("--volume=$path:$path:ro")
    fi
  done
elif command -v nvidia-ctk >/dev/null || command -v nvidia-container-runtime >/dev/null; then
  say "GPUs: all"
  options+=(--gpus=all)
else
  say "No Ascend device and no NVIDIA container toolkit: CPU only"
fi
[ $# -gt 0 ] || set -- /bin/bash
exec docker run "${options[@]}" "$image" "$@"
