"""What reading costs from the command line: one word from a cold start, and a folder, beside RapidOCR.

    python benchmarks/bench_reading.py FOLDER [--images 300] [--rounds 5] [--rapidocr PYTHON]

FOLDER holds word images. Every figure is CPU time (user and system) and peak memory of a whole program with all that it
starts, as the system counts them when it ends; the programs take turns, and medians are printed. predict.py reads with
its default weights, and in a second row with the checkpoint over MindSpore. RapidOCR takes part where PYTHON is an
interpreter that has it (`pip install rapidocr==3.10.0`): its recogniser alone, as its documentation calls it, and with
one thread: by itself it has one for each core, and those wait for one another by computing, the more so beside other
work.
"""
import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import ConfigError, run_main  # noqa: E402
from src.data.image_files import find_images  # noqa: E402

_RAPIDOCR = """
import sys
from rapidocr import RapidOCR
threads, *paths = sys.argv[1:]
engine = RapidOCR(params={"Global.use_det": False, "Global.use_cls": False, "Global.log_level": "critical",
                          "EngineConfig.onnxruntime.intra_op_num_threads": int(threads)})
for path in paths:
    found = engine(path, use_det=False, use_cls=False, use_rec=True)
    print(path, found.txts, found.scores)
"""
# Python keeps what it compiled, as it does for people: the turn that warms up writes it, the others find it.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Program:
    """A program at the same images; the turns fill in what it cost.

    Attributes:
        name: for the table.
        command: begins the command line; the images follow.
        cpu: CPU seconds of each turn.
        megabytes: peak memory of each turn.
    """

    name: str
    command: list[str]
    cpu: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def turn(self, images: Sequence[str]) -> None:
        """Runs once.

        Raises:
            ConfigError: it failed, or did not print a line for each image.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen([*self.command, *images], stdout=out, stderr=err, cwd=ROOT, env=_ENVIRONMENT)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            if process.returncode or len(out.read().splitlines()) != len(images):
                raise ConfigError(f"{self.name} failed: {err.read().decode(errors='replace').strip()[-300:]}")
        self.cpu.append(used.ru_utime + used.ru_stime)
        self.megabytes.append(used.ru_maxrss / 1024)


def main(argv: list[str] | None = None) -> int:
    """Measures and prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="word images")
    parser.add_argument("--images", type=int, default=300, help="images of the folder that are read")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each program")
    parser.add_argument("--rapidocr", default="", metavar="PYTHON", help="an interpreter that has RapidOCR")
    args = parser.parse_args(argv)
    paths = find_images([args.folder])
    chosen = sorted(random.Random(1).sample(paths, min(args.images, len(paths))))
    print(machine_line(("onnxruntime", "numpy", "mindspore")))
    for title, images, rounds in (("one word, cold start", chosen[:1], args.rounds),
                                  (f"{len(chosen)} words of a folder", chosen, args.rounds)):
        predict = [sys.executable, str(ROOT / "predict.py"), "--show_progress=never"]
        programs = [Program("predict.py", predict),
                    Program("predict.py over MindSpore", [*predict, "--device_target=CPU", "--checkpoint_path="
                                                          f"{ROOT / 'pretrained' / 'crnn_v2.ckpt'}"])]
        if args.rapidocr:
            programs += [Program(f"RapidOCR, recogniser alone{name}", [args.rapidocr, "-c", _RAPIDOCR, threads])
                         for name, threads in (("", "-1"), (", one thread", "1"))]  # -1 is its default
        for program in programs:
            program.turn(images)  # reads everything into the page cache
            program.cpu.clear()
            program.megabytes.clear()
        for _ in range(rounds):
            for program in programs:
                program.turn(images)
        print(f"\n| {title} | CPU seconds | CPU ms a word | peak MB | CPU time beside predict.py |\n"
              "|---|---|---|---|---|")
        for program in programs:
            cpu = statistics.median(program.cpu)
            ratio = statistics.median(own / first for own, first in zip(program.cpu, programs[0].cpu, strict=True))
            print(f"| {program.name} | {cpu:.2f} | {1000 * cpu / len(images):.1f} | "
                  f"{statistics.median(program.megabytes):.0f} | {ratio:.1f} times |")
    return 0


if __name__ == "__main__":
    run_main(main)
