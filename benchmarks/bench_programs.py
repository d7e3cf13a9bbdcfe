"""What a user waits for around the training steps: --help, the first step, overhead, memory. Markdown tables.

    python benchmarks/bench_programs.py [--only help start overhead memory] [--repeats 5] [--steps 2000]

`start` counts from the call of train.py to the end of its first step at batch 64, compilation of the graph included
(the C++ operators are in their cache, as after the first run on a machine). `overhead` is the share of a training
loop that is neither the train cell nor the reading of the batch: learning rate, loss log, progress; decoding for the
metric is measured beside it. A repeat takes about 40 s of CPU time, and the program ends where one takes 10 minutes.
These three are medians of the repeats, and what is compared takes turns. `memory` is one run: it trains 2,000 steps at
batch 64 and reads the memory of the process at every step (VmRSS, and RssAnon, which leaves files out), with a
checkpoint after each quarter; it takes half an hour.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import output_of, reason  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

PROGRAMS = ("train.py", "eval.py", "predict.py", "export.py", "eval_onnx.py", "benchmark.py", "generate_synth.py")
BATCH = 64
WARM_UP, STEPS = 3, 10  # of a run of the overhead part: steps that do not count, steps that do
LIMIT = 600.0  # seconds of such a run
MEMORY = {"VmRSS": "all resident", "RssAnon": "without files"}  # lines of /proc/PID/status


class EnoughStepsError(Exception):
    """Ends a run of the overhead part."""


def run_help(repeats: int) -> None:
    """Times --help of the programs in turns."""
    times: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    for _ in range(repeats):
        for program in PROGRAMS:
            begin = time.perf_counter()
            output_of(f"{program} --help", [sys.executable, str(ROOT / program), "--help"])
            times[program].append(time.perf_counter() - begin)
    print(f"| command, median of {repeats} turns | s (aim: 0.5) |\n|---|---|")
    for program, found in times.items():
        print(f"| python {program} --help | {statistics.median(found):.2f} |")


def train_command(folder: str, *options: str) -> list[str]:
    """Command of a training on the embedded words."""
    from src.data.embedded import embedded_set
    return [sys.executable, "-u", str(ROOT / "train.py"), "--device_target=CPU", "--train_dataset=synth",
            f"--train_dataset_path={embedded_set()}", f"--batch_size={BATCH}", f"--output_dir={folder}",
            "--optimizer=adamw", "--learning_rate=0.001", "--loss_reduction=mean", "--show_progress=never", *options]


def run_start(repeats: int) -> None:
    """Times train.py from its call to the line of its first step."""
    names = {"own operators": (), "own operators, bf16": ("--amp=bf16",), "stock operators": ("--cpu_operators=stock",)}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, options in names.items():
            with tempfile.TemporaryDirectory() as folder:  # a folder belongs to one run
                command = train_command(folder, "--epoch_size=1", "--per_print_time=1", "--steps_ahead=0",
                                        *options)
                begin = time.perf_counter()
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
                    lines = []
                    for line in child.stdout:
                        lines.append(line)
                        if "step: 1," in line:
                            times[name].append(time.perf_counter() - begin)
                            child.kill()
                            break
            if not times[name] and "--amp=bf16" in options:
                print(f"not measured: {name}: {lines[-1].strip()}", file=sys.stderr)
            elif "step: 1," not in lines[-1]:
                raise SystemExit(f"error: train.py ended before its first step: {lines[-1].strip()}; try: "
                                 + " ".join(command))
    print(f"| train.py, batch {BATCH}, median of {repeats} turns | s from call to first finished step (aim: 5) |\n"
          "|---|---|")
    for name, found in times.items():
        print(f"| {name} | {statistics.median(found):.1f} |" if found else f"| {name} | not here |")


def overhead_worker(folder: str) -> None:
    """Trains some steps with clocks around the parts of the loop and prints their seconds as JSON."""
    from src.crnn_for_train import LOSS
    from src.distributed.communication import ranks_of
    from src.model_utils.config import load_config
    from src.model_utils.context import set_up_context
    from src.training.records import Metrics
    from src.training.setup import build_trainer
    options = [item for item in train_command(folder)[3:] if item.startswith("--")]
    config = load_config([*options, "--epoch_size=1", "--save_checkpoint=False", "--per_print_time=10"])
    set_up_context(config, own_operators=True)
    trainer, start = build_trainer(config, Path(folder), ranks_of(config))
    cell, batches = trainer.cell, trainer.dataset.epoch
    spent = {"cell": 0.0, "read": 0.0}
    cpu = {"records": 0.0, "step": 0.0}
    steps: list[float] = []
    loss = {}

    class Timed:
        """The train cell with a clock."""

        def __call__(self, *inputs):
            begin = time.perf_counter()
            results = cell(*inputs)
            loss["value"] = float(results.asnumpy()[LOSS])  # waits for the step
            steps.append(time.perf_counter())
            spent["cell"] += steps[-1] - begin
            if len(steps) == WARM_UP:  # compiled
                spent.update(cell=0.0, read=0.0)
                cpu.update(records=0.0, step=time.process_time())
            if len(steps) == WARM_UP + STEPS:
                raise EnoughStepsError
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

    class TimedMetrics(Metrics):
        """What a run leaves in its folder, a line every 5 steps, with a clock."""

        def note_step(self, *values):
            begin = time.thread_time()
            super().note_step(*values)
            cpu["records"] += time.thread_time() - begin

    trainer.cell, trainer.dataset.epoch = Timed(), reading
    trainer.record_to(TimedMetrics(Path(folder), 5, BATCH, events=True))
    try:
        trainer.run(start)
    except EnoughStepsError:
        whole = steps[-1] - steps[WARM_UP - 1]
        cpu["step"] = time.process_time() - cpu["step"]
    else:
        raise SystemExit(f"error: the embedded words are fewer than {WARM_UP + STEPS} batches")

    import numpy as np

    from src.common.charset import Charset
    from src.evaluation.crnn_accuracy import CRNNAccuracy
    charset = Charset.from_config(config.label_dict)
    metric = CRNNAccuracy(charset)
    scores = np.random.default_rng(0).normal(size=(24, BATCH, charset.class_num)).astype(np.float32)
    labels = np.full((BATCH, 23), charset.blank, np.int32)
    labels[:, :6] = 1
    begin = time.perf_counter()
    for _ in range(20):
        metric.update(scores, labels)
    decode = (time.perf_counter() - begin) / 20
    step, cell, read = whole / STEPS, spent["cell"] / STEPS, spent["read"] / STEPS
    print(json.dumps({"step": step, "cell": cell, "read": read, "rest": step - cell - read, "decode": decode,
                      "records": cpu["records"] / STEPS, "cpu": cpu["step"] / STEPS}))


def run_overhead(repeats: int) -> None:
    """Prints the parts of a training step, from so many runs of train.py's loop."""
    runs: list[dict[str, float]] = []
    for number in range(repeats):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            text = output_of("the training of the overhead part", [sys.executable, __file__, "--worker", folder], LIMIT)
        runs.append(json.loads(text.splitlines()[-1]))
        print(f"run {number + 1} of {repeats}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    step = statistics.median(run["step"] for run in runs)
    print(f"| part of a training step at batch {BATCH} ({1000 * step:.0f} ms), medians of {repeats} runs of {STEPS} "
          "steps | ms | share (aim of the last two: 1 %) |\n|---|---|---|")
    for name, key in (("train cell", "cell"), ("waiting for the batch", "read"),
                      ("everything else: rates, log, progress", "rest"),
                      ("decoding and metric of such a batch", "decode")):
        seconds = statistics.median(run[key] for run in runs)
        share = statistics.median(run[key] / run["step"] for run in runs)
        print(f"| {name} | {1000 * seconds:.2f} | {100 * share:.2f} % |")
    seconds, share = (statistics.median(values) for values in (
        [run["records"] for run in runs], [run["records"] / run["cpu"] for run in runs]))
    print(f"| metrics.csv and TensorBoard events, a line every 5 steps; CPU time | {1000 * seconds:.2f} "
          f"| {100 * share:.2f} % |")


def memory_mib(pid: int) -> tuple[float, ...]:
    """Memory of a process in MiB, in the order of MEMORY."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(tuple(MEMORY))}
    return tuple(int(found.get(key, 0)) / 1024 for key in MEMORY)


def run_memory(steps: int, options: list[str]) -> None:
    """Trains once and prints the memory at some steps of the run, its largest, and that of every tenth of the run."""
    saved = steps // 4
    seen: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        command = train_command(folder, f"--epoch_size={steps // 187 + 1}", "--per_print_time=1",
                                f"--save_checkpoint_steps={saved}", *options)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            for line in child.stdout:
                if re.search(r"epoch: \d+ step: \d+", line):
                    seen.append(memory_mib(child.pid))
                if len(seen) >= steps:
                    break
            else:
                raise SystemExit(f"error: train.py ended after {len(seen)} of {steps} steps, {reason(child.wait())}; "
                                 f"try: {' '.join(command)}")
            child.kill()
    print(f"| train.py {' '.join(options)}, batch {BATCH}, one run of {steps:,} steps | "
          + " | ".join(f"{key}, MiB ({what})" for key, what in MEMORY.items())
          + " |\n|---" + "|---" * len(MEMORY) + "|")

    def row(what: str, values: Iterable[float]) -> None:
        print(f"| {what} | " + " | ".join(f"{value:,.0f}" for value in values) + " |")

    row("after step 1", seen[0])
    row(f"after the first checkpoint (step {saved + 1:,})", seen[saved])  # step `saved` is printed before it is saved
    row(f"at the end (step {steps:,})", seen[-1])
    row("largest (aim of VmRSS: 3,072, flat)", map(max, zip(*seen, strict=True)))
    for tenth in range(10):
        first, last = steps * tenth // 10, steps * (tenth + 1) // 10
        row(f"largest of steps {first + 1:,} to {last:,}", map(max, zip(*seen[first:last], strict=True)))


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("help", "start", "overhead", "memory")
    parser.add_argument("--only", nargs="+", choices=parts, default=["help", "start", "overhead"])
    parser.add_argument("--repeats", type=int, default=5, help="of all parts but memory (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=2000, help="of the memory run (default: %(default)s)")
    parser.add_argument("--amp", choices=("none", "bf16"), default="none", help="of the memory run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        overhead_worker(args.worker)
        return
    if args.steps < 10 or args.repeats < 1:
        parser.error("--steps must be 10 or more, --repeats 1 or more")
    print(f"{machine_line()}; threads {os.environ.get('OMP_NUM_THREADS', 'all')}\n", flush=True)
    for part in args.only:
        {"help": lambda: run_help(args.repeats), "start": lambda: run_start(args.repeats),
         "overhead": lambda: run_overhead(args.repeats),
         "memory": lambda: run_memory(args.steps, [f"--amp={args.amp}"])}[part]()
        print(flush=True)


if __name__ == "__main__":
    main()
