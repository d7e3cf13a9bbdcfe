"""Small drawn data sets for the tests of the data path."""
from types import SimpleNamespace

import cv2
import numpy as np

from src.dataset import create_dataset

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def config(**keys):
    return SimpleNamespace(**{"num_parallel_workers": 2, "seed": 3, "label_dict": CHARACTERS, **keys})


def make_set(folder, count=70, words=None, broken=(), layout="iiit5k"):
    """Draws a data set; the images named in ``broken`` cannot be read."""
    folder.mkdir(parents=True)
    words = words or [f"word{i}" for i in range(count)]
    lines, kinds = [], ("truncated", "text", "empty", "missing")
    for i, word in enumerate(words):
        name = f"{i % 3}/{i}.{'jpg' if i % 2 else 'png'}"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        image = np.full((24 + i % 20, 60 + i % 50, 3), (i * 7) % 256, np.uint8)
        cv2.putText(image, word[:6], (2, 18), 0, 0.6, (255, 255, 255), 1)
        cv2.imwrite(str(path), image)
        if i in broken:
            kind = kinds[list(broken).index(i) % len(kinds)]
            data = path.read_bytes()
            path.write_bytes({"truncated": data[:-20], "text": b"no image", "empty": b""}.get(kind, b""))
            if kind == "missing":
                path.unlink()
        lines.append(f"{name},{word}" if layout == "iiit5k" else f"./{name} {i}")
    if layout == "iiit5k":
        (folder / "annotation.txt").write_text("\n".join(lines) + "\n")
    else:
        (folder / "lexicon.txt").write_text("\n".join(words) + "\n")
        for split in ("train", "test"):
            (folder / f"annotation_{split}.txt").write_text("\n".join(lines) + "\n")
    return str(folder)


def train(path, batch_size=16, shards=1, shard=0, augment=None, **keys):
    return create_dataset("iiit5k", path, batch_size, shards, shard, True, config(**keys), augment)


def evaluate(path, batch_size=16, shards=1, shard=0, **keys):
    return create_dataset("iiit5k", path, batch_size, shards, shard, False, config(**keys))


def indices(batches):
    return [batch.index.tolist() for batch in batches]


def same(a, b):
    assert a.text == b.text and a.reference == b.reference
    for name in ("image", "label", "label_length", "index"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
