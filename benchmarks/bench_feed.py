"""The sharded input pipeline against simulated cards: does every card get its batch in time? A Markdown table.

    python benchmarks/bench_feed.py --lmdb FOLDER [--cards 8] [--batch 64] [--step_ms 36] [--repeats 5] [--steps 60]
    python benchmarks/bench_feed.py --lmdb FOLDER --settings 8x64@36 8x16@15.5 2x64@36+light
    python benchmarks/bench_feed.py --lmdb FOLDER --cold_reads 3000
    python benchmarks/bench_feed.py --lmdb FOLDER --cold_batches 100 [--batch 64] [--workers 2] [--augment light]

One process a card, each with its own shard of the LMDB, as in a distributed run. A card is played by a clock: it asks
for a batch, "computes" for the time of a step, and asks for the next one. A card that has to wait after its clock ran
out starves. Published step times: the model zoo's CRNN V2 on 8 V100 (batch 64 each) 36 ms, its V1 on 8 Ascend 910
(batch 64 each) 118 ms, MindOCR's CRNN VGG7 on 8 Ascend 910* (batch 16 each) 15.47 ms; 14,222, 4,339 and 8,274 images/s.
Without --step_ms the cards take batches as fast as they can.

--settings compares several settings, CARDSxBATCH@MS[+AUGMENT], which take turns. Every turn starts its cards anew;
start-up and the first batches of each do not count. The table has the medians of the turns, of late batches the sum.

--cold_reads asks instead what reading an image takes that is not in memory: so many images at random, one at a time,
after the system was told to forget the file; then the same images again. Nothing else may have the LMDB open.

--cold_batches lets the loader (--loader=processes) make so many batches of an epoch right after the system was told to
forget the file; then the same batches again, which are in memory now. Beside it stands what the disk gives past the
page cache: pages of 4 KiB at random, one or 32 at a time, and one MiB after the other. Files of up to 64 MiB are read
when they are opened, so they are never cold.
"""
import argparse
import contextlib
import itertools
import json
import mmap
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import answer_of, output_of, tell  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import run_main  # noqa: E402

WARM_UP = 5  # batches of a turn that do not count, more than are made ahead


