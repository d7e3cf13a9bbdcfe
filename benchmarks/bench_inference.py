"""Inference of CRNN: eval.py's network, onnxruntime (float32, INT8), the C++ program and PyTorch, as a Markdown table.

    python benchmarks/bench_inference.py --checkpoint_path FILE [--images FOLDER] [--batch 1 16] [--threads 1 2]
        [--rounds 5] [--calls 20] [--only torch cpp]

The contenders read the same images; the time of a call is that of the network alone, without decoding and resizing. In
every round each contender runs some calls, one contender after the other. The tables show the median over the rounds of
each round's median: elapsed time, with the best round in brackets (on a machine that others use too, it says more), and
CPU time of all threads, waiting for each other included. Ratios are medians of the rounds' ratios. Each contender is a
process of its own, bound to as many cores as it has threads, and sleeps while others run; the C++ program is started
anew every round. At the end stand the aims; with one thread the ratio by CPU time shows what it is on a free machine.
Fewer images than the largest batch are taken several times. Takes about four minutes on two free cores; needs torch,
and what `bash ascend310_infer/build.sh --help` lists.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import answer_of, end, reason, tell  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import DataError, run_main  # noqa: E402

NAMES = {"eval": "eval.py (MindSpore {mindspore})", "torch": "PyTorch {torch}, float32",
         "onnx": "onnxruntime {onnxruntime}, float32", "int8": "onnxruntime {onnxruntime}, INT8",
         "cpp": "C++ program (MindSpore Lite 2.0.0)"}
_IMAGES = 64
# What is compared: name, contender, against which, batch, least ratio of speeds.
_AIMS = (("onnxruntime float32 against PyTorch", "onnx", "torch", 16, 1.2),
         ("onnxruntime float32 against PyTorch", "onnx", "torch", 1, 1.8),
         ("onnxruntime INT8 against PyTorch", "int8", "torch", 16, 3.3),
         ("C++ program against onnxruntime float32", "cpp", "onnx", 1, 1 / 1.2))
Times = tuple[float, float]
"""Milliseconds a call: elapsed, and of CPU time."""


def bind(threads: int) -> None:
    """Keeps this process on the last cores it may use: the first has the interrupts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def forward_of(name: str, folder: Path, checkpoint: str, threads: int,
               batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """Loads a network as a function from images (N, 3, 32, width) to class scores (T, N, C)."""
    if name in ("onnx", "int8"):
        import onnxruntime

        options = onnxruntime.SessionOptions()  # one call on all threads; this project's programs take a call a thread
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / ("crnn.onnx" if name == "onnx" else "crnn_int8.onnx"), options,
                                               providers=["CPUExecutionProvider"])
        images = session.get_inputs()[0].name
        return lambda batch: session.run(None, {images: batch})[0]
    if name == "eval":
        from src.model_utils.config import load_config

        config = load_config([f"--checkpoint_path={checkpoint}", "--device_target=CPU"])
        from src.model_utils.context import set_up_context
        set_up_context(config, own_operators=True)
        from src.network.trained import load_trained

        return load_trained(config, batch)[0]
    import torch

    from src.network.checkpoint import read_checkpoint
    from tools.torch_twin import CRNN, from_mindspore

    torch.set_num_threads(threads)
    source = read_checkpoint(checkpoint)
    model = CRNN(source.class_num, source.model_version, source.hidden_size).eval()
    from_mindspore(model, source.weights)

    def forward(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy()

    return forward


def work(args: argparse.Namespace) -> None:
    """A contender: for every line on standard input runs calls and prints the medians of their times."""
    bind(args.threads[0])
    folder, batch = Path(args.worker[1]), args.batch[0]
    images = np.load(folder / "images.npy")
    forward = forward_of(args.worker[0], folder, args.checkpoint_path, args.threads[0], batch)
    batches = [images[first:first + batch] for first in range(0, len(images) - batch + 1, batch)]
    scores = forward(batches[0])
    for _ in range(3):
        forward(batches[0])
    np.save(folder / f"scores_{args.worker[0]}.npy", scores)
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        for number in range(args.calls):
            start, cpu = time.perf_counter(), time.process_time()
            forward(batches[number % len(batches)])
            times.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu)))
        print(json.dumps([statistics.median(kind) for kind in zip(*times, strict=True)]), flush=True)


