"""Where the time of a training step of CRNN V2 goes on the CPU, as a Markdown table of CPU time.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/bench_step_parts.py [--batch 16] [--steps 5] [--dtype bfloat16]

One thread, as threads that wait for each other use CPU time too. The rate of a convolution is that of its definition
(two operations for each weight and output, 3x3 kernels included, which Winograd's form computes with fewer), beside the
rate of numpy's matrix product in the same process: the roofline. CTC loss and optimizer are measured on their own;
"MindSpore and the rest" is what remains of the step: its other operators, and its own work.
"""
import argparse
import ctypes
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_train_step import CLASSES, make_batch, mindspore_step  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

# Input and output channels, kernel, height and width of the output, for images of 32x100.
STAGES = ((3, 64, 3, 32, 100), (64, 128, 3, 16, 50), (128, 256, 3, 8, 25), (256, 256, 3, 8, 25), (256, 512, 3, 4, 25),
          (512, 512, 3, 4, 25), (512, 512, 2, 1, 24))


def cpu_time(run: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def roofline() -> float:
    """GFLOP/s of numpy's matrix product, float32."""
    a = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    return 2 * 1024 ** 3 / 1e6 / cpu_time(lambda: a @ a, 5)


def read_times(library: ctypes.CDLL) -> dict[str, float]:
    """The operators' times since the last call, milliseconds by part."""
    text = ctypes.create_string_buffer(1 << 16)
    library.crnn_times(text, ctypes.c_size_t(len(text)))
    return {name: float(value) for name, value in
            (line.split("\t") for line in text.value.decode().splitlines())}


def loss_time(size: int, repeats: int) -> float:
    """CPU milliseconds of the CTC loss and its gradient."""
    from mindspore import Tensor, ops

    from src.loss import CTCLoss

    loss = CTCLoss("sum")
    logits = Tensor(np.random.default_rng(0).standard_normal((24, size, CLASSES)).astype(np.float32))
    _, label, length = (Tensor(part) for part in make_batch(size))

    def scalar(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return loss(x, a, b)[0]

    gradient = ops.value_and_grad(scalar)
    return cpu_time(lambda: gradient(logits, label, length)[0].asnumpy(), repeats)


def optimizer_time(repeats: int) -> float:
    """CPU milliseconds of SGD with Nesterov momentum over the network's parameters."""
    import mindspore as ms
    from mindspore import Tensor

    from src.crnn import build_network
    from src.training.optimizer import create_optimizer

    optimizer = create_optimizer("sgd", build_network("V2", CLASSES).trainable_params(), 0.95, True)
    gradients = tuple(Tensor(np.full(p.shape, 1e-3, np.float32)) for p in optimizer.parameters)

    @ms.jit
    def step(*parts: Tensor) -> object:
        return optimizer(parts)

    return cpu_time(lambda: step(*gradients), repeats)


def table(parts: dict[str, float], step: float, peak: float, size: int) -> str:
    """Rows by stage and layer, with shares of the step."""
    grouped: dict[str, dict[str, float]] = defaultdict(dict)
    for name, value in parts.items():
        owner, _, part = name.partition(": ")
        grouped[owner][part] = value
    lines = ["| part | ms a step | share | of it |", "|---|---|---|---|"]
    parts_in_order = sorted(name for name in grouped if name.startswith(("LSTM", "clipping", "stage")))
    for owner in [*parts_in_order, *(name for name in grouped if name not in parts_in_order)]:
        own = grouped[owner]
        total = sum(own.values())
        detail = [f"{part} {value:.1f}" for part, value in sorted(own.items(), key=lambda item: -item[1])]
        if owner.startswith("stage"):
            c, o, kernel, height, width = STAGES[int(owner.split()[1]) - 1]
            times = 1 if "backward" not in owner or c == 3 else 2
            flops = times * 2 * size * c * o * kernel ** 2 * height * width
            convolution = sum(own.get(part, 0) for part in ("products", "transforms", "weights packed"))
            rate = flops / 1e6 / convolution
            detail.append(f"convolution at {rate:.0f} GFLOP/s, {rate / peak:.2f} of the roofline")
        lines.append(f"| {owner} | {total:.1f} | {100 * total / step:.1f} % | {'; '.join(detail)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the convolutions")
    args = parser.parse_args()
    if min(args.batch, args.steps) < 1:
        parser.error("--batch and --steps must be 1 or more")
    peak = roofline()
    run = mindspore_step(args.batch, args.dtype)
    from src.onednn import operators

    run()
    read_times(operators._library)  # keeps times from here on
    seen: dict[str, list[float]] = defaultdict(list)
    steps = []
    for _ in range(args.steps + 1):
        start = time.process_time()
        run()
        steps.append(1000 * (time.process_time() - start))
        for name, value in read_times(operators._library).items():
            seen[name].append(value)
    step = statistics.median(steps[1:])
    parts = {name: statistics.median(values[1:]) for name, values in seen.items()}
    parts["CTC loss: forward and gradient"] = loss_time(args.batch, args.steps)
    parts["optimizer: SGD"] = optimizer_time(args.steps)
    parts["MindSpore and the rest: dense layers, copies, its own work"] = step - sum(parts.values())
    print(f"{machine_line(('mindspore', 'numpy'))}; batch {args.batch}, {args.dtype}, medians of {args.steps} "
          f"steps, CPU time; a step {step:.0f} ms, {step / args.batch:.1f} ms an image; roofline {peak:.0f} GFLOP/s\n")
    print(table(parts, step, peak, args.batch))


if __name__ == "__main__":
    main()
