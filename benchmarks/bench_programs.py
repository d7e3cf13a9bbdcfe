"""What a user waits for around the training steps: --help, the first step, overhead, memory. Markdown tables.

    python benchmarks/bench_programs.py [--only help start overhead memory] [--repeats 5] [--steps 2000]

`start` counts from the call of train.py to the end of its first step at batch 64, compilation of the graph included
(the C++ operators are in their cache, as after the first run on a machine). `overhead` is the share of a training
loop that is neither the train cell nor the reading of the batch: learning rate, loss log, progress, decoding for the
metric is measured beside it. `memory` trains 2,000 steps at batch 64 and watches the process; it takes half an hour.
"""
import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PROGRAMS = ("train.py", "eval.py", "predict.py", "export.py", "eval_onnx.py", "benchmark.py", "generate_synth.py")


def run_help(repeats: int) -> None:
    """Times --help of the programs in turns."""
    times: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    for _ in range(repeats):
        for program in PROGRAMS:
            begin = time.perf_counter()
            subprocess.run([sys.executable, str(ROOT / program), "--help"], check=True, stdout=subprocess.DEVNULL)
            times[program].append(time.perf_counter() - begin)
    print("| command | s (aim: 0.5) |\n|---|---|")
    for program, found in times.items():
        print(f"| python {program} --help | {statistics.median(found):.2f} |")


def train_command(folder: str, *options: str) -> list[str]:
    """Command of a training on the embedded words."""
    from src.embedded import embedded_set
    return [sys.executable, "-u", str(ROOT / "train.py"), "--device_target=CPU", "--train_dataset=synth",
            f"--train_dataset_path={embedded_set()}", "--batch_size=64", f"--output_dir={folder}", "--optimizer=adamw",
            "--learning_rate=0.001", "--loss_reduction=mean", "--show_progress=never", *options]


def run_start(repeats: int) -> None:
    """Times train.py from its call to the line of its first step."""
    print("| train.py, batch 64 | s from call to first finished step (aim: 20) |\n|---|---|")
    names = {"own operators": (), "own operators, bf16": ("--amp=bf16",), "stock operators": ("--cpu_operators=stock",)}
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for name, options in names.items():
                command = train_command(folder, "--epoch_size=1", "--per_print_time=1", *options)
                begin = time.perf_counter()
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
                    if not any("step: 1," in line for line in child.stdout):
                        raise SystemExit(f"train.py ended before its first step; try: {' '.join(command)}")
                    times[name].append(time.perf_counter() - begin)
                    child.kill()
    for name, found in times.items():
        print(f"| {name} | {statistics.median(found):.1f} |")


def overhead_worker(folder: str) -> None:
    """Trains some steps with clocks around the parts of the loop and prints their seconds as JSON."""
    from src.model_utils.config import load_config
    from src.model_utils.context import set_up_context
    from src.model_utils.distributed import ranks_of
    from train import build_trainer
    options = [item for item in train_command(folder)[3:] if item.startswith("--")]
    config = load_config([*options, "--epoch_size=1", "--save_checkpoint=False", "--per_print_time=10"])
    set_up_context(config, own_operators=True)
    trainer, start = build_trainer(config, Path(folder), ranks_of(config))
    cell, batches = trainer.cell, trainer.dataset.epoch
    spent = {"cell": 0.0, "read": 0.0}
    steps: list[float] = []
    loss = {}

    class Timed:
        """The train cell with a clock; the optimizer is looked up through it."""

        optimizer = cell.optimizer

        def __call__(self, *inputs):
            begin = time.perf_counter()
            results = cell(*inputs)
            loss["value"] = float(results[0].asnumpy())  # waits for the step
            steps.append(time.perf_counter())
            spent["cell"] += steps[-1] - begin
            if len(steps) == 5:  # compiled and warm
                spent.update(cell=0.0, read=0.0)
            if len(steps) == 45:
                raise StopIteration
            return results

    def reading(*arguments):
        iterator = batches(*arguments)
        while True:
            begin = time.perf_counter()
            batch = next(iterator, None)
            spent["read"] += time.perf_counter() - begin
            if batch is None:
                return
            yield batch

    trainer.cell, trainer.dataset.epoch = Timed(), reading
    with contextlib.suppress(StopIteration, RuntimeError):
        trainer.run(start)
    whole = steps[-1] - steps[4]

    import numpy as np

    from src.charset import Charset
    from src.crnn_accuracy import CRNNAccuracy
    charset = Charset.from_config(config.label_dict)
    metric = CRNNAccuracy(charset)
    scores = np.random.default_rng(0).normal(size=(24, 64, charset.class_num)).astype(np.float32)
    labels = np.full((64, 23), charset.blank, np.int32)
    labels[:, :6] = 1
    begin = time.perf_counter()
    for _ in range(20):
        metric.update(scores, labels)
    print(json.dumps({"whole": whole, **spent, "steps": len(steps) - 5,
                      "decode": (time.perf_counter() - begin) / 20}))


def run_overhead() -> None:
    """Prints the shares of a training step."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, __file__, "--worker", folder], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    step = found["whole"] / found["steps"]
    rest = found["whole"] - found["cell"] - found["read"]
    print(f"| part of a training step at batch 64 ({1000 * step:.0f} ms) | ms | share (aim of the last two: 1 %) |\n"
          "|---|---|---|")
    for name, seconds in (("train cell", found["cell"] / found["steps"]),
                          ("waiting for the batch", found["read"] / found["steps"]),
                          ("everything else: rates, log, progress", rest / found["steps"]),
                          ("decoding and metric of such a batch", found["decode"])):
        print(f"| {name} | {1000 * seconds:.2f} | {100 * seconds / step:.2f} % |")


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def run_memory(steps: int, options: list[str]) -> None:
    """Trains and prints the resident memory by tenths of the run."""
    seen: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        command = train_command(folder, f"--epoch_size={steps // 187 + 1}", "--per_print_time=1", *options)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            for line in child.stdout:
                match = re.search(r"epoch: \d+ step: \d+", line)
                if match:
                    seen.append((len(seen) + 1, resident_mib(child.pid)))
                if len(seen) >= steps:
                    break
            child.kill()
    print(f"| steps, batch 64 {' '.join(options)} | largest resident memory, MiB (aim: 3,072, flat) |\n|---|---|")
    for tenth in range(10):
        part = seen[len(seen) * tenth // 10:len(seen) * (tenth + 1) // 10]
        print(f"| {part[0][0]} to {part[-1][0]} | {max(mib for _, mib in part):,.0f} |")


def main() -> None:
    """Measures what was asked for."""
    from benchmarks.machine import machine_line
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("help", "start", "overhead", "memory")
    parser.add_argument("--only", nargs="+", choices=parts, default=["help", "start", "overhead"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000, help="of the memory run (default: %(default)s)")
    parser.add_argument("--amp", choices=("none", "bf16"), default="none", help="of the memory run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        overhead_worker(args.worker)
        return
    print(f"{machine_line()}; threads {os.environ.get('OMP_NUM_THREADS', 'all')}; medians of {args.repeats}\n")
    for part in args.only:
        {"help": lambda: run_help(args.repeats), "start": lambda: run_start(args.repeats), "overhead": run_overhead,
         "memory": lambda: run_memory(args.steps, [f"--amp={args.amp}"])}[part]()
        print(flush=True)


if __name__ == "__main__":
    main()
