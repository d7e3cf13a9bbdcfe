"""Inference of CRNN: eval.py's network, onnxruntime (float32, INT8), the C++ program and PyTorch, as a Markdown table.

    python benchmarks/bench_inference.py --checkpoint_path FILE [--images FOLDER] [--batch 1 16] [--threads 1 2]
        [--rounds 5] [--calls 20] [--only torch cpp]

The contenders read the same images; the time of a call is that of the network alone, without decoding and resizing. In
every round each contender runs some calls; the table shows the median over the rounds of each round's median, and in
brackets the best round: on a machine that others use too, the latter says more. Each contender is a process of its own,
bound to as many cores as it has threads, and sleeps while others run; the C++ program is started anew every round.
Needs torch, and what `bash ascend310_infer/build.sh --help` lists.
"""
import argparse
import json
import os
import platform
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

NAMES = {"eval": "eval.py (MindSpore {mindspore})", "torch": "PyTorch {torch}, float32",
         "onnx": "onnxruntime {onnxruntime}, float32", "int8": "onnxruntime {onnxruntime}, INT8",
         "cpp": "C++ program (MindSpore Lite 2.0.0)"}
_IMAGES = 64


def bind(threads: int) -> None:
    """Keeps this process on the first cores it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def forward_of(name: str, folder: Path, checkpoint: str, threads: int,
               batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """Loads a network as a function from images (N, 3, 32, 100) to class scores (T, N, C)."""
    if name in ("onnx", "int8"):
        from src.deploy.onnx_recogniser import OnnxNetwork

        return OnnxNetwork(folder / ("crnn.onnx" if name == "onnx" else "crnn_int8.onnx"), threads=threads)
    if name == "eval":
        from src.model_utils.config import load_config

        config = load_config([f"--checkpoint_path={checkpoint}", "--device_target=CPU"])
        from src.model_utils.context import set_up_context
        set_up_context(config, own_operators=True)
        from src.recogniser import load_recogniser

        return load_recogniser(config, batch)[0]
    import torch

    from src.model_utils.checkpoint import read_checkpoint
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
    """A contender: for every line on standard input runs calls and prints their median time."""
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
            start = time.perf_counter()
            forward(batches[number % len(batches)])
            times.append(time.perf_counter() - start)
        print(json.dumps(1000 * statistics.median(times)), flush=True)


class Worker:
    """A contender in a process of its own."""

    def __init__(self, name: str, folder: Path, args: argparse.Namespace, threads: int, batch: int) -> None:
        words = [f"--checkpoint_path={args.checkpoint_path}", f"--threads={threads}", f"--batch={batch}",
                 f"--calls={calls(args, batch)}", "--worker", name, str(folder)]
        self.process = subprocess.Popen([sys.executable, __file__, *words], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        while (line := self.process.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit(f"error: {name} failed, see above")

    def median(self) -> float:
        """Runs a round; milliseconds a call."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


class Program:
    """The C++ program as a contender."""

    def __init__(self, program: Path, folder: Path, args: argparse.Namespace, threads: int, batch: int) -> None:
        self.threads, self.folder = threads, folder
        count = min(_IMAGES, calls(args, batch) * batch)
        chosen = folder / f"images_{count}"
        if not chosen.exists():
            chosen.mkdir()
            for path in sorted((folder / "images").iterdir())[:count]:
                shutil.copy(path, chosen)
        self.command = [str(program), "--device_type=CPU", f"--mindir_path={folder}/batch_{batch}.mindir",
                        f"--dataset_path={chosen}", f"--output_path={folder}", f"--threads={threads}"]
        self.batch = batch
        self.median()
        index = (folder / "result_Files" / "index.tsv").read_text().splitlines()[:batch]
        scores = [np.fromfile(folder / "result_Files" / line.split("\t")[1], np.float32) for line in index]
        classes = np.load(folder / "classes.npy")
        np.save(folder / "scores_cpp.npy", np.stack([one.reshape(-1, classes) for one in scores], axis=1))

    def median(self) -> float:
        """Runs a round; milliseconds a call."""
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "GLOG_v": "3"}, preexec_fn=lambda: bind(self.threads))
        text = (self.folder / "time_Result" / "test_perform_static.txt").read_text()
        return float(text.split("median time: ")[1].split(" ms")[0])

    def close(self) -> None:
        """Nothing to do: the program has ended."""


def calls(args: argparse.Namespace, batch: int) -> int:
    """Calls a round, fewer with large batches."""
    return max(3, args.calls // batch)


def prepare(args: argparse.Namespace, folder: Path) -> Path | None:
    """Writes images and models; returns the C++ program if it takes part."""
    from predict import find_images
    from src.embedded import embedded_set
    from src.preprocess import InputSpec, read_image, to_batch

    paths = list(find_images((args.images or str(embedded_set()),)))
    paths = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, _IMAGES).astype(int))]
    (folder / "images").mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, folder / "images" / f"{number:03d}{Path(path).suffix}")
    # As the C++ program lists them.
    images = [read_image(path) for path in sorted((folder / "images").iterdir())]
    np.save(folder / "images.npy", to_batch(images, InputSpec()))
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


def compete(args: argparse.Namespace, folder: Path, program: Path | None, threads: int, batch: int) -> dict[str, list]:
    """All rounds of one setting; milliseconds a call by contender."""
    contenders: dict[str, Worker | Program] = {}
    times: dict[str, list] = {name: [] for name in args.only}
    try:
        for name in args.only:
            contenders[name] = (Program(program, folder, args, threads, batch) if name == "cpp" else
                                Worker(name, folder, args, threads, batch))
        for _ in range(args.rounds):
            for name, contender in contenders.items():
                times[name].append(contender.median())
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


def main() -> None:
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
    args = parser.parse_args()
    args.checkpoint_path = os.path.abspath(args.checkpoint_path)
    if args.worker:
        work(args)
        return
    args.only = [name for name in ("torch", "eval", "onnx", "int8", "cpp") if name in args.only]
    settings = [(threads, batch) for threads in args.threads for batch in args.batch]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = prepare(args, folder)
        results = {setting: compete(args, folder, program, *setting) for setting in settings}
    print(f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}; milliseconds a call, "
          f"median of {args.rounds} rounds (best round), and speed relative to {args.only[0]}\n")
    print("| | " + " | ".join(f"{t} thread{'s' * (t > 1)}, batch {b}" for t, b in settings) + " |")
    print("|---|" + "---|" * len(settings))
    versions = {package: metadata.version(package) for package in ("mindspore", "torch", "onnxruntime")}
    for name in args.only:
        cells = []
        for setting in settings:
            own, first = results[setting][name], results[setting][args.only[0]]
            cells.append(f"{statistics.median(own):.1f} ({min(own):.1f}), "
                         f"{statistics.median(first) / statistics.median(own):.2f} ({min(first) / min(own):.2f})")
        print(f"| {NAMES[name].format(**versions)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
