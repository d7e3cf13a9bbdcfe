# Sourced by the other scripts: the project's Python environment, and running a program with a log.
# shellcheck shell=bash

# What the scripts obey:
#   CRNN_PYTHON   use this interpreter as it is; no .venv is made and nothing is installed

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

say() {
  printf '%s\n' "$*" >&2
}

die() {
  say "error: $*"
  exit 2
}

# is_supported PYTHON: whether the interpreter starts and has a version that all pinned packages exist for.
is_supported() {
  "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1
}

# find_python: prints an interpreter to make .venv with.
find_python() {
  local name
  for name in python3.11 python3.12 python3 python; do
    if command -v "$name" >/dev/null && is_supported "$name"; then
      command -v "$name"
      return
    fi
  done
  die "no Python 3.11 or 3.12 found; install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv)"
}

# require_venv_module PYTHON: makes sure that it can make environments; Debian leaves that to a package of its own.
require_venv_module() {
  local python=$1 package
  if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    return
  fi
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing $package, which $python needs to make an environment"
    { apt-get update -q && apt-get install -q -y "$package"; } >&2 || true
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      return
    fi
  fi
  die "$python cannot make an environment; run: sudo apt-get install $package"
}

# ensure_venv: makes .venv, or makes it anew when an earlier attempt was cut off.
ensure_venv() {
  local python
  if [ -e "$VENV" ] && [ ! -d "$VENV" ]; then
    die "$VENV is in the way: it is not a folder"
  fi
  if "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
    is_supported "$VENV/bin/python" && return
    die "$VENV holds $("$VENV/bin/python" -V 2>&1), but 3.11 or 3.12 is needed; move it away and run this again"
  fi
  python=$(find_python)
  require_venv_module "$python"
  if [ -d "$VENV" ]; then
    say "$VENV is incomplete: making it anew"
  else
    say "Making $VENV with $python"
  fi
  "$python" -m venv --clear "$VENV" || die "$python could not make $VENV"
}

# stamp_of FILE: what must be installed for a requirements file, as one line.
stamp_of() {
  cat "$ROOT/requirements.txt" "$ROOT/$1" | cksum
}

# install_requirements FILE: installs into .venv, unless that was done with the same content before.
install_requirements() {
  local file=$1 name
  if [ -n "${CRNN_PYTHON:-}" ]; then
    return
  fi
  ensure_venv
  if [ "$(cat "$VENV/.installed-$file" 2>/dev/null)" = "$(stamp_of "$file")" ]; then
    return
  fi
  say "Installing $file into $VENV (the first time this takes minutes)"
  "$VENV/bin/python" -m pip install --disable-pip-version-check -r "$ROOT/$file" >&2 ||
    die "pip could not install $file, see above; run this again to go on"
  for name in requirements.txt "$file"; do
    stamp_of "$name" >"$VENV/.installed-$name"
  done
}

# project_python: prints the interpreter to run the project with; says what to do where the system's lacks packages.
project_python() {
  local missing
  if [ -n "${CRNN_PYTHON:-}" ]; then
    printf '%s\n' "$CRNN_PYTHON"
  elif [ -x "$VENV/bin/python" ]; then
    printf '%s\n' "$VENV/bin/python"
  elif command -v python3 >/dev/null; then
    missing=$(python3 -c 'import importlib.util as u
print(*(name for name in ("cv2", "numpy", "yaml") if u.find_spec(name) is None))' 2>/dev/null || true)
    if [ -n "$missing" ]; then
      say "note: $VENV does not exist, so $(command -v python3) is used, which lacks ${missing// /, }; make it with" \
        "bash scripts/quickstart.sh, or name an interpreter that has requirements.txt: CRNN_PYTHON=FILE"
    fi
    printf '%s\n' python3
  else
    die "no Python found; run: bash scripts/quickstart.sh"
  fi
}

# absolute PATH: the path as seen from the caller's folder, which a program that runs elsewhere can use.
absolute() {
  case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$PWD/$1" ;;
  esac
}

# absolute_option --KEY=VALUE: the same for the value of a key that holds paths; other options stay as they are.
absolute_option() {
  local key=${1%%=*} value=${1#*=} file result=
  case $key in
    --config_path)
      while [ -n "$value" ]; do # several files, with commas
        file=${value%%,*}
        result+=,$(absolute "$file")
        [ "$file" = "$value" ] && break
        value=${value#*,}
      done
      value=${result#,}
      ;;
    --label_dict | --lexicon | --language_model)
      if [ -f "$value" ]; then # otherwise it is the characters themselves, or a word such as none
        value=$(absolute "$value")
      fi
      ;;
    *_path | *_dir | --resume_ckpt | --ckpt_file | --ann_file | --onnx_file | --picture | \
      --save_predictions | --data_root)
      if [ -n "$value" ]; then
        value=$(absolute "$value")
      fi
      ;;
  esac
  printf '%s=%s\n' "$key" "$value"
}

# platform_of WORD: the platform as MindSpore writes it, whatever the case; fails when the word is none.
platform_of() {
  case ${1,,} in
    ascend) echo Ascend ;;
    gpu) echo GPU ;;
    cpu) echo CPU ;;
    *) return 1 ;;
  esac
}

