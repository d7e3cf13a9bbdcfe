#!/usr/bin/env bash
# MindSpore's GPU part is not even tried where no CUDA compiler is installed, and the error does not say so.
#
# Expected: libraries that are loaded at run time are found by LD_LIBRARY_PATH, as of other frameworks, and where one is
# missing its name is in the error.
# Seen with mindspore 2.10.0 for Linux on x86-64 (28 November 2026): libmindspore_gpu.so is only loaded after
# $CUDA_HOME/bin/nvcc (or nvcc on PATH) has printed a release of CUDA. Without it `mindspore.set_device("GPU")` says
# "Unsupported device target GPU" and lists the libraries of other devices that failed to load, but none of CUDA. A
# script of two lines in the place of nvcc is enough: then the first missing library of CUDA is named.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
mkdir -p "$folder/cuda/bin"
printf '#!/bin/sh\necho "Cuda compilation tools, release 11.6, V11.6.124"\n' >"$folder/cuda/bin/nvcc"
chmod +x "$folder/cuda/bin/nvcc"

# says WHAT VARIABLE...: whether the error of set_device("GPU") names MindSpore's GPU library.
says() {
  local what=$1
  shift
  local text
  text=$(env -u CUDA_HOME "$@" PATH=/usr/bin:/bin "$folder/venv/bin/python" -c \
    'import mindspore; mindspore.set_device("GPU")' 2>&1 || true)
  if grep -q "Load dynamic library: libmindspore_gpu" <<<"$text"; then
    printf '%s: %s\n' "$what" "$(grep -o 'Load dynamic library: libmindspore_gpu[^:]*' <<<"$text" | head -n 1)"
    return 0
  fi
  printf '%s: libmindspore_gpu is not mentioned\n' "$what"
  return 1
}

! says "no nvcc" A=1 || { echo "it is loaded without nvcc now: this finding is out of date"; exit 1; }
says "a script as nvcc" CUDA_HOME="$folder/cuda" || { echo "nvcc is not what it waits for: look again"; exit 1; }
