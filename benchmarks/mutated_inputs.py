"""Reads thousands of damaged files of every kind and counts what becomes of them.

    python benchmarks/mutated_inputs.py [--count 10000] [--seed 1] [--only image list ...] [--keep FOLDER]

Each is read in a process of its own kind: images, lists, XML, .mat, LMDB, YAML, command lines, rank tables, ONNX,
checkpoints, facts beside MINDIR files, language models, lexicons. Good is what is read, or refused with one sentence.
A fault is any other exception, a process that ends, more than 5 s of CPU time or 20 s in all, more than 1 GiB for one
input, anything opened outside of its folder, and any program started. Prints a table; the exit code is 1 where there
was a fault.
"""
import argparse
import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from tests.fuzz.mutations import mutate  # noqa: E402
from tests.fuzz.targets import TARGETS  # noqa: E402

START_SECONDS, INPUT_SECONDS = 180, 20


@dataclass
class Outcome:
    """What became of the inputs of one kind."""

    results: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    memory: float = 0.0
    faults: dict[int, str] = field(default_factory=dict)


def run_kind(kind: str, seed: int, count: int) -> Outcome:
    """Reads ``count`` inputs of a kind; a child that ends or hangs is replaced behind the input at fault."""
    outcome, first = Outcome(), 0
    while first < count:
        with tempfile.TemporaryDirectory(prefix="crnn-mutated-") as folder:
            current, fault = _run_child(kind, seed, first, count, folder, outcome)
        if fault:
            outcome.faults[current] = fault
            outcome.results["fault"] += 1
            first = current + 1
            if current < 0:  # it does not even read what is sound
                break
        else:
            break
    return outcome


def _run_child(kind: str, seed: int, first: int, last: int, folder: str, outcome: Outcome) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.fuzz.child", kind, str(seed), str(first), str(last), folder]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: queue.Queue = queue.Queue()
    errors: list[str] = []
    threads = [threading.Thread(target=lambda: [lines.put(line) for line in child.stdout] and None or lines.put(None)),
               threading.Thread(target=lambda: errors.extend(child.stderr))]
    for thread in threads:
        thread.start()
    current, limit, fault = -1, START_SECONDS, ""
    while True:
        try:
            line = lines.get(timeout=limit)
        except queue.Empty:
            child.kill()
            fault = f"more than {limit} s"
            break
        if line is None:
            break
        if not line.startswith("{"):
            current, limit = int(line), INPUT_SECONDS
            continue
        found = json.loads(line)
        if current < 0:
            continue
        outcome.seconds = max(outcome.seconds, found["seconds"])
        outcome.memory = max(outcome.memory, found["memory"])
        outcome.results["fault" if found["faults"] else found["result"]] += 1
        if found["faults"]:
            outcome.faults[current] = "; ".join(found["faults"])
    child.wait()
    for thread in threads:
        thread.join()
    if not fault and child.returncode:
        fault = f"the process ended with code {child.returncode}: {''.join(errors)[-300:]}"
    return current, fault


def main() -> int:
    """Runs all kinds; returns 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=sorted(TARGETS), default=list(TARGETS))
    parser.add_argument("--keep", type=Path, help="folder for the inputs with faults")
    options = parser.parse_args()
    print(machine_line(), flush=True)
    print("| kind | inputs | read | refused | faults | longest CPU s | most MiB |\n|---|---|---|---|---|---|---|")
    each, total, faults = -(-options.count // len(options.only)), 0, 0
    said = []
    for kind in options.only:
        found = run_kind(kind, options.seed, each)
        done = sum(found.results.values())
        total, faults = total + done, faults + len(found.faults)
        print(f"| {kind} | {done} | {found.results['read']} | {found.results['refused']} | {len(found.faults)} | "
              f"{found.seconds:.2f} | {found.memory:.0f} |", flush=True)
        said += [f"{kind} {number}: {what}" for number, what in found.faults.items()]
        if options.keep and found.faults:
            options.keep.mkdir(parents=True, exist_ok=True)
            samples = TARGETS[kind].samples()
            for number in found.faults:
                data = mutate(samples, random.Random(f"{options.seed} {kind} {number}"))
                (options.keep / f"{kind}_{number}").write_bytes(data)
    print(f"{total} inputs, {faults} faults")
    print("\n".join(said))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
