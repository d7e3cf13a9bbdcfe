"""Speed and memory of the data path, as a Markdown table: indexing, LMDB writing, SVT conversion.

    python benchmarks/bench_data.py [--lines 7200000] [--images 100000] [--svt FOLDER] [--only index lmdb svt]

Each measurement is a process of its own. CPU seconds are what counts on a machine with other work to do; the elapsed
time stands beside them. Everything drawn is written to a temporary folder and removed.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

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
    """A set of ``count`` lines that share ``files`` JPEG files of the size of MJSynth's."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(files):
        image = np.full((31, int(rng.integers(50, 160)), 3), int(rng.integers(90, 250)), np.uint8)
        cv2.putText(image, f"w{i}", (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 40, 60), 2)
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        Path(folder, str(i % 40)).mkdir(exist_ok=True)
        cv2.imwrite(f"{folder}/{i % 40}/{i}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])
    for i in rng.integers(0, files, count).tolist():
        lines.append(f"{i % 40}/{i}.jpg\tw{i}\n")
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
    from src.charset import Charset
    from src.dataset import filter_words, open_source
    from src.labels import LabelTable
    from src.model_utils.config import load_config

    config = load_config([])
    source = open_source("synth", folder, "train")
    labels = LabelTable(source.texts, Charset.from_config(config.label_dict))
    kept, _ = filter_words(source, labels, config.max_text_length, config.num_step, True)
    return {"count": len(kept)}


def run_lmdb(folder: str, no_check: str) -> dict:
    """Writes the set as an LMDB; also the memory after the first fifth and the largest after it."""
    from convert_lmdb import main

    seen: list[float] = []
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
    from src.preprocess import read_image

    for path in sorted(Path(folder, "img").iterdir()) * 2:
        read_image(path)
    return {}


def run_svt(folder: str, out: str) -> dict:
    """Converts SVT."""
    from convert_svt import main

    main(["-d", folder, "-o", out, "--overwrite"])
    return {}


def measured(name: str, *arguments: str) -> dict:
    """Runs a measurement in a process of its own; adds cpu and elapsed seconds and peak MiB."""
    child = subprocess.run([sys.executable, __file__, "--run", name, *arguments], check=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)
    return json.loads(child.stdout.splitlines()[-1])


def child(name: str, arguments: list[str]) -> None:
    """The measured process."""
    functions: dict[str, Callable] = {"index": run_index, "lmdb": run_lmdb, "svt": run_svt, "decode": run_decode}
    begin, cpu = time.perf_counter(), time.process_time()
    result = functions[name](*arguments)
    result |= {"elapsed": time.perf_counter() - begin, "cpu": time.process_time() - cpu,
               "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    print(json.dumps(result))


def row(what: str, result: dict, rate: str, goal: str) -> str:
    """One line of the table."""
    return f"| {what} | {result['cpu']:.1f} | {result['elapsed']:.1f} | {result['peak']:.0f} | {rate} | {goal} |"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=7_200_000, help="lines of the annotation (default: %(default)s)")
    parser.add_argument("--images", type=int, default=100_000, help="images in the LMDB (default: %(default)s)")
    parser.add_argument("--svt", default=None, help="folder with test.xml and img/ of SVT (default: drawn pictures)")
    parser.add_argument("--only", nargs="+", choices=["index", "lmdb", "svt"], default=["index", "lmdb", "svt"])
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        child(args.run[0], args.run[1:])
        return
    print("| what | CPU s | elapsed s | peak MiB | result | goal |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if "index" in args.only:
            draw_annotation(folder, args.lines)
            result = measured("index", folder)
            print(row(f"index and filter {args.lines:,} lines", result,
                      f"{args.lines / result['cpu']:,.0f} lines per CPU s", "40 s, 2048 MiB"), flush=True)
        if "lmdb" in args.only:
            Path(folder, "words").mkdir()
            draw_words(f"{folder}/words", args.images)
            for option, name in (("", "every image decoded"), ("--no_check", "--no_check")):
                result = measured("lmdb", f"{folder}/words", option)
                print(row(f"write an LMDB of {args.images:,} images, {name}", result,
                          f"{args.images / result['cpu']:,.0f} images per CPU s, "
                          f"{args.images / result['elapsed']:,.0f} per s; "
                          f"{result['bytes'] / args.images:.0f} bytes each; memory outside files "
                          f"{result['early']:.0f} MiB in the first fifth, {result['late']:.0f} at most",
                          "10,000 images/s, flat"), flush=True)
        if "svt" in args.only:
            streets = args.svt
            if streets is None:
                streets = f"{folder}/streets"
                Path(streets).mkdir()
                draw_streets(streets)
            decode, svt = measured("decode", streets, ""), measured("svt", streets, f"{folder}/svt")
            name = "drawn pictures" if args.svt is None else "SVT"
            print(row(f"{name}: decode every picture twice", decode, "", ""))
            print(row(f"{name}: convert", svt, f"{svt['cpu'] / decode['cpu']:.2f} of that", "1"), flush=True)


if __name__ == "__main__":
    main()
