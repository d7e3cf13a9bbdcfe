"""Data parallel training on the CPU: two processes on two cores against one process on two cores, as a Markdown table.

    python benchmarks/bench_scaling.py [--batch 32] [--repeats 7] [--dtype float32]

The contenders take turns, a few steps at a time, and sleep in between: one process with two threads and the whole
batch; one process with one thread and the whole batch; two processes with one thread and half the batch each, whose
gradients are added up by MindSpore's AllReduce, as train.py does it under scripts/run_distribute_train.sh. Every step
is whole: forward, CTC loss (sum), backward, reduce, clipping, SGD. Threads and processes use the cores this program may
use; give it two, idle ones: `taskset -c 0,1 python benchmarks/bench_scaling.py`.
"""
import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_train_step import CLASSES, further_inputs, make_batch  # noqa: E402
from benchmarks.child import answer_of, end, tell  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

# name -> processes, threads of each
CONTENDERS = {"one process, two threads": (1, 2), "one process, one thread": (1, 1),
              "two processes, one thread each": (2, 1)}
STEPS = 3
_HINT = "; run again with VERBOSE=1 to see why"


def worker(batch: int, dtype: str) -> None:
    """Warms up, then runs a few steps for every line it reads and answers with their seconds."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever MindSpore prints must not mix with the answers
    import mindspore as ms
    from mindspore import Tensor

    from src.crnn import build_network
    from src.crnn_for_train import CRNNWithLoss, GradientReducer, TrainOneStepCellWithGradClip
    from src.distributed.communication import connect
    from src.distributed.ranks import ALONE
    from src.loss import CTCLoss
    from src.onednn import accelerate
    from src.training.optimizer import create_optimizer

    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE)
    ranks = connect() if os.environ.get("MS_ROLE") else ALONE
    ms.set_seed(1)
    network = build_network("V2", CLASSES)
    print(accelerate(network, dtype))
    with_loss = CRNNWithLoss(network, CTCLoss("sum"))
    optimizer = create_optimizer("sgd", with_loss.trainable_params())
    reducer = None if ranks.is_alone else GradientReducer(ranks.size, mean=False)
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, clip_norm=10.0, reducer=reducer).set_train()
    rows = slice(ranks.rank, None, ranks.size)
    inputs = [Tensor(part[rows].copy()) for part in make_batch(batch)] + further_inputs()

    def step() -> None:
        cell(*inputs).asnumpy()

    step()
    step()
    os.write(answers, b"ready\n")
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(STEPS):
            step()
        os.write(answers, f"{(time.perf_counter() - begin) / STEPS}\n".encode())


class Contender:
    """Worker processes and the times of their steps."""

    def __init__(self, name: str, processes: int, threads: int, batch: int, dtype: str) -> None:
        self.name, self.batch, self.seconds = name, batch, []
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        roles = [{}]
        if processes > 1:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            environment |= {"MS_WORKER_NUM": str(processes), "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": str(port)}
            roles = [{"MS_ROLE": "MS_SCHED"}, *({"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(rank)}
                                                for rank in range(processes))]
        command = [sys.executable, __file__, "--worker", "--batch", str(batch), "--dtype", dtype]
        quiet = None if os.environ.get("VERBOSE") else subprocess.DEVNULL
        self.processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet,
                                           text=True, env=environment | role) for role in roles]
        self.workers = self.processes[-processes:]
        try:
            for process in self.workers:
                answer_of(name, process, _HINT)
        except SystemExit:
            self.close(1.0)  # the others wait for the one that failed
            raise

    def run(self) -> None:
        """Runs a few steps; the slower process counts."""
        for process in self.workers:
            tell(process)
        self.seconds.append(max(float(answer_of(self.name, process, _HINT)) for process in self.workers))

    def close(self, seconds: float = 60.0) -> None:
        """Ends the processes, within so many seconds each."""
        for process in self.processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in reversed(self.processes):
            end(process, seconds)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="images of a step, all processes together")
    parser.add_argument("--repeats", type=int, default=7, help=f"turns of each contender, {STEPS} steps each")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.batch < 2 or args.batch % 2 or args.repeats < 1:
        parser.error("--batch must be even, as two processes share it, and --repeats 1 or more")
    if args.worker:
        worker(args.batch, args.dtype)
        return
    machine = machine_line(("mindspore", "numpy"))  # before the load is ours
    contenders = {}
    try:
        for name, (processes, threads) in CONTENDERS.items():
            contenders[name] = Contender(name, processes, threads, args.batch, args.dtype)
        for _ in range(args.repeats):
            for contender in contenders.values():
                contender.run()
    finally:
        for contender in contenders.values():
            contender.close()
    print(f"{machine}; batch {args.batch}, {args.dtype}, medians of {args.repeats} "
          f"interleaved turns of {STEPS} steps\n")
    print("| training of V2 | images/s | slowest to fastest turn | to one process, two threads |\n|---|---|---|---|")
    base = None
    for name, contender in contenders.items():
        rate = args.batch / statistics.median(contender.seconds)
        base = base or rate
        spread = f"{args.batch / max(contender.seconds):.1f} to {args.batch / min(contender.seconds):.1f}"
        print(f"| {name} | {rate:.1f} | {spread} | {rate / base:.2f} |")


if __name__ == "__main__":
    main()
