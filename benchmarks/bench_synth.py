"""Speed of the word renderer on one core, beside the trdg package, as a Markdown table.

    python benchmarks/bench_synth.py [--images 4000] [--repeats 5] [--trdg_python PYTHON]

trdg (TextRecognitionDataGenerator 1.8.0) wants older packages than this project: install it into an environment of
its own (pip install trdg "pillow<10" "numpy<2") and name its interpreter. Both draw the words of the same list and
write JPEG files, into memory (/dev/shm) where the system has such a folder, so that it is not the disk that is
measured; they take turns, each in a process of its own, and the first turn of each does not count. Rates are images
per second of the process and per second of CPU time.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEMORY = Path("/dev/shm")
sys.path.insert(0, str(ROOT))

TRDG = """
import json, os, sys, time
from trdg.generators import GeneratorFromStrings
folder, count, words = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], encoding="utf-8").read().split()
images = GeneratorFromStrings(words, count=count, size=32, blur=1, random_blur=True, skewing_angle=5,
                              random_skew=True, background_type=0, distorsion_type=1)
wall, cpu = time.perf_counter(), time.process_time()
for number, (image, _) in enumerate(images):
    image.convert("RGB").save(os.path.join(folder, f"{number}.jpg"))
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
"""
OURS = """
import json, os, sys, time
import cv2
sys.path.insert(0, sys.argv[4])
cv2.setNumThreads(1)
from src.render import RenderStyle, WordRenderer, find_fonts
folder, count, words = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], encoding="utf-8").read().split()
renderer = WordRenderer(RenderStyle.preset(sys.argv[5]), find_fonts(None, clean=sys.argv[5] == "easy"))
for number in range(300):
    renderer.encode(words[number % len(words)], number)
wall, cpu = time.perf_counter(), time.process_time()
for number in range(count):
    _, data = renderer.encode(words[number % len(words)], 1000 + number)
    with open(os.path.join(folder, f"{number}.jpg"), "wb") as file:
        file.write(data)
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
"""


def turn(python: str, program: str, count: int, words: Path, *arguments: str) -> dict[str, float]:
    """Draws `count` images in a process of its own; seconds of wall and CPU time, start-up left out."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        command = [python, "-c", program, folder, str(count), str(words), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{python} failed: {done.stderr.strip().splitlines()[-1]}")
        if len(list(Path(folder).iterdir())) != count:
            raise SystemExit(f"{python} wrote fewer than {count} images")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures and prints the table."""
    from benchmarks.machine import machine_line
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000,
                        help="images a turn (default: %(default)s; trdg: a fortieth)")
    parser.add_argument("--repeats", type=int, default=5, help="turns that count (default: %(default)s)")
    parser.add_argument("--trdg_python", default=None, help="interpreter of an environment with trdg")
    args = parser.parse_args()
    words = ROOT / "src" / "render" / "words.txt"
    runs: dict[str, tuple[str, str, int, tuple[str, ...]]] = {
        f"generate_synth, {level}": (sys.executable, OURS, args.images, (str(ROOT), level))
        for level in ("easy", "hard")}
    if args.trdg_python:
        runs["trdg 1.8.0"] = (args.trdg_python, TRDG, max(args.images // 40, 50), ())
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for repeat in range(args.repeats + 1):
        for name, (python, program, count, arguments) in runs.items():
            spent = turn(python, program, count, words, *arguments)
            if repeat:
                rates[name].append((count / spent["wall"], count / spent["cpu"]))
    place = MEMORY if MEMORY.is_dir() else "the temporary folder"
    print(f"{machine_line(('pillow', 'opencv-python-headless', 'numpy'))}; medians of {args.repeats} interleaved "
          f"turns, one process, files in {place}\n\n"
          "| renderer | images/s | images per CPU s | to trdg (CPU) |\n|---|---|---|---|")
    medians = {name: [statistics.median(column) for column in zip(*found, strict=True)]
               for name, found in rates.items()}
    base = medians.get("trdg 1.8.0")
    for name, (wall, cpu) in medians.items():
        print(f"| {name} | {wall:,.0f} | {cpu:,.0f} | {f'{cpu / base[1]:.1f}' if base else '-'} |")


if __name__ == "__main__":
    main()
