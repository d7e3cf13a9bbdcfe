"""Flips random single bits of a checkpoint, an ONNX file and a .mindir.json file, one at a time, and loads each.

    python benchmarks/flip_bits.py [--flips 1000] [--seed 1] [--only checkpoint onnx json]

Checkpoint and ONNX file are those that come with the program, copied; the third is written with the same facts. A flip
is found when loading refuses the file; it is harmless when everything that was loaded equals the original. Anything
else is printed as unnoticed, and the exit code is 1.
"""
import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.common.errors import CheckpointError  # noqa: E402
from src.deploy.metadata import read_sidecar, sidecar_path, write_sidecar  # noqa: E402
from src.deploy.onnx.network import OnnxNetwork  # noqa: E402
from src.network.checkpoint import read_checkpoint  # noqa: E402

CHECKPOINT, ONNX = ROOT / "pretrained" / "crnn_v2.ckpt", ROOT / "pretrained" / "crnn_v2_int8.onnx"


def write_files(folder: Path) -> tuple[Path, Path, Path]:
    """Copies the checkpoint and the ONNX file, and writes the third; returns their paths."""
    shutil.copy(CHECKPOINT, folder / "crnn.ckpt")
    shutil.copy(ONNX, folder / "crnn.onnx")
    info = OnnxNetwork(folder / "crnn.onnx").info
    write_sidecar(folder / "crnn.mindir", info, {"input_shape": [1, 3, 32, 100]})
    return folder / "crnn.ckpt", folder / "crnn.onnx", sidecar_path(folder / "crnn.mindir")


def load_checkpoint_file(path: Path) -> dict[str, Any]:
    """Everything that is read from a checkpoint."""
    found = read_checkpoint(str(path))
    return {**found.values, **found.info}


def load_onnx_file(path: Path) -> dict[str, Any]:
    """What a network of an ONNX file says of itself, and what it computes."""
    network = OnnxNetwork(path, threads=1)
    return {"info": json.dumps(network.info.to_dict()), "scores": network(np.zeros((1, 3, 32, 100), np.float32))}


def load_json_file(path: Path) -> dict[str, Any]:
    """The facts in the file beside a MINDIR file."""
    return read_sidecar(path.with_suffix("")).to_dict()


def is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether everything that was loaded is equal."""
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name]) if isinstance(value, np.ndarray) else value == other[name]
        for name, value in one.items())


def flip_bits(path: Path, load: Callable[[Path], dict[str, Any]], flips: int, seed: int) -> tuple[int, int, list[int]]:
    """Returns how many flips were found, how many changed nothing, and the places of the others, in bits."""
    whole = load(path)
    found, harmless, unnoticed = 0, 0, []
    bits = 8 * path.stat().st_size
    for bit in np.random.default_rng(seed).choice(bits, size=min(flips, bits), replace=False):
        flip(path, int(bit))
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                same = is_same(load(path), whole)
            harmless += same
            unnoticed += [] if same else [int(bit)]
        except CheckpointError:
            found += 1
        finally:
            flip(path, int(bit))
    return found, harmless, unnoticed


def flip(path: Path, bit: int) -> None:
    """Flips one bit of a file, in place."""
    with open(path, "r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))


def main() -> int:
    """Flips bits of each file; returns 1 where one went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=("checkpoint", "onnx", "json"))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # MindSpore's remarks on files that it cannot read
    print(machine_line())
    failed = 0
    with tempfile.TemporaryDirectory(prefix="crnn-flips-", dir=os.environ.get("TMPDIR")) as folder:
        files = write_files(Path(folder))
        print("| file | bytes | flips | refused | changed nothing | unnoticed |\n|---|---|---|---|---|---|")
        loaders = (load_checkpoint_file, load_onnx_file, load_json_file)
        for name, path, load in zip(("checkpoint", "onnx", "json"), files, loaders, strict=True):
            if options.only and name not in options.only:
                continue
            found, harmless, unnoticed = flip_bits(path, load, options.flips, options.seed)
            places = f" at bit {', '.join(map(str, unnoticed[:5]))}" if unnoticed else ""
            flips = found + harmless + len(unnoticed)
            size = path.stat().st_size
            print(f"| {path.name} | {size} | {flips} | {found} | {harmless} | {len(unnoticed)}{places} |", flush=True)
            failed += len(unnoticed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
