"""Trains the quick start in float32 and float16 with several seeds and compares the accuracy on its held-out words.

    python benchmarks/compare_precision.py --output FOLDER [--seeds 1 2 3]

On a CPU, where float16 shows what it does to a training: convolutions and LSTMs are computed in it as on Ascend. Takes
hours; what was done before is not done again, and a training that was cut off goes on from its last checkpoint. Prints
a Markdown table: words read, of 500, and the steps that were skipped because a gradient overflowed.
"""
import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402

PRECISIONS = ("float32", "float16")
_SKIPPED = re.compile(r"epoch: (\d+) step: (\d+), gradient not finite: step skipped")
_CORRECT = re.compile(r"correct num: (\d+)\s*, total num: (\d+)")


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a training can go on from: the one with the highest epoch and step."""
    found = {tuple(map(int, match.groups())): path for path in folder.glob("crnn-*_*.ckpt")
             if (match := re.fullmatch(r"crnn-(\d+)_(\d+)\.ckpt", path.name))}
    return found[max(found)] if found else None


def run(command: list[str], log: Path) -> str:
    """Runs a program of ours, adds what it prints to a log and returns that.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    with open(log, "a", encoding="utf-8") as file:
        file.write(done.stdout)
    if done.returncode:
        raise SystemExit(f"error: {command[0]} failed with exit code {done.returncode}; see {log}")
    return done.stdout


def measure(folder: Path, precision: str, seed: int) -> tuple[int, int, int]:
    """Words right, words, and skipped steps of one training, which is done where it is not there yet."""
    result = folder / "result.txt"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        log, checkpoint = folder / "all.log", newest_checkpoint(folder / "ckpt")
        resumed = [f"--resume_ckpt={checkpoint}"] if checkpoint else []
        run(["train.py", "--device_target=CPU", f"--precision={precision}", f"--seed={seed}", f"--output_dir={folder}",
             "--show_progress=never", *resumed], log)
        said = run(["eval.py", "--device_target=CPU", f"--checkpoint_path={folder / 'ckpt' / 'best_acc.ckpt'}",
                    "--show_progress=never"], log)
        skipped = len(set(_SKIPPED.findall(log.read_text(encoding="utf-8"))))
        result.write_text(f"{' '.join(_CORRECT.findall(said)[-1])} {skipped}\n", encoding="utf-8")
    right, words, skipped = map(int, result.read_text(encoding="utf-8").split())
    return right, words, skipped


def main(argv: list[str] | None = None) -> int:
    """Trains, evaluates and prints the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the trainings go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args(argv)
    print(machine_line(("mindspore", "numpy")), flush=True)
    print("| seed | float32 | float16 | points | steps skipped in float16 |\n|---|---|---|---|---|", flush=True)
    for seed in options.seeds:
        (right, words, _), (half, _, skipped) = (
            measure(options.output.absolute() / f"{precision}_{seed}", precision, seed) for precision in PRECISIONS)
        shares = [100 * count / words for count in (right, half)]
        print(f"| {seed} | {shares[0]:.1f} | {shares[1]:.1f} | {shares[1] - shares[0]:+.1f} | {skipped} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