# read_arguments FEWEST MOST WORD...: sorts a script's words into the arrays `positional` and `options` (the values of
# --key=value that are paths made absolute); --help, and another number of positional ones, show the script's usage.
read_arguments() {
  local fewest=$1 most=$2 word
  shift 2
  positional=() options=()
  for word in "$@"; do
    case $word in
      -h | --help)
        usage
        exit 0
        ;;
      --*=*) options+=("$(absolute_option "$word")") ;;
      -*) die "cannot read the option $word; write --key=value, and see --help" ;;
      *) positional+=("$word") ;;
    esac
  done
  if [ "${#positional[@]}" -lt "$fewest" ] || [ "${#positional[@]}" -gt "$most" ]; then
    usage >&2
    exit 2
  fi
}

# require_path NAME PATH: ends the script where nothing is there.
require_path() {
  [ -e "$2" ] || die "$1 $2 does not exist"
}

# require_file NAME PATH: ends the script where no file is there.
require_file() {
  [ -f "$2" ] || die "$1 $2 is not a file"
}

# take_device WORD: takes a word as `device_id` or `platform`, each once; fails when it is neither.
take_device() {
  if [[ $1 =~ ^[0-9]+$ ]]; then
    [ -z "$device_id" ] || die "two numbers are given for DEVICE_ID, $device_id and $1; give one"
    device_id=$1
  elif platform_of "$1" >/dev/null; then
    [ -z "$platform" ] || die "two platforms are given, $platform and $1; give one"
    platform=$(platform_of "$1")
  else
    return 1
  fi
}

# alone_on_device: sets the array `command` and the environment up for one process on the device `device_id`, if given.
alone_on_device() {
  if [ -n "$device_id" ]; then
    export DEVICE_ID=$device_id
    command+=("--device_id=$device_id")
  fi
  unset RANK_TABLE_FILE # left over in a shell, it makes MindSpore expect the other devices
  export RANK_ID=0 RANK_SIZE=1
}

# run_logged FOLDER COMMAND...: runs a program in FOLDER, its output to the terminal and to FOLDER/log.txt, and returns
# its exit code. Ctrl-C, SIGTERM and a closing terminal are handed on, so that the program can end cleanly.
run_logged() {
  local folder=$1 child logger status signalled
  shift
  mkdir -p "$folder"
  cd "$folder" || return
  if [ -e log.txt ]; then
    mv -f log.txt log.previous.txt
  fi
  say "Running in $folder, log in $folder/log.txt"
  exec 3> >(trap '' INT TERM HUP && exec tee log.txt)
  logger=$!
  set -m # a process group of its own: otherwise a program in the background ignores Ctrl-C
  PYTHONUNBUFFERED=1 "$@" </dev/null >&3 2>&1 3>&- &
  child=$!
  set +m
  exec 3>&-
  trap 'signalled=1; kill -INT -- "-$child" 2>/dev/null || true' INT
  trap 'signalled=1; kill -TERM -- "-$child" 2>/dev/null || true' TERM
  trap 'signalled=1; kill -HUP -- "-$child" 2>/dev/null || true' HUP
  while :; do
    signalled=0
    status=0
    wait "$child" || status=$?
    [ "$signalled" = 1 ] || break
  done
  trap - INT TERM HUP
  wait "$logger" 2>/dev/null || true # the last lines are in the log
  return "$status"
}