class Setting(NamedTuple):
    """What a row of the table is about."""

    cards: int
    batch: int
    step_ms: float
    augment: str

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Reads CARDSxBATCH@MS[+AUGMENT]."""
        match = re.fullmatch(r"(\d+)x(\d+)@(\d+(?:\.\d+)?)(?:\+(\w+))?", text)
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not CARDSxBATCH@MS[+AUGMENT], such as 8x64@36")
        return cls(int(match[1]), int(match[2]), float(match[3]), match[4] or "")

    def options(self) -> list[str]:
        """The options that say the same."""
        return [f"--{name}={value}" for name, value in self._asdict().items()]


class Turn(NamedTuple):
    """What the cards of a turn saw."""

    rate: float  # images a second of all cards
    late: int  # batches
    starved: float  # share of the time
    cpu: float  # seconds an image
    mib: float  # of the largest card


def card(args: argparse.Namespace) -> None:
    """One card: opens its shard, waits for the common start, and takes its batches."""
    from src.dataset import create_dataset
    from src.model_utils.config import configured
    config = configured(num_parallel_workers=args.workers, show_progress="never")
    if args.augment:
        config.augment = args.augment
    dataset = create_dataset("lmdb", args.lmdb, args.batch, args.cards, args.card, config=config)
    batches = (batch for epoch in range(10**6) for batch in dataset.epoch(epoch))
    next(batches)
    print("ready", flush=True)
    if not sys.stdin.readline():  # nobody waits for this card any more
        return
    step = args.step_ms / 1000
    for number in range(WARM_UP + args.steps):
        if number == WARM_UP:
            waited, late = 0.0, 0
            before = resource.getrusage(resource.RUSAGE_SELF)
            begin = time.perf_counter()
        asked = time.perf_counter()
        next(batches)
        wait = time.perf_counter() - asked
        if number >= WARM_UP:
            waited += wait
            late += wait > 0.002  # handing over a ready batch takes microseconds
        if step:
            time.sleep(step)
    elapsed = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"elapsed": elapsed, "waited": waited, "late": late, "cpu": cpu,
                      "rss": after.ru_maxrss / 1024}), flush=True)


def turn(args: argparse.Namespace, setting: Setting) -> Turn:
    """Starts the cards of a setting together."""
    command = [sys.executable, __file__, f"--lmdb={args.lmdb}", f"--steps={args.steps}", f"--workers={args.workers}",
               *setting.options()]
    cards: list[subprocess.Popen] = []
    try:
        for number in range(setting.cards):
            cards.append(subprocess.Popen([*command, f"--card={number}"], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True))
        for number, process in enumerate(cards):
            answer_of(f"card {number}", process, "; see above")
        for process in cards:
            tell(process)
        found = [json.loads(answer_of(f"card {number}", process, "; see above"))
                 for number, process in enumerate(cards)]
    finally:
        for process in cards:
            process.kill()  # they have answered, or nobody waits for their answer
            process.communicate()
    images = setting.cards * setting.batch * args.steps
    elapsed = [result["elapsed"] for result in found]
    return Turn(images / max(elapsed), sum(result["late"] for result in found),
                sum(result["waited"] for result in found) / sum(elapsed),
                sum(result["cpu"] for result in found) / images, max(result["rss"] for result in found))


def cold_reads(args: argparse.Namespace) -> None:
    """Reads images of the LMDB at random, at first from the disk and then from memory, and prints the times."""
    import lmdb
    times: list[list[float]] = [[], []]
    for seed in range(args.repeats):
        with open(Path(args.lmdb, "data.mdb"), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with lmdb.open(args.lmdb, readonly=True, lock=False, readahead=False) as environment:
            with environment.begin() as transaction:
                count = int(transaction.get(b"num-samples"))
            keys = [b"image-%09d" % number for number in random.Random(seed).choices(range(1, count + 1),
                                                                                     k=args.cold_reads)]
            for found in times:
                begin = time.perf_counter()
                for key in keys:
                    with environment.begin() as transaction:
                        transaction.get(key)
                found.append((time.perf_counter() - begin) / args.cold_reads)
    cold, warm = (1e6 * statistics.median(found) for found in times)
    print(f"{machine_line(('lmdb',))}; medians of {args.repeats} turns of {args.cold_reads:,} images of {count:,}\n\n"
          f"| reading an image | us |\n|---|---|\n| from the disk | {cold:.0f} |\n| from memory | {warm:.1f} |")


def disk(path: Path, size: int, at_once: int, seed: int, seconds: float = 2.0) -> float:
    """Bytes a second that the disk gives past the page cache, so many pieces at a time; small ones at random."""
    blocks = max(1, os.path.getsize(path) // size)
    random_places = random.Random(seed)
    start = random_places.randrange(blocks)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECT)

    def read(number: int) -> int:
        place = random_places.randrange(blocks) if size < 1 << 20 else (start + number) % blocks
        with mmap.mmap(-1, size) as buffer:
            return os.preadv(handle, [buffer], place * size)

    begin, found = time.perf_counter(), 0
    with ThreadPoolExecutor(at_once) as pool:
        for first in itertools.count(0, 8 * at_once):
            found += sum(pool.map(read, range(first, first + 8 * at_once)))
            if time.perf_counter() - begin > seconds:
                break
    os.close(handle)
    return found / (time.perf_counter() - begin)


def cold_worker(args: argparse.Namespace) -> None:
    """Makes batches of an epoch, at first from the disk and then from memory, and prints images a second as JSON."""
    from src.dataset import create_dataset
    from src.model_utils.config import configured
    with open(Path(args.lmdb, "data.mdb"), "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    config = configured(num_parallel_workers=args.workers, show_progress="never", loader="processes", seed=args.seed,
                        **({"augment": args.augment} if args.augment else {}))
    begin = time.perf_counter()
    dataset = create_dataset("lmdb", args.lmdb, args.batch, config=config)
    found = {"opened": time.perf_counter() - begin}
    for name in ("cold", "warm"):
        begin = time.perf_counter()
        with contextlib.closing(dataset.epoch(0)) as batches:
            images = sum(len(batch) for batch in itertools.islice(batches, args.cold_batches))
        found[name] = images / (time.perf_counter() - begin)
    print(json.dumps(found))


def cold_batches(args: argparse.Namespace) -> None:
    """Compares the loader from the disk with the disk itself and with the loader from memory."""
    path = Path(args.lmdb, "data.mdb")
    command = [sys.executable, __file__, f"--lmdb={args.lmdb}", f"--batch={args.batch}", f"--workers={args.workers}",
               f"--cold_batches={args.cold_batches}", f"--augment={args.augment}"]
    rows: dict[str, list[float]] = {}
    for seed in range(args.repeats):
        for name, size, at_once in (("disk: 4 KiB at random, one at a time", 4096, 1),
                                    ("disk: 4 KiB at random, 32 at a time", 4096, 32)):
            rows.setdefault(f"{name}, reads/s", []).append(disk(path, size, at_once, seed) / size)
        rows.setdefault("disk: one MiB after the other, MiB/s", []).append(disk(path, 1 << 20, 4, seed) / (1 << 20))
        found = json.loads(output_of("the loader", [*command, "--cold_worker", f"--seed={seed}"]))
        rows.setdefault("opening the LMDB, cold, s", []).append(found["opened"])
        for state in ("cold", "warm"):
            rows.setdefault(f"loader, {state}, images/s", []).append(found[state])
    print(f"{machine_line(('numpy', 'opencv-python-headless', 'lmdb'))}; {os.path.getsize(path) / 1e9:.1f} GB; medians "
          f"of {args.repeats} turns of {args.cold_batches} batches of {args.batch}, {args.workers} workers"
          f"{f', --augment={args.augment}' if args.augment else ''}\n\n| what | |\n|---|---|")
    for name, values in rows.items():
        print(f"| {name} | {statistics.median(values):,.{1 if name.endswith(', s') else 0}f} |")


def run(args: argparse.Namespace, settings: list[Setting]) -> None:
    """Lets the settings take turns and prints what their cards saw."""
    print(f"{machine_line(('numpy', 'opencv-python-headless', 'lmdb'))}; medians of {args.repeats} "
          f"{'interleaved ' if len(settings) > 1 else ''}turns of {args.steps} steps\n", flush=True)
    turns: list[list[Turn]] = [[] for _ in settings]
    for _ in range(args.repeats):
        for setting, found in zip(settings, turns, strict=True):
            found.append(turn(args, setting))
    print("| cards x batch, step | asked for, images/s | given, images/s | batches that came late, all turns "
          "| time starved | CPU us an image | MiB of the largest card |\n|---|---|---|---|---|---|---|")
    for setting, found in zip(settings, turns, strict=True):
        cards, batch, step_ms, augment = setting
        middle = {name: statistics.median(values) for name, values in
                  zip(Turn._fields, zip(*found, strict=True), strict=True)}
        name = f"{cards} x {batch}{f', {step_ms:g} ms' if step_ms else ''}{f', --augment={augment}' if augment else ''}"
        demand = f"{1000 * cards * batch / step_ms:,.0f}" if step_ms else "as fast as it can"
        print(f"| {name} | {demand} | {middle['rate']:,.0f} "
              f"| {sum(one.late for one in found):,} of {args.repeats * cards * args.steps:,} "
              f"| {100 * middle['starved']:.1f} % | {1e6 * middle['cpu']:.0f} | {middle['mib']:.0f} |")


def main(argv: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmdb", required=True, help="LMDB folder")
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--step_ms", type=float, default=0.0, help="time of a step; 0: as fast as it can")
    parser.add_argument("--augment", default="", help="value of the option augment")
    parser.add_argument("--settings", type=Setting.parse, nargs="+", metavar="CARDSxBATCH@MS[+AUGMENT]",
                        help="rows of the table, instead of these four options; MS 0: as fast as it can")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each setting (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="of a turn (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads a card (default: %(default)s)")
    parser.add_argument("--cold_reads", type=int, default=0, metavar="N",
                        help="measure N reads from the disk instead, one at a time")
    parser.add_argument("--cold_batches", type=int, default=0, metavar="N",
                        help="measure the loader's first N batches from the disk instead")
    parser.add_argument("--card", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cold_worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    settings = args.settings or [Setting(args.cards, args.batch, args.step_ms, args.augment)]
    least = min(args.repeats, args.steps, *(min(setting[:2]) for setting in settings))
    if min(args.cold_reads, args.cold_batches) < 0 or least < 1:
        parser.error("--repeats, --steps, cards and batches must be 1 or more, --cold_reads and --cold_batches 0 or "
                     "more")
    if args.cold_worker:
        cold_worker(args)
    elif args.cold_batches:
        cold_batches(args)
    elif args.cold_reads:
        cold_reads(args)
    elif args.card is None:
        run(args, settings)
    else:
        card(args)


if __name__ == "__main__":
    run_main(main)
