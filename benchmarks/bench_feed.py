"""The sharded input pipeline against simulated cards: does every card get its batch in time? A Markdown table.

    python benchmarks/bench_feed.py --lmdb FOLDER [--cards 8] [--batch 64] [--step_ms 36] [--steps 300]

One process a card, each with its own shard of the LMDB, as in a distributed run. A card is played by a clock: it asks
for a batch, "computes" for the time of a step, and asks for the next one. A card that has to wait after its clock ran
out starves. Published step times of the model zoo's CRNN: 36 ms on 8 V100 (batch 64 each), 15.5 ms on 8 Ascend 910
(batch 16 each); 14,222 and 8,258 images/s. Without --step_ms the cards take batches as fast as they can.
"""
import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def card(args: argparse.Namespace) -> None:
    """One card: opens its shard, waits for the common start, and takes its batches."""
    from src.dataset import create_dataset
    from src.model_utils.config import load_config
    options = {**load_config([]).to_dict(), "num_parallel_workers": args.workers, "show_progress": "never"}
    if args.augment:
        options["augment"] = args.augment
    dataset = create_dataset("lmdb", args.lmdb, args.batch, args.cards, args.card, config=SimpleNamespace(**options))
    batches = (batch for epoch in range(10**6) for batch in dataset.epoch(epoch))
    for _ in range(5):
        next(batches)
    print("ready", flush=True)
    sys.stdin.readline()
    step = args.step_ms / 1000
    waited, late = 0.0, 0
    before = resource.getrusage(resource.RUSAGE_SELF)
    begin = time.perf_counter()
    for _ in range(args.steps):
        asked = time.perf_counter()
        next(batches)
        wait = time.perf_counter() - asked
        waited += wait
        late += wait > 0.002  # handing over a ready batch takes microseconds
        if step:
            time.sleep(step)
    elapsed = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"elapsed": elapsed, "waited": waited, "late": late, "cpu": cpu,
                      "rss": after.ru_maxrss / 1024}), flush=True)


def run(args: argparse.Namespace) -> None:
    """Starts the cards together and prints what they saw."""
    from benchmarks.machine import machine_line
    cards = []
    for number in range(args.cards):
        command = [sys.executable, __file__, *sys.argv[1:], "--card", str(number)]
        cards.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in cards:
        if process.stdout.readline() != "ready\n":
            raise SystemExit("a card could not start, see above")
    for process in cards:
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.stdout.readline()) for process in cards]
    for process in cards:
        process.wait()
    images = args.cards * args.batch * args.steps
    elapsed = max(result["elapsed"] for result in found)
    cpu = sum(result["cpu"] for result in found)
    demand = f"{1000 * args.cards * args.batch / args.step_ms:,.0f}" if args.step_ms else "as fast as it can"
    print(f"{machine_line(('numpy', 'opencv-python-headless', 'lmdb'))}\n\n"
          "| cards x batch | asked for, images/s | given, images/s | batches that came late | time starved "
          "| CPU us an image | MiB a card |\n|---|---|---|---|---|---|---|")
    print(f"| {args.cards} x {args.batch}{', augmented' if args.augment else ''} | {demand} | {images / elapsed:,.0f} "
          f"| {sum(result['late'] for result in found)} of {args.cards * args.steps} "
          f"| {100 * sum(result['waited'] for result in found) / sum(result['elapsed'] for result in found):.1f} % "
          f"| {1e6 * cpu / images:.0f} | {max(result['rss'] for result in found):.0f} |")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmdb", required=True, help="LMDB folder")
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--step_ms", type=float, default=0.0, help="time of a step; 0: as fast as it can")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1, help="threads a card (default: %(default)s)")
    parser.add_argument("--augment", default="", help="value of the option augment")
    parser.add_argument("--card", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.card is None:
        run(args)
    else:
        card(args)


if __name__ == "__main__":
    main()
