"""Speed and memory of the data path, as a Markdown table: indexing, LMDB writing, SVT conversion, input pipeline.

    python benchmarks/bench_data.py [--repeats 5] [--lines 7200000] [--images 100000] [--svt FOLDER]
                                    [--only index lmdb svt pipeline]

Each measurement is a process of its own. They take turns, and the table has the medians of all turns: CPU seconds,
elapsed seconds and rates. The input pipeline reads an LMDB of JPEGs of about 1.5 kB into normalised batches of 64, with
a thread or a process (--loader=processes) for each core; its peer is a PyTorch DataLoader with Pillow, as
deep-text-recognition-benchmark uses it: a process for each core, images in colour (as here) or in grey (its default).
Everything drawn is written to a temporary folder and removed.
"""
import argparse
import io
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import output_of  # noqa: E402 - after the path
from benchmarks.machine import machine_line  # noqa: E402
from src.common.system import available_cores  # noqa: E402

PARTS = ("index", "lmdb", "svt", "pipeline")
BATCH, WARM_UP = 64, 20  # images a batch, batches that do not count
BATCHES, SLOW_BATCHES = 600, 130  # batches of a measurement at most; where images take long
WORDS = 88_172  # of the lexicon of MJSynth


def draw_annotation(folder: str, lines: int) -> None:
    """An annotation of the size and form of MJSynth's, without images."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, length)) for length in rng.integers(3, 14, WORDS)]
    Path(folder, "lexicon.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    with open(Path(folder, "annotation_train.txt"), "w", encoding="utf-8") as file:
        for start in range(0, lines, 100_000):
            rows = rng.integers(0, WORDS, min(100_000, lines - start)).tolist()
            file.write("".join(f"./{i // 2500}/{i % 7}/{i % 400}_{words[row]}_{row}.jpg {row}\n"
                               for i, row in enumerate(rows, start)))


def draw_words(folder: str, count: int, files: int = 4000) -> None:
    """A set of ``count`` JPEG files of the size of MJSynth's: ``files`` pictures, each under several names."""
    rng = np.random.default_rng(0)
    lines = []
    files = min(files, count)
    for i in range(count):
        name = f"{i % 40}/{i}.jpg"
        lines.append(f"{name}\tw{i % files}\n")
        if i >= files:  # a link: a file that is listed twice counts once
            os.link(Path(folder, lines[i % files].split("\t")[0]), Path(folder, name))
            continue
        image = np.full((31, int(rng.integers(50, 160)), 3), int(rng.integers(90, 250)), np.uint8)
        cv2.putText(image, f"w{i}", (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 40, 60), 2)
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        Path(folder, str(i % 40)).mkdir(exist_ok=True)
        cv2.imwrite(f"{folder}/{name}", image, [cv2.IMWRITE_JPEG_QUALITY, 75])
    Path(folder, "annotation.txt").write_text("".join(lines), encoding="utf-8")


def draw_streets(folder: str, count: int = 60) -> None:
    """Pictures of the size of SVT's with a test.xml."""
    rng = np.random.default_rng(0)
    Path(folder, "img").mkdir()
    xml = ["<tagset>"]
    for i in range(count):
        small = rng.integers(0, 256, (100, 160, 3), np.uint8)
        cv2.imwrite(f"{folder}/img/{i}.jpg", cv2.resize(small, (1280, 800)), [cv2.IMWRITE_JPEG_QUALITY, 90])
        boxes = "".join(f'<taggedRectangle x="{x}" y="{x}" width="150" height="50"><tag>WORD</tag></taggedRectangle>'
                        for x in rng.integers(0, 700, 3))
        xml.append(f"<image><imageName>img/{i}.jpg</imageName><lex>WORD,OTHER</lex><taggedRectangles>{boxes}"
                   "</taggedRectangles></image>")
    Path(folder, "test.xml").write_text("".join([*xml, "</tagset>"]), encoding="utf-8")


