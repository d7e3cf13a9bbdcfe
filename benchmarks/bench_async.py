"""Does a device ever wait for the host? The real training loop and input pipeline against a simulated device; a table.

    python benchmarks/bench_async.py [--batch 16] [--step_ms 15] [--ahead 0 2] [--ranks 1 2] [--steps 300] [--repeats 5]

The device is a clock. It computes one step after the other, each for as long as the option says, from the moment it was
given the step and its last one was done; with several ranks, one process each, a step begins when all devices have been
given it, as the sum over their gradients makes it. Reading a result waits until its step is done. All else is real:
reading, decoding, batches, their copies into tensors, the loop, its log lines and tables. What a real device takes of
the host besides, to be given a step, can be added with --launch_ms.

The share is that of the steps which the device could have done in the time; the first ones do not count. The data are
drawn: an LMDB of JPEGs of about 1.5 kB in a temporary folder.
"""
import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_data import draw_words  # noqa: E402
from benchmarks.child import answer_of, tell  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

WARM_UP = 20  # steps of a turn that do not count


class Device:
    """Stands in for the train cell.

    Args:
        given: (ranks, steps) when each device was given each step, 0 before; shared by the processes.
        rank: of this one.
        seconds: of a step.
        launch: seconds of the host to give it one.
    """

    def __init__(self, given: np.ndarray, rank: int, seconds: float, launch: float) -> None:
        self.given, self.rank, self.seconds, self.launch = given, rank, seconds, launch
        self.done: list[float] = []
        self.step = 0

    def get_parameters(self) -> list:
        """None: nothing is saved."""
        return []

    def __call__(self, *inputs: object) -> "Result":
        """Gives the device a step."""
        until = time.monotonic() + self.launch
        while time.monotonic() < until:
            pass
        self.given[self.rank, self.step] = time.monotonic()
        self.step += 1
        return Result(self, self.step - 1)

    def wait(self, step: int) -> None:
        """Waits until a step is done."""
        while not self.given[:, step].all():
            time.sleep(0.0001)
        begins = max(self.given[:, step].max(), self.done[-1] if self.done else 0.0)
        self.done.append(begins + self.seconds)
        time.sleep(max(0.0, self.done[-1] - time.monotonic()))


class Result:
    """What a step found; results are read in order."""

    def __init__(self, device: Device, step: int) -> None:
        self.device, self.step = device, step

    def asnumpy(self) -> np.ndarray:
        """Waits for it."""
        self.device.wait(self.step)
        return np.array([1, 0, 0, 1, 0, 0, 0, 0], np.float32)


