"""Long runs: memory, open files, threads and time at the beginning and at the end.

    python benchmarks/long_runs.py [--kinds train mindspore onnx cpp] [--count 10000]

train: that many steps of train.py on drawn words, a tiny network (an eighth of the channels), with an evaluation after
every tenth epoch and a checkpoint every 500 steps. mindspore, onnx: that many predictions of one image each through the
class Recogniser, with the weights that come along. cpp: the C++ program reads that many images; it wants --program
(crnn_infer of ascend310_infer/build.sh) and --mindir, a model that its runtime loads. Looked at every half percent;
what is printed first is the state after a tenth of the run, when everything has been loaded and compiled. Times are CPU
time, so that other work on the machine matters less. Exit code 1 where memory grew by more than 5 %, or files or
threads by one.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402

WORDS, BATCH, WIDTH = 100, 1, 36  # a width that the longest of the words needs
# train.py with an eighth of the channels: what may leak is made at each step, and does not depend on their number.
TINY = """
import dataclasses
import train  # which checks input_size against the usual channels
from src.network import description
description.FEATURES //= 8
description.STAGES = tuple(dataclasses.replace(one, channels=one.channels // 8) for one in description.STAGES)
train.run_main(train.main)
"""
KINDS = ("train", "mindspore", "onnx", "cpp")
_GROWTH = 1.05
_STEP = re.compile(r"^epoch: (\d+) step: (\d+), loss is")


@dataclass(frozen=True)
class Sample:
    """The state of a process.

    Attributes:
        count: steps or predictions so far.
        memory: resident, in MiB.
        files: open file descriptors.
        threads: number of them.
        seconds: CPU time of the process and of its children that have ended.
    """

    count: int
    memory: float
    files: int
    threads: int
    seconds: float


def sample(count: int, process: int | str = "self") -> Sample:
    """Looks at a process, by number; Linux only.

    Raises:
        OSError: it has ended.
    """
    place = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    ticks = (place / "stat").read_text().rpartition(")")[2].split()[11:15]
    return Sample(count, int(status["VmRSS"].split()[0]) / 1024, len(os.listdir(place / "fd")),
                  int(status["Threads"]), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))


def report(name: str, samples: list[Sample], count: int) -> bool:
    """Prints the first and the last state; returns whether nothing grew."""
    used = [one for one in samples if one.count >= count // 10]
    if len(used) < 4:
        raise SystemExit(f"error: {name}: seen {len(used)} times only; take a larger --count")
    first, last = used[0], used[-1]
    middle = used[len(used) // 2]

    def each(begin: Sample, end: Sample) -> float:
        return 1000 * (end.seconds - begin.seconds) / (end.count - begin.count)

    print(f"{name}: after {first.count} and {last.count}: {first.memory:.0f} and {last.memory:.0f} MiB (at most "
          f"{max(one.memory for one in used):.0f}), {first.files} and {last.files} open files, {first.threads} and "
          f"{last.threads} threads; CPU time for each, first and second half: {each(first, middle):.2f} and "
          f"{each(middle, last):.2f} ms", flush=True)
    return last.memory <= first.memory * _GROWTH and last.files <= first.files and last.threads <= first.threads


def lines_of(process: subprocess.Popen) -> Iterator[str]:
    """What a program prints, line by line.

    Raises:
        SystemExit: it failed.
    """
    yield from process.stdout
    if process.wait():
        raise SystemExit(f"error: {Path(process.args[0]).name} ended with code {process.returncode}")


def train(count: int, folder: Path) -> list[Sample]:
    """Trains that many steps."""
    from tests.words import write_synth_set

    data = write_synth_set(folder / "set", train=WORDS)
    steps = WORDS // BATCH
    process = subprocess.Popen([
        sys.executable, "-c", TINY, f"--train_dataset_path={data}", f"--train_eval_dataset_path={data}",
        f"--output_dir={folder / 'run'}", f"--batch_size={BATCH}", "--save_checkpoint_steps=500",
        "--device_target=CPU", "--train_dataset=synth", "--train_eval_dataset=synth", "--run_eval=True",
        "--eval_start_epoch=1", "--eval_interval=10", f"--epoch_size={-(-count // steps)}", "--hidden_size=16",
        "--per_print_time=10", "--keep_checkpoint_max=3", "--optimizer=adamw", "--learning_rate=0.001",
        "--show_progress=never", "--num_parallel_workers=2", f"--image_width={WIDTH}"], cwd=ROOT,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    samples: list[Sample] = []
    for line in lines_of(process):
        if found := _STEP.match(line):
            done = (int(found[1]) - 1) * steps + int(found[2])
            if done % max(count // 200, 1) < 10 and done <= count - 10:  # not while it ends
                samples.append(sample(done, process.pid))
    return samples


def predict(kind: str, count: int) -> list[Sample]:
    """Reads one image that many times, in this process."""
    from src.recogniser import Recogniser
    from tests.words import draw_word

    images = [draw_word(word) for word in ("harbour", "street", "x", "1995", "recognition")]
    recogniser = Recogniser(ROOT / "pretrained" / "crnn_v2.ckpt", device_target="CPU") if kind == "mindspore" \
        else Recogniser()
    samples = []
    for number in range(1, count + 1):
        recogniser.read(images[number % len(images)])
        if number % max(count // 200, 1) == 0:
            samples.append(sample(number))
    return samples


def predict_cpp(count: int, folder: Path, program: str, mindir: str) -> list[Sample]:
    """Lets the C++ program read that many images, which are links to a few."""
    import cv2

    from tests.words import draw_word

    (folder / "images").mkdir()
    drawn = [folder / f"{word}.png" for word in ("harbour", "street", "x", "1995", "recognition")]
    for path in drawn:
        cv2.imwrite(str(path), draw_word(path.stem))
    for number in range(count):
        os.link(drawn[number % len(drawn)], folder / "images" / f"{number:06}.png")
    process = subprocess.Popen([program, f"--mindir_path={mindir}", f"--dataset_path={folder / 'images'}",
                                "--device_type=CPU", f"--output_path={folder / 'out'}"], stdout=subprocess.PIPE,
                               text=True, env={**os.environ, "GLOG_v": "3"})
    samples = []
    for number, _ in enumerate(lines_of(process), 1):
        if number % max(count // 200, 1) == 0 and number <= count * 0.98:  # what it printed last comes as it ends
            samples.append(sample(number, process.pid))
    return samples


def main() -> int:
    """Runs the kinds one after the other; returns 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS[:3])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--program", help="the C++ program crnn_infer")
    parser.add_argument("--mindir", help="a model for it")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # we are the process that predicts
    options = parser.parse_args()
    if options.inside:
        return int(not report(options.kinds[0], predict(options.kinds[0], options.count), options.count))
    if "cpp" in options.kinds and not (options.program and options.mindir):
        parser.error("cpp wants --program and --mindir")
    print(machine_line(), flush=True)
    flat = True
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(prefix="crnn-long-") as name:
            if kind == "train":
                flat &= report(kind, train(options.count, Path(name)), options.count)
            elif kind == "cpp":
                flat &= report(kind, predict_cpp(options.count, Path(name), options.program, options.mindir),
                               options.count)
            else:  # in a process of its own, so that nothing of another kind is in its memory
                flat &= subprocess.run([sys.executable, __file__, "--inside", "--kinds", kind,
                                        f"--count={options.count}"], check=False).returncode == 0
    return int(not flat)


if __name__ == "__main__":
    sys.exit(main())