def anonymous_mib() -> float:
    """Memory of this process that is not part of a file, in MiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def run_index(folder: str) -> dict:
    """Indexes the annotation and filters its words, as training does."""
    from src.common.charset import Charset
    from src.data.filter import filter_words
    from src.data.labels import LabelTable
    from src.dataset import open_source
    from src.model_utils.config import load_config

    config = load_config([])
    source = open_source("synth", folder, "train")
    labels = LabelTable(source.texts, Charset.from_config(config.label_dict))
    kept, _ = filter_words(source, labels, config.max_text_length, config.num_step, True)
    return {"count": len(kept)}


def run_lmdb(folder: str, no_check: str) -> dict:
    """Writes the set as an LMDB; also the memory after the first fifth and the largest after it."""
    from convert_lmdb import main

    seen = [anonymous_mib()]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(anonymous_mib())
    threading.Thread(target=watch, daemon=True).start()
    main(["-d", "iiit5k", "-p", folder, "-o", f"{folder}/lmdb{no_check}", "--overwrite", *filter(None, [no_check])])
    over.set()
    first = seen[:max(1, len(seen) // 5)]
    return {"early": max(first), "late": max(seen), "bytes": os.path.getsize(f"{folder}/lmdb{no_check}/data.mdb")}


def run_decode(folder: str, _: str) -> dict:
    """Reads and decodes all pictures twice."""
    from src.data.preprocess import read_image

    for path in sorted(Path(folder, "img").iterdir()) * 2:
        read_image(path)
    return {}


def run_svt(folder: str, out: str) -> dict:
    from convert_svt import main

    main(["-d", folder, "-o", out, "--overwrite"])
    return {}


def run_ours(folder: str, loader: str, augment: str) -> dict:
    """Training batches as train.py gets them."""
    from src.dataset import create_dataset
    from src.model_utils.config import load_config

    config = load_config([f"--loader={loader}", f"--augment={augment}", "--show_progress=never"])
    batches = create_dataset("lmdb", folder, BATCH, config=config).epoch(0)
    return timed((batch.image for batch in batches), BATCHES if augment == "none" else SLOW_BATCHES)


def run_loader(folder: str, mode: str) -> dict:
    """Batches of the peer: LMDB, Pillow, bicubic, a process for each core; ``mode`` is RGB or L (grey)."""
    import lmdb
    import torch
    from PIL import Image

    class Words(torch.utils.data.Dataset):
        def __init__(self):
            self.environment = lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False)
            with self.environment.begin() as transaction:
                self.count = int(transaction.get(b"num-samples"))

        def __len__(self):
            return self.count

        def __getitem__(self, i):
            with self.environment.begin() as transaction:
                label = transaction.get(b"label-%09d" % (i + 1)).decode()
                data = transaction.get(b"image-%09d" % (i + 1))
            return Image.open(io.BytesIO(data)).convert(mode), label.lower()

    def collate(samples):
        arrays = [np.array(image.resize((100, 32), Image.BICUBIC)).reshape(32, 100, -1) for image, _ in samples]
        tensors = [torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div(255).sub_(0.5).div_(0.5)
                   for array in arrays]
        return torch.stack(tensors), [label for _, label in samples]

    loader = torch.utils.data.DataLoader(Words(), BATCH, shuffle=True, num_workers=available_cores(),
                                         collate_fn=collate, drop_last=True)
    return timed((images for images, _ in loader), SLOW_BATCHES)


def timed(batches: Iterable, most: int) -> dict:
    """Images a second over so many batches, all but the first ones."""
    count, begin = 0, None
    for number, images in enumerate(itertools.islice(batches, most)):
        if number == WARM_UP:
            begin, count = time.perf_counter(), -len(images)
        count += len(images)
    if begin is None or not count:
        raise SystemExit(f"error: {WARM_UP + 1} batches do not count and no more were made: raise --images")
    return {"rate": count / (time.perf_counter() - begin)}


def measured(name: str, *arguments: str) -> dict:
    """Runs a measurement in a process of its own; adds cpu and elapsed seconds and peak MiB."""
    return json.loads(output_of(name, [sys.executable, __file__, "--run", name, *arguments]).splitlines()[-1])


def child(name: str, arguments: list[str]) -> None:
    """The measured process."""
    functions: dict[str, Callable] = {"index": run_index, "lmdb": run_lmdb, "svt": run_svt, "decode": run_decode,
                                      "ours": run_ours, "loader": run_loader}
    begin, cpu = time.perf_counter(), sum(os.times()[:4])
    result = functions[name](*arguments)
    result |= {"elapsed": time.perf_counter() - begin, "cpu": sum(os.times()[:4]) - cpu,
               "peak": max(resource.getrusage(who).ru_maxrss for who in
                           (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024}
    print(json.dumps(result))


def prepare(folder: str, args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Draws what the measurements need; returns what to run for each row, by the row's name."""
    runs: dict[str, tuple[str, ...]] = {}
    if "index" in args.only:
        draw_annotation(folder, args.lines)
        runs["index"] = ("index", folder)
    if {"lmdb", "pipeline"} & set(args.only):
        Path(folder, "words").mkdir()
        draw_words(f"{folder}/words", args.images)
    if "lmdb" in args.only:
        runs |= {"lmdb": ("lmdb", f"{folder}/words", ""), "lmdb unchecked": ("lmdb", f"{folder}/words", "--no_check")}
    if "svt" in args.only:
        streets = args.svt
        if streets is None:
            streets = f"{folder}/streets"
            Path(streets).mkdir()
            draw_streets(streets)
        runs |= {"decode": ("decode", streets, ""), "svt": ("svt", streets, f"{folder}/svt")}
    if "pipeline" in args.only:
        measured("lmdb", f"{folder}/words", "--no_check")
        packed = f"{folder}/words/lmdb--no_check"
        runs |= {"threads": ("ours", packed, "threads", "none"), "processes": ("ours", packed, "processes", "none"),
                 "threads augmented": ("ours", packed, "threads", "light"),
                 "processes augmented": ("ours", packed, "processes", "light"),
                 "colour": ("loader", packed, "RGB"), "grey": ("loader", packed, "L")}
    return runs


