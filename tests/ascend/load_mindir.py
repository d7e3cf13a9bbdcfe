"""Run in the dry run: loads a MINDIR file, compiles it, and prints type and shape of its result."""
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


def main(path: str) -> None:
    """Compiles the model in a file for images of 100 x 32 pixels."""
    ms.set_device("Ascend", 0)
    ms.set_context(mode=ms.GRAPH_MODE)
    network = nn.GraphCell(ms.load(path))
    scores = network(Tensor(np.zeros((1, 3, 32, 100), np.float32)))
    print("OUTPUTS", scores.dtype, scores.shape, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
