"""Training step of CRNN V2: stock MindSpore, this project's accelerator and PyTorch, as a Markdown table.

    python benchmarks/bench_train_step.py [--batch 16 64] [--repeats 7] [--only onednn-float32 torch-float32]
        [--before FOLDER]

On a machine that others use too, wall times say little, and threads that spin while they wait spoil CPU times: compare
the CPU time column of `OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/bench_train_step.py` then.

FOLDER is a worktree of an older commit of this project, whose accelerator in float32 takes part too.

One process per contender, as the CPU cap of stock MindSpore holds for a whole process; they take turns, one step at a
time, and sleep in between. Every step is whole: forward, CTC loss (sum), backward, clipping, SGD (Nesterov momentum).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import answer_of, end, tell  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

BEFORE = "before-float32"
CONTENDERS = ("stock-cap", "onednn-float32", "onednn-bfloat16", "torch-float32", "torch-bfloat16")
NAMES = {BEFORE: "MindSpore, accelerator, float32, of --before",
         "stock-cap": "MindSpore, stock operators under ONEDNN_MAX_CPU_ISA=AVX2",
         "onednn-float32": "MindSpore, accelerator, float32",
         "onednn-bfloat16": "MindSpore, accelerator, bfloat16",
         "torch-float32": "PyTorch, float32",
         "torch-bfloat16": "PyTorch, bfloat16 autocast, channels last"}
CLASSES = 37
_HINT = "; run again with VERBOSE=1 to see why"


def make_batch(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random images and words of 3 to 9 characters."""
    random = np.random.default_rng(size)
    image = random.uniform(-1, 1, (size, 3, 32, 100)).astype(np.float32)
    length = random.integers(3, 10, size).astype(np.int32)
    label = random.integers(0, CLASSES - 1, (size, 23)).astype(np.int32)
    label[np.arange(23) >= length[:, None]] = CLASSES - 1
    return image, label, length


def mindspore_step(size: int, dtype: str | None):
    """A function that runs one step and returns the loss; dtype None leaves the stock operators."""
    if dtype is None:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    import mindspore as ms
    from mindspore import Tensor

    from src.crnn import build_network
    from src.crnn_for_train import CRNNWithLoss, TrainOneStepCellWithGradClip
    from src.loss import CTCLoss
    from src.training.optimizer import create_optimizer

    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    network = build_network("V2", CLASSES)
    if dtype is not None:
        from src.onednn import accelerate

        line = accelerate(network, dtype)
        if line.startswith("stock"):
            raise SystemExit(line)
    with_loss = CRNNWithLoss(network, CTCLoss("sum"))
    optimizer = create_optimizer("sgd", with_loss.trainable_params(), 0.95, True)
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, clip_norm=10.0).set_train()
    inputs = [Tensor(part) for part in make_batch(size)] + further_inputs()
    return lambda: float(cell(*inputs).asnumpy()[0])


def further_inputs() -> list:
    """What the train cell gets besides a batch: no frame loss, a learning rate of 1e-4, nobody asks to stop."""
    from mindspore import Tensor

    return [Tensor(np.float32(0)), Tensor(np.float32(1e-4)), Tensor(np.zeros(3, np.float32))]


def torch_step(size: int, bf16: bool):
    """A function that runs one step of the PyTorch twin and returns the loss."""
    import torch

    from tools.torch_twin import CRNN

    torch.manual_seed(1)
    model = CRNN(CLASSES, "V2")
    image, label, length = (torch.from_numpy(part) for part in make_batch(size))
    if bf16:
        model.stages = model.stages.to(memory_format=torch.channels_last)
        image = image.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.95, nesterov=True)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = model(image)
        scores = torch.log_softmax(scores.float(), 2)
        steps = torch.full((size,), scores.shape[0])
        loss = torch.nn.functional.ctc_loss(scores, label, steps, length, blank=CLASSES - 1, reduction="sum")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        return float(loss.detach())

    return step


def worker(contender: str, size: int) -> None:
    """Warms up, then runs one step for every line it reads and answers with its times."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a framework prints must not mix with the answers
    kind, _, dtype = contender.partition("-")
    step = torch_step(size, dtype == "bfloat16") if kind == "torch" else mindspore_step(
        size, None if kind == "stock" else dtype)
    for _ in range(2):
        step()
    os.write(answers, b"ready\n")
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = step()
        answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": loss}
        os.write(answers, json.dumps(answer).encode() + b"\n")


class Contender:
    """A worker process and the times of its steps."""

    def __init__(self, name: str, size: int, before: str = "") -> None:
        self.name, self.size, self.steps = name, size, []
        script = os.path.join(before, "benchmarks", "bench_train_step.py") if name == BEFORE else __file__
        contender = "onednn-float32" if name == BEFORE else name
        command = [sys.executable, script, "--worker", contender, "--batch", str(size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL)
        answer_of(name, self.process, _HINT)

    def step(self) -> None:
        tell(self.process)
        self.steps.append(json.loads(answer_of(self.name, self.process, _HINT)))

    def close(self) -> None:
        """Ends the process."""
        end(self.process)

    def median(self, key: str) -> float:
        """Median seconds of a step."""
        return statistics.median(step[key] for step in self.steps)


def measure(names: list[str], size: int, repeats: int, before: str = "") -> list[Contender]:
    """Lets the contenders take turns."""
    contenders: list[Contender] = []
    try:
        for name in names:
            contenders.append(Contender(name, size, before))
        for _ in range(repeats):
            for contender in contenders:
                contender.step()
    finally:
        for contender in contenders:
            contender.close()
    return contenders


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--before", default="", help="worktree of an older commit")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.batch[0])
        return
    if min(args.repeats, *args.batch) < 1:
        parser.error("--repeats and --batch must be 1 or more")
    print(f"{machine_line(('mindspore', 'torch', 'numpy'))}; medians of {args.repeats} interleaved steps\n", flush=True)
    print("| batch | training step of V2 | images/s | CPU ms per image | to PyTorch float32 (time) | (CPU time) |")
    print("|---|---|---|---|---|---|")
    for size in args.batch:
        contenders = measure([*args.only, *([BEFORE] if args.before else [])], size, args.repeats, args.before)
        base = next((c for c in contenders if c.name == "torch-float32"), None)
        for c in contenders:
            ratios = " | ".join(f"{base.median(key) / c.median(key):.2f}" if base else "-" for key in ("wall", "cpu"))
            print(f"| {size} | {NAMES[c.name]} | {size / c.median('wall'):.1f} | {1000 * c.median('cpu') / size:.1f} "
                  f"| {ratios} |", flush=True)


if __name__ == "__main__":
    main()