def table(median: dict[str, dict], args: argparse.Namespace) -> Iterator[str]:
    """The rows, each with its aim."""
    def row(key: str, what: str, rate: str, goal: str) -> str:
        found = median[key]
        return f"| {what} | {found['cpu']:.1f} | {found['elapsed']:.1f} | {found['peak']:.0f} | {rate} | {goal} |"

    yield "| what | CPU s | elapsed s | peak MiB of a process | result | aim |\n|---|---|---|---|---|---|"
    if "index" in median:
        yield row("index", f"index and filter {args.lines:,} lines",
                  f"{args.lines / median['index']['elapsed']:,.0f} lines/s", "40 s, 2048 MiB")
    for key, option in (("lmdb", "every image decoded"), ("lmdb unchecked", "--no_check")):
        if key in median:
            found = median[key]
            yield row(key, f"write an LMDB of {args.images:,} images, {option}",
                      f"{args.images / found['elapsed']:,.0f} images/s, {args.images / found['cpu']:,.0f} per CPU s; "
                      f"{found['bytes'] / args.images:.0f} bytes each; memory outside files {found['early']:.0f} MiB "
                      f"in the first fifth, {found['late']:.0f} at most", "10,000 images/s, flat")
    if "svt" in median:
        name, decode, svt = "drawn pictures" if args.svt is None else "SVT", median["decode"], median["svt"]
        yield row("decode", f"{name}: decode every picture twice", "", "")
        yield row("svt", f"{name}: convert", f"{svt['elapsed'] / decode['elapsed']:.2f} of that, "
                  f"{svt['cpu'] / decode['cpu']:.2f} in CPU s", "1")
    if "threads" in median:
        colour, grey = (median[key]["rate"] for key in ("colour", "grey"))
        for key, what, goal in (
                ("threads", "input pipeline, threads", ""),
                ("processes", "input pipeline, --loader=processes", "16,000 images/s, 4 times the DataLoader"),
                ("threads augmented", "threads, --augment=light", ""),
                ("processes augmented", "--loader=processes --augment=light", "5,000 images/s")):
            rate = median[key]["rate"]
            yield row(key, what, f"{rate:,.0f} images/s, {rate / colour:.1f} times the DataLoader in colour, "
                      f"{rate / grey:.1f} in grey", goal)
        yield row("colour", "PyTorch DataLoader with Pillow, colour", f"{colour:,.0f} images/s", "")
        yield row("grey", "PyTorch DataLoader with Pillow, grey", f"{grey:,.0f} images/s", "")


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each measurement (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=7_200_000, help="lines of the annotation (default: %(default)s)")
    parser.add_argument("--images", type=int, default=100_000, help="images in the LMDB (default: %(default)s)")
    parser.add_argument("--svt", default=None, help="folder with test.xml and img/ of SVT (default: drawn pictures)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        child(args.run[0], args.run[1:])
        return
    if min(args.repeats, args.lines, args.images) < 1:
        parser.error("--repeats, --lines and --images must be 1 or more")
    print(f"{machine_line(('numpy', 'opencv-python-headless', 'lmdb', 'torch', 'pillow'))}; medians of {args.repeats} "
          "interleaved turns\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = prepare(folder, args)
        results: dict[str, list[dict]] = {key: [] for key in runs}
        for turn in range(args.repeats):
            for key, command in runs.items():
                results[key].append(measured(*command))
                print(f"turn {turn + 1}: {key}: {results[key][-1]}", file=sys.stderr, flush=True)
    medians = {key: {name: statistics.median(result[name] for result in found) for name in found[0]}
               for key, found in results.items()}
    print("\n".join(table(medians, args)))


if __name__ == "__main__":
    main()