class Worker:
    """A contender in a process of its own."""

    def __init__(self, name: str, folder: Path, args: argparse.Namespace, threads: int, batch: int) -> None:
        words = [f"--checkpoint_path={args.checkpoint_path}", f"--threads={threads}", f"--batch={batch}",
                 f"--calls={calls(args, batch)}", "--worker", name, str(folder)]
        self.name = name
        self.process = subprocess.Popen([sys.executable, __file__, *words], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": str(threads)})

    def wait(self) -> None:
        """Waits until it has loaded the network and run a few calls."""
        while answer_of(self.name, self.process, "; see above") != "ready":
            pass  # something else that a library prints

    def times(self) -> Times:
        """Runs a round."""
        tell(self.process)
        return tuple(json.loads(answer_of(self.name, self.process, "; see above")))

    def close(self) -> None:
        """Ends the process."""
        end(self.process)


class Program:
    """The C++ program as a contender."""

    def __init__(self, program: Path, folder: Path, args: argparse.Namespace, threads: int, batch: int) -> None:
        self.threads, self.folder = threads, folder
        paths = sorted((folder / "images").iterdir())
        count = min(len(paths), calls(args, batch) * batch)
        chosen = folder / f"images_{count}"
        if not chosen.exists():
            chosen.mkdir()
            for path in paths[:count]:
                shutil.copy(path, chosen)
        self.command = [str(program), "--device_type=CPU", f"--mindir_path={folder}/batch_{batch}.mindir",
                        f"--dataset_path={chosen}", f"--output_path={folder}", f"--threads={threads}"]
        self.batch = batch

    def wait(self) -> None:
        """Runs it once and keeps the scores of the first batch."""
        self.times()
        index = (self.folder / "result_Files" / "index.tsv").read_text().splitlines()[:self.batch]
        scores = [np.fromfile(self.folder / "result_Files" / line.split("\t")[1], np.float32) for line in index]
        classes = np.load(self.folder / "classes.npy")
        np.save(self.folder / "scores_cpp.npy", np.stack([one.reshape(-1, classes) for one in scores], axis=1))

    def times(self) -> Times:
        """Runs a round."""
        done = subprocess.run(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "GLOG_v": "3"}, preexec_fn=lambda: bind(self.threads))
        if done.returncode:
            raise SystemExit(f"error: the C++ program failed, {reason(done.returncode, done.stderr)}")
        text = (self.folder / "time_Result" / "test_perform_static.txt").read_text()
        return tuple(float(text.split(f"median {kind}: ")[1].split(" ms")[0]) for kind in ("time", "CPU time"))

    def close(self) -> None:
        """Nothing to do: the program has ended."""


def calls(args: argparse.Namespace, batch: int) -> int:
    """Calls a round, fewer with large batches."""
    return max(4, args.calls // batch)


def choose_images(paths: list[str], largest: int) -> list[str]:
    """Some images from all over the list; where they are fewer than the largest batch, they come again.

    Raises:
        DataError: the list is empty.
    """
    if not paths:
        raise DataError("no image to read: name a folder of word images with --images")
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, max(_IMAGES, largest)).astype(int))]
    if len(chosen) < largest:
        print(f"note: {len(chosen)} images for a batch of {largest}: they are taken several times", file=sys.stderr)
    return [chosen[i % len(chosen)] for i in range(max(len(chosen), largest))]