def worker(args: argparse.Namespace) -> None:
    """One rank: trains when it is told to, and says how its device fared."""
    answers = os.dup(1)
    os.dup2(2, 1)
    from src.dataset import create_dataset
    from src.distributed.ranks import Ranks
    from src.model_utils.callback import TrainMonitor
    from src.model_utils.config import load_config
    from src.training.records import Metrics
    from src.training.trainer import Position, Trainer

    ranks = Ranks(args.rank, args.ranks[0])
    cores = max(1, len(os.sched_getaffinity(0)) // ranks.size)
    config = load_config([f"--loader={args.loader}", f"--augment={args.augment}", "--show_progress=never"])
    with open(args.shared, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    given = np.frombuffer(memory, np.float64).reshape(ranks.size, -1)
    os.write(answers, b"ready\n")
    for line in sys.stdin:
        ahead = int(line)
        dataset = create_dataset("lmdb", args.lmdb, args.batch, ranks.size, ranks.rank, config=config, cores=cores)
        steps = dataset.get_dataset_size()
        device = Device(given, ranks.rank, args.step_ms / 1000, args.launch_ms / 1000)
        monitor = TrainMonitor(steps, 1, args.batch * ranks.size, show_progress="never")
        rates = np.zeros(steps, np.float32)
        trainer = Trainer(device, dataset, rates, rates, 1, 1.0, monitor, {}, ranks=ranks, steps_ahead=ahead)
        with tempfile.TemporaryDirectory() as folder, Metrics(Path(folder), 100, args.batch * ranks.size) as metrics:
            trainer.record_to(metrics)
            before = time.process_time()
            assert trainer.run(Position()) == 0
            host = 1000 * (time.process_time() - before) / steps
        counted = len(device.done) - WARM_UP
        share = counted * device.seconds / (device.done[-1] - device.done[WARM_UP - 1])
        os.write(answers, f"{json.dumps([share, host])}\n".encode())


def turn(workers: list[subprocess.Popen], shared: Path, ahead: int) -> list[float]:
    """Share of the device's rate, the least of the ranks, and CPU milliseconds of a rank's host a step."""
    with open(shared, "r+b") as file:
        file.write(bytes(shared.stat().st_size))
    for process in workers:
        tell(process, str(ahead))
    found = [json.loads(answer_of(f"rank {rank}", process)) for rank, process in enumerate(workers)]
    return [min(share for share, _ in found), max(host for _, host in found)]


def measure(args: argparse.Namespace, ranks: int, folder: Path) -> dict[int, list[list[float]]]:
    """What each depth gave in each turn; the depths take turns."""
    words, packed, shared = (folder / f"{name}_{ranks}" for name in ("words", "lmdb", "shared"))
    words.mkdir()
    draw_words(str(words), args.steps * args.batch * ranks)
    subprocess.run([sys.executable, str(ROOT / "convert_lmdb.py"), "-d", "iiit5k", "-p", str(words), "-o", str(packed)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shared.write_bytes(bytes(8 * ranks * args.steps))
    command = [sys.executable, __file__, "--lmdb", str(packed), "--shared", str(shared), "--ranks", str(ranks),
               *(f"--{name}={getattr(args, name)}" for name in
                 ("batch", "step_ms", "launch_ms", "steps", "loader", "augment"))]
    workers = [subprocess.Popen([*command, f"--rank={rank}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL, text=True)
               for rank in range(ranks)]
    try:
        for rank, process in enumerate(workers):
            answer_of(f"rank {rank}", process, "; run again with VERBOSE=1 to see why")
        turns: dict[int, list[list[float]]] = {ahead: [] for ahead in args.ahead}
        for _ in range(args.repeats):
            for ahead, found in turns.items():
                found.append(turn(workers, shared, ahead))
        return turns
    finally:
        for process in workers:
            process.kill()
            process.communicate()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images of a rank's step")
    parser.add_argument("--step_ms", type=float, default=15.0)
    parser.add_argument("--launch_ms", type=float, default=0.0, help="of the host, to give the device a step")
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 2], help="values of steps_ahead")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=300, help="of a turn (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--loader", default="threads")
    parser.add_argument("--augment", default="none")
    for name in ("lmdb", "shared"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank is not None:
        worker(args)
        return
    machine = machine_line(("mindspore", "numpy", "opencv-python-headless"))  # before the load is ours
    with tempfile.TemporaryDirectory() as folder:
        print(f"{machine}; batches of {args.batch}, a step of {args.step_ms:g} ms, {args.launch_ms:g} ms to give it, "
              f"loader {args.loader}, augment {args.augment}; medians of {args.repeats} interleaved turns\n\n"
              "| ranks | steps_ahead | share of the device's rate | least and most | CPU ms of the host a step |\n"
              "|---|---|---|---|---|", flush=True)
        for ranks in args.ranks:
            for ahead, found in measure(args, ranks, Path(folder)).items():
                shares = [100 * share for share, _ in found]
                print(f"| {ranks} | {ahead} | {statistics.median(shares):.1f} % | {min(shares):.1f}, {max(shares):.1f} "
                      f"| {statistics.median(host for _, host in found):.2f} |", flush=True)


if __name__ == "__main__":
    main()
