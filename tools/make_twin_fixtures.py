"""Writes tests/fixtures/twin_logits.npz: what the PyTorch twin computes from seeded weights and images.

Run it again only when the network is meant to change: `python tools/make_twin_fixtures.py` (needs PyTorch).
"""
from pathlib import Path

import numpy as np
import torch
from seeded_weights import seeded_weights
from torch_twin import CRNN, from_mindspore, to_mindspore

BATCH = 2


def main() -> None:
    """Computes logits (T, 2, 37) for both versions at widths 100 and 160."""
    arrays = {}
    for version in ("V1", "V2"):
        twin = CRNN(37, version).eval()
        shapes = [(name, value.shape) for name, value in to_mindspore(twin).items()]
        from_mindspore(twin, seeded_weights(shapes))
        for width in (100, 160):
            image = np.random.default_rng(width).uniform(-1, 1, (BATCH, 3, 32, width)).astype(np.float32)
            with torch.no_grad():
                arrays[f"{version}_{width}"] = twin(torch.from_numpy(image)).numpy()
    path = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "twin_logits.npz"
    np.savez_compressed(path, **arrays)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