def prepare(args: argparse.Namespace, folder: Path) -> Path | None:
    """Writes images and models; returns the C++ program if it takes part."""
    from src.data.embedded import embedded_set
    from src.data.image_files import find_images
    from src.data.preprocess import InputSpec, read_image, to_batch
    from src.network.checkpoint import read_checkpoint

    paths = choose_images(list(find_images((args.images or str(embedded_set()),))), max(args.batch))
    (folder / "images").mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, folder / "images" / f"{number:06d}{Path(path).suffix}")
    width = int(read_checkpoint(args.checkpoint_path).info.get("image_width", InputSpec.width))
    # As the C++ program lists them.
    images = [read_image(path) for path in sorted((folder / "images").iterdir())]
    np.save(folder / "images.npy", to_batch(images, InputSpec(width=width)))
    run = {"check": True, "stdout": sys.stderr, "cwd": ROOT}
    if {"onnx", "int8"} & set(args.only):
        small = ["--quantize=int8", f"--calibration_path={folder}/images"] if "int8" in args.only else []
        subprocess.run([sys.executable, "export.py", f"--ckpt_file={args.checkpoint_path}", "--file_format=ONNX",
                        f"--file_name={folder}/crnn", *small], **run)
    if "cpp" not in args.only:
        return None
    for batch in args.batch:
        subprocess.run([sys.executable, "tools/mindir_for_lite.py", args.checkpoint_path,
                        f"{folder}/batch_{batch}.mindir", f"--batch={batch}"], **run)
    facts = json.loads((folder / f"batch_{args.batch[0]}.mindir.json").read_text())
    np.save(folder / "classes.npy", facts["class_num"])
    lite = subprocess.run(["bash", "tools/fetch_lite.sh"], check=True, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    subprocess.run(["bash", "ascend310_infer/build.sh", lite.stdout.splitlines()[-1]], **run)
    return Path(os.environ.get("BUILD_DIR", ROOT / ".build" / "infer")) / "crnn_infer"


def compete(args: argparse.Namespace, folder: Path, program: Path | None, threads: int,
            batch: int) -> dict[str, list[Times]]:
    """All rounds of one setting, by contender."""
    contenders: dict[str, Worker | Program] = {}
    times: dict[str, list[Times]] = {name: [] for name in args.only}
    try:
        for name in args.only:
            contenders[name] = (Program(program, folder, args, threads, batch) if name == "cpp" else
                                Worker(name, folder, args, threads, batch))
        for contender in contenders.values():
            contender.wait()
        for _ in range(args.rounds):
            for name, contender in contenders.items():
                times[name].append(contender.times())
                time.sleep(0.02)  # until the threads of this one sleep
    finally:
        for contender in contenders.values():
            contender.close()
    reference = np.load(folder / f"scores_{args.only[0]}.npy")
    for name in args.only[1:]:
        difference = np.abs(np.load(folder / f"scores_{name}.npy") - reference).max()
        print(f"threads {threads}, batch {batch}: scores of {name} differ from {args.only[0]} by at most "
              f"{difference:.2g}", file=sys.stderr)
        if name != "int8" and args.only[0] != "int8" and difference > 1e-3:
            raise SystemExit(f"error: {name} computes something else than {args.only[0]}")
    return times


def ratio(results: dict[str, list[Times]], name: str, other: str, kind: int = 0) -> float:
    """How many times as fast as another contender one is, by elapsed (0) or CPU time (1): median over the rounds."""
    return statistics.median(b[kind] / a[kind] for a, b in zip(results[name], results[other], strict=True))


def table(title: str, settings: list[tuple[int, int]], rows: list[tuple[str, list[str]]]) -> str:
    """A Markdown table with one column for each setting."""
    head = [f"{threads} thread{'s' * (threads > 1)}, batch {batch}" for threads, batch in settings]
    lines = [f"| {title} | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows)])


def version_of(package: str) -> str:
    """Version of a package; empty where it is not installed, which is no mistake in a contender left out."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def report(args: argparse.Namespace, settings: list[tuple[int, int]],
           results: dict[tuple[int, int], dict[str, list[Times]]]) -> str:
    """The tables and the aims."""
    versions = {package: version_of(package) for package in ("mindspore", "torch", "onnxruntime")}
    first = args.only[0]
    elapsed, cpu = [], []
    for name in args.only:
        label, cells, cpu_cells = NAMES[name].format(**versions), [], []
        for batch, own in ((setting[1], results[setting]) for setting in settings):
            walls = [wall for wall, _ in own[name]]
            middle = statistics.median(walls)
            cells.append(f"{middle:.1f} ({min(walls):.1f}) ms, {1000 * batch / middle:.0f} images/s, "
                         f"{ratio(own, name, first):.2f}")
            cpu_cells.append(f"{statistics.median(used for _, used in own[name]):.1f}")
        elapsed.append((label, cells))
        cpu.append((label, cpu_cells))
    parts = [table(f"a call: median (best round), speed, relative to {first}", settings, elapsed),
             table("CPU time of a call, ms", settings, cpu)]
    aims = []
    for label, name, other, batch, least in _AIMS:
        for threads in sorted({setting[0] for setting in settings if setting[1] == batch}):
            own = results[threads, batch]
            if name in own and other in own:
                value, used = ratio(own, name, other), ratio(own, name, other, kind=1)
                best = min(b[0] for b in own[other]) / min(a[0] for a in own[name])
                aims.append(f"| {label}, batch {batch}, {threads} thread{'s' * (threads > 1)} | {least:.2f} | "
                            f"{value:.2f} ({best:.2f}) | {f'{used:.2f}' if threads == 1 else ''} | "
                            f"{'met' if value >= least else 'not met'} |")
    if aims:
        parts.append("\n".join(["| aim: speed of | at least | measured (best rounds) | by CPU time | |",
                                "|---|---|---|---|---|", *aims]))
    return "\n\n".join(parts)


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint_path", required=True)
    parser.add_argument("--images", default="", help="folder of word images (default: the embedded set)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20, help="a round, at batch 1")
    parser.add_argument("--only", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if min(args.rounds, args.calls, *args.batch, *args.threads) < 1:
        parser.error("--rounds, --calls, --batch and --threads must be 1 or more")
    args.checkpoint_path = os.path.abspath(args.checkpoint_path)
    if args.worker:
        work(args)
        return
    args.only = [name for name in ("torch", "eval", "onnx", "int8", "cpp") if name in args.only]
    cores = len(os.sched_getaffinity(0))
    threads = [count for count in args.threads if count <= cores]
    if len(threads) < len(args.threads):
        print(f"note: only {cores} cores may be used; left out: more threads than that", file=sys.stderr)
    settings = [(count, batch) for count in threads for batch in args.batch]
    if not settings:
        raise SystemExit("error: no number of threads is left")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = prepare(args, folder)
        machine = machine_line()  # before the load is ours
        results = {setting: compete(args, folder, program, *setting) for setting in settings}
    print(f"{machine}; {args.rounds} rounds\n\n{report(args, settings, results)}")


if __name__ == "__main__":
    run_main(main)
