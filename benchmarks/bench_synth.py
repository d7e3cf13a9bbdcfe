"""Speed of the word renderer on one core, beside the trdg package, as a Markdown table.

    python benchmarks/bench_synth.py [--images 4000] [--repeats 5] [--folder DIR] [--trdg_python PYTHON]

Two kinds of rows. `generate_synth.py` is the program as a user calls it, with one worker: the time of the whole process
by the clock and its CPU time, start-up, search for fonts, planning of the words and annotation included. The other rows
are loops that draw one word after the other and write the files: what comes before them is left out (imports, search
for fonts, and here the first 300 images), so they are what a long run comes near to.

trdg (TextRecognitionDataGenerator 1.8.0) wants older packages than this project: install it into an environment of
its own (pip install trdg "pillow<10" "numpy<2") and name its interpreter. All draw English words and write JPEG files,
into memory (/dev/shm) where the system has room there, so that it is not the disk that is measured; they take turns,
each in a process of its own, and the first turn of each does not count.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MEMORY = Path("/dev/shm")
IMAGE_BYTES = 8192  # of room for each image
sys.path.insert(0, str(ROOT))

from benchmarks.child import output_of  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import ConfigError, run_main  # noqa: E402

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




class Row(NamedTuple):
    """A row of the table: what is measured, the images of a turn, and what draws so many into a folder."""

    name: str
    count: int
    draw: Callable[[str, int], dict[str, float]]  # returns seconds: wall, cpu


def loop(python: str, program: str, *arguments: str) -> Callable[[str, int], dict[str, float]]:
    """A loop in a process of its own, which takes its own time."""
    words = ROOT / "src" / "render" / "words.txt"

    def draw(folder: str, count: int) -> dict[str, float]:
        return json.loads(output_of(python, [python, "-c", program, folder, str(count), str(words), *arguments]
                                    ).splitlines()[-1])

    return draw


def whole_program(folder: str, count: int) -> dict[str, float]:
    """generate_synth.py from its start to its end."""
    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    wall, before = time.perf_counter(), cpu()
    output_of("generate_synth.py", [
        sys.executable, str(ROOT / "generate_synth.py"), f"--output_dir={folder}", f"--train={count}", "--val=0",
        "--test=0", "--workers=1", "--difficulty=hard"])
    return {"wall": time.perf_counter() - wall, "cpu": cpu() - before}


def turn(row: Row, place: Path) -> tuple[float, float]:
    """Draws the images of a row once; images a second, by the clock and by CPU time."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        spent = row.draw(folder, row.count)
        written = sum(1 for _ in Path(folder).rglob("*.jpg"))
        if written != row.count:
            raise SystemExit(f"error: {row.name} wrote {written} images instead of {row.count}")
    return row.count / spent["wall"], row.count / spent["cpu"]


def choose_place(images: int, folder: str | None) -> Path:
    """Where to write: the folder that was asked for, otherwise memory where there is room, or the temporary folder.

    Raises:
        ConfigError: the folder has no room.
        OSError: it does not exist.
    """
    room = images * IMAGE_BYTES
    if folder is None:
        if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= room:
            return MEMORY
        folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < room:
        raise ConfigError(f"{folder} has {free / 2**20:,.0f} MiB left and {images:,} images may take "
                          f"{room / 2**20:,.0f}: choose another --folder or fewer --images")
    return Path(folder)


def main(argv: list[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000,
                        help="images a turn (default: %(default)s; trdg: a fortieth)")
    parser.add_argument("--repeats", type=int, default=5, help="turns that count (default: %(default)s)")
    parser.add_argument("--folder", metavar="DIR", help="where to write the images, which are removed after each turn "
                        "(default: /dev/shm where it has room, otherwise the temporary folder)")
    parser.add_argument("--trdg_python", default=None, help="interpreter of an environment with trdg")
    args = parser.parse_args(argv)
    if min(args.images, args.repeats) < 1:
        parser.error("--images and --repeats must be 1 or more")
    from src.render import find_fonts
    machine = machine_line(("pillow", "opencv-python-headless", "numpy"))
    place = choose_place(args.images, args.folder)
    rows = [Row("python generate_synth.py --difficulty hard --workers 1, whole process", args.images, whole_program),
            *(Row(f"drawing loop, {level}", args.images, loop(sys.executable, OURS, str(ROOT), level))
              for level in ("hard", "easy"))]
    if args.trdg_python:
        rows.append(Row("trdg 1.8.0, drawing loop", max(args.images // 40, 50), loop(args.trdg_python, TRDG)))
    rates: list[list[tuple[float, float]]] = [[] for _ in rows]
    for repeat in range(args.repeats + 1):
        for row, found in zip(rows, rates, strict=True):
            rate = turn(row, place)
            if repeat:
                found.append(rate)
    print(f"{machine}; medians of {args.repeats} interleaved turns, one process, files in {place}; "
          f"{len(find_fonts(None))} font faces, {len(find_fonts(None, clean=True))} clean ones (easy)\n\n"
          "| renderer | images a turn | images/s | images per CPU s | to trdg (CPU) |\n|---|---|---|---|---|")
    medians = [[statistics.median(column) for column in zip(*found, strict=True)] for found in rates]
    for row, (wall, cpu) in zip(rows, medians, strict=True):
        ratio = f"{cpu / medians[-1][1]:.1f}" if args.trdg_python else "-"
        print(f"| {row.name} | {row.count:,} | {wall:,.0f} | {cpu:,.0f} | {ratio} |")


if __name__ == "__main__":
    run_main(main)
