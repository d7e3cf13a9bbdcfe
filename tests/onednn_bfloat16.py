"""Prints how far the feature extractor in bfloat16 is from float64, for test_extractor.py, in a process of its own.

JSON: for each size the Euclidean distances of outputs, running statistics and gradients, with our own convolutions and
with oneDNN's; nothing where the CPU has no bfloat16.
"""
import ctypes
import json

import numpy as np

from src.onednn import build
from tests.onednn.test_extractor import Extractor, norm_distance, normal


def distances(library: ctypes.CDLL, n: int, height: int, width: int, direct: bool) -> list[float]:
    """Three stages whose ReLUs let everything pass: where rounding chose a side, it would be all that counts."""
    stages = ((32, 3, 1, (1, 1)), (64, 3, 1, (1, 1)), (96, 3, 1, (1, 1)))
    net = Extractor(library, n, width, stages=stages, direct=direct, height=height, bf16=True)
    for stage in net.parameters:
        stage[2] += 8
    y, moving, gradients, dx, weight = net.train(normal(net))
    ty, tmoving, tgradients, tdx = net.reference(True, weight)
    return [norm_distance(y - y.mean((0, 2, 3), keepdims=True), ty - ty.mean((0, 2, 3), keepdims=True)),
            *map(norm_distance, moving, tmoving), *map(norm_distance, [*gradients, dx], [*tgradients, tdx.numpy()]),
            norm_distance(net.evaluate(), net.reference(False)[0])]


def main() -> None:
    """Prints the distances."""
    library = ctypes.CDLL(str(build.library()))
    library.crnn_vgg_memory.restype = ctypes.c_int64
    found = {}
    if library.crnn_onednn_bf16():
        for direct in (False, True):
            sizes = ((3, 8, 50), (5, 5, 45), (1, 9, 13), (1, 3, 2))  # odd numbers of tiles, too
            found["direct" if direct else "own"] = [distances(library, *size, direct) for size in sizes]
    print(json.dumps(found, default=np.float64.item))


if __name__ == "__main__":
    main()
