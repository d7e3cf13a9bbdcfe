"""MINDIR and AIR files: written by MindSpore, and a MINDIR loaded again."""
import shutil
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.reading.reading import Forward


def write_mindspore(net: nn.Cell, path: Path, file_format: str, batch: int | None, height: int,
                    width: int | None) -> None:
    """Exports a network with MindSpore.

    Args:
        net: the network, in evaluation mode.
        path: file to write, with the ending MindSpore expects: ``.mindir`` or ``.air``.
        file_format: "MINDIR" or "AIR".
        batch: images per call; None leaves it free.
        height: of the images in pixels.
        width: of the images in pixels; None leaves it free.
    """
    shape: list = [batch, 3, height, width]
    example = Tensor(shape=shape, dtype=ms.float32) if None in shape else Tensor(np.zeros(shape, np.float32))
    with tempfile.TemporaryDirectory(prefix="crnn-export-") as folder:
        # MindSpore refuses to write to paths with spaces or other than Latin letters.
        plain = Path(folder, f"network{path.suffix}")
        ms.export(net, example, file_name=str(plain.with_suffix("")), file_format=file_format)
        plain.chmod(0o644)  # MindSpore makes it readable for its owner alone
        shutil.move(plain, path)


def load_mindir(path: Path) -> Forward:
    """Loads a MINDIR file as a function from images (N, 3, H, W) to class scores (T, N, class_num)."""
    net = nn.GraphCell(ms.load(str(path)))
    return lambda images: net(Tensor(images)).asnumpy().astype(np.float32)
