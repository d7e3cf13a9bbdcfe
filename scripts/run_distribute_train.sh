#!/usr/bin/env bash
# Trains on several devices of this host, in train_parallel0/, train_parallel1/, ...
set -euo pipefail

usage() {
  cat <<'END'
Usage: bash scripts/run_distribute_train.sh DATASET_NAME DATASET_PATH PLATFORM [RANK_TABLE_FILE] [RESUME_CKPT]
                                            [--key=value ...]

Trains on several devices of this host, one process each, in the foreground. Rank k works in train_parallel<k>/ of the
repository: everything it prints is in train_parallel<k>/log.txt, and what rank 0 prints is shown here. Rank 0 writes
the checkpoints, below train_parallel0/output/. When one rank fails, all are ended; the first one that failed is named,
the end of its log is shown, and the exit code is its. Ctrl-C and SIGTERM are handed on to all ranks.

  DATASET_NAME      kind of the training set, such as synth or lmdb
  DATASET_PATH      its folder
  PLATFORM          Ascend, GPU or CPU
  RANK_TABLE_FILE   Ascend: the devices, a file whose name ends in .json; default: the environment's RANK_TABLE_FILE
  RESUME_CKPT       the checkpoint to go on from
  --key=value       any option of train.py (python train.py --help)

msrun, which comes with MindSpore, starts the processes: those that a rank table lists for this host, or as many as
DEVICE_NUM says (default 8). On the CPU they share the cores. From the environment:

  DEVICE_NUM=N      number of devices
  LAUNCHER=rank_table   Ascend: hand the rank table to MindSpore, which then takes another compiler (docs/ascend.md)
  LAUNCHER=mpirun   Ascend, GPU: start with Open MPI's mpirun instead of msrun
  SERVER_ID=NAME    which server of the rank table this host is, where its addresses do not tell
  MASTER_PORT=N     port of msrun's scheduler; default: a free one, with several hosts 8118, and the next one besides
  NODE_NUM=N        number of hosts, each with DEVICE_NUM devices; start this on all of them, with
  NODE_RANK=K       which of them this is, from 0, and
  MASTER_ADDR=IP    the address of the first of them; with msrun only. A rank table says all three itself; MASTER_ADDR
                    stands for the first server_id where that is no address
  CRNN_STOP_SECONDS=N   time for the ranks to end after Ctrl-C or SIGTERM; default 120
  GLOG_v=2          print MindSpore's warnings too; default 3, its errors only
END
}

# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

read_arguments 3 5 "$@"
require_path DATASET_PATH "${positional[1]}"
platform=$(platform_of "${positional[2]}") || die "PLATFORM ${positional[2]} is not known; choose Ascend, GPU or CPU"
table='' resume=''
for word in "${positional[@]:3}"; do
  case $word in
    *.json | *.JSON)
      [ -z "$table" ] || die "two rank tables are given, $table and $word; give one"
      table=$word
      ;;
    *)
      [ -f "$word" ] || die "$word is neither a rank table (its name ends in .json) nor a checkpoint that exists"
      [ -z "$resume" ] || die "two files are given for RESUME_CKPT, $resume and $word; give one"
      resume=$word
      ;;
  esac
done
launcher=${LAUNCHER:-msrun}
case $launcher in
  msrun | mpirun | rank_table) ;;
  *) die "LAUNCHER $launcher is not known; choose msrun, mpirun or rank_table" ;;
esac
if [ "$platform" != Ascend ]; then
  [ -z "$table" ] || die "RANK_TABLE_FILE $table is for Ascend; leave it out on $platform"
  [ "$launcher" != rank_table ] || die "LAUNCHER rank_table is for Ascend; leave it out on $platform"
elif [ -z "$table" ] && [ "$launcher" != mpirun ] && [ -n "${RANK_TABLE_FILE:-}" ]; then
  table=$RANK_TABLE_FILE
  say "Rank table $table, from the environment's RANK_TABLE_FILE"
fi
if [ "$platform" = CPU ] && [ "$launcher" = mpirun ]; then
  die "MindSpore has no mpirun on the CPU; leave LAUNCHER out to use msrun"
fi

python=$(project_python)
command=(
  "$python" "$ROOT/train.py" --run_distribute=True "--device_target=$platform"
  "--train_dataset=${positional[0]}" "--train_dataset_path=$(absolute "${positional[1]}")"
)
if [ -n "$resume" ]; then
  command+=("--resume_ckpt=$(absolute "$resume")")
fi
how=("--launcher=$launcher")
if [ -n "$table" ]; then
  [ "$launcher" != mpirun ] || die "mpirun takes no rank table; leave LAUNCHER out to start with msrun"
  how+=("--rank_table=$(absolute "$table")")
elif [ "$launcher" = rank_table ]; then
  die "LAUNCHER rank_table needs a RANK_TABLE_FILE"
elif [ "$platform" = CPU ]; then
  how+=(--share_cores)
fi
cd "$ROOT"
exec "$python" -m src.distributed.launch "${how[@]}" "--folder=$ROOT/train_parallel" -- \
  "${command[@]}" ${options[@]+"${options[@]}"}
