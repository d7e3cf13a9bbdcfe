"""Turns weights that the PyTorch twin was trained to into a checkpoint, and shows that both networks agree on them."""
import argparse
import glob
import os
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CheckpointError, DataError, run_main

_DESCRIPTION = """Reads the weights that tools/train_twin.py wrote (.npz, under MindSpore's names, whole or in parts),
computes class scores of the same images with the twin in PyTorch and with the network in MindSpore, and writes the
checkpoint when they differ by less than --tolerance."""
_EPILOG = "Exit code 0: written; 2: error, or the two networks do not agree."


def read_parts(paths: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of some .npz files together, float32.

    Raises:
        CheckpointError: a file cannot be read, is not such a file, or two hold the same name.
    """
    weights: dict[str, np.ndarray] = {}
    for path in paths:
        if not os.path.isfile(path):
            raise CheckpointError(f"{path} {'is a folder' if os.path.isdir(path) else 'does not exist'}; give the .npz "
                                  "file that tools/train_twin.py wrote")
        try:
            with np.load(path) as arrays:  # of a .npy file an array, which is no context: TypeError
                for name in arrays:
                    if name in weights:
                        raise CheckpointError(f"{path}: {name} is in another file, too: give the parts of one network")
                    weights[name] = np.asarray(arrays[name], np.float32)
        except PermissionError as error:
            raise CheckpointError(f"{path} may not be read; change its permissions") from error
        except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise CheckpointError(f"{path} is no .npz file of weights, or it is damaged or cut off; give a file that "
                                  "tools/train_twin.py wrote") from error
    return weights


def twin_scores(weights: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Class scores (T, N, classes) that the PyTorch twin computes of (N, 3, 32, W) float32.

    Raises:
        CheckpointError: a weight is missing or has another shape.
    """
    import torch

    from tools.torch_twin import CRNN, from_mindspore

    last, inner = weights.get("rnn.1.embedding.bias"), weights.get("rnn.0.rnn.weight_hh_l0")
    if last is None or inner is None:
        raise CheckpointError("the weights are not those of a V2 network: rnn.1.embedding.bias or rnn.0.rnn is missing")
    twin = CRNN(len(last), "V2", inner.shape[1]).eval()
    try:
        from_mindspore(twin, weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"the weights do not fit the twin: {error}") from error
    with torch.no_grad():
        return twin(torch.from_numpy(images)).numpy()


def sample_images(folder: str, count: int, width: int, seed: int = 0) -> np.ndarray:
    """Network input (N, 3, 32, width) float32: word images of a folder (and below), or noise where none is given.

    Raises:
        DataError: the folder holds no images.
    """
    from src.data.preprocess import InputSpec, read_image, to_batch

    if not folder:
        return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 32, width)).astype(np.float32)
    files = sorted(path for path in glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True)
                   if path.lower().endswith((".png", ".jpg", ".jpeg")))
    if not files:
        raise DataError(f"{folder} holds no .png or .jpg images")
    chosen = np.unique(np.linspace(0, len(files) - 1, count).astype(int))
    return to_batch([read_image(files[i]) for i in chosen], InputSpec(width=width))


def main(argv: list[str] | None = None) -> int:
    """Imports as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("weights", nargs="+", metavar="NPZ", help="weights of tools/train_twin.py, all parts")
    parser.add_argument("-o", "--output", required=True, help="the checkpoint to write (.ckpt)")
    parser.add_argument("--label_dict", default="abcdefghijklmnopqrstuvwxyz0123456789",
                        help="the characters, in the order of their classes (default: a-z0-9)")
    parser.add_argument("--image_width", type=int, default=100,
                        help="columns of the images it was trained with (default: %(default)s)")
    parser.add_argument("--images", default="", help="folder of word images to compare on (default: noise)")
    parser.add_argument("--count", type=int, default=64, help="images to compare on (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="largest difference of a class score (default: %(default)s)")
    args = parser.parse_args(argv)
    if not args.output.endswith(".ckpt"):
        raise CheckpointError(f"-o {args.output}: the name must end in .ckpt")
    if args.count < 1:
        raise DataError(f"--count {args.count} must be at least 1")
    if args.image_width < 9:
        raise DataError(f"--image_width {args.image_width} must be 9 or more")
    weights = read_parts(args.weights)
    images = sample_images(args.images, args.count, args.image_width)
    expected = twin_scores(weights, images)

    from src.model_utils.config import configured
    from src.model_utils.context import set_up_context, speed_up

    config = configured(device_target="CPU", label_dict=args.label_dict)
    print(set_up_context(config, own_operators=True), flush=True)
    from mindspore import Tensor

    from src.common.charset import Charset
    from src.crnn import build_network
    from src.network.checkpoint import Checkpoint, load_weights, write_checkpoint

    charset = Charset.from_config(args.label_dict)
    checkpoint = Checkpoint(args.weights[0], weights)
    if checkpoint.class_num != charset.class_num:
        raise CheckpointError(f"{args.weights[0]} has {checkpoint.class_num} classes, but --label_dict makes "
                              f"{charset.class_num} (its characters and the blank)")
    network = build_network("V2", charset.class_num, checkpoint.hidden_size)
    load_weights(network, checkpoint)
    speed_up(network, config)
    found = network.set_train(False)(Tensor(images)).asnumpy()
    difference = float(np.abs(found - expected).max())
    same = float((found.argmax(2) == expected.argmax(2)).mean())
    print(f"class scores of {len(images)} images: largest difference {difference:.2e}, scores up to "
          f"{np.abs(expected).max():.1f}, the same class at {same:.2%} of the steps")
    if not difference < args.tolerance:
        raise CheckpointError(f"the networks differ by {difference:.2e}, more than {args.tolerance:g}: nothing written")
    write_checkpoint(args.output, network, {"label_dict": charset.characters, "model_version": "V2",
                                            "image_width": args.image_width})
    print(f"wrote {args.output}")
    return 0


if __name__ == "__main__":
    run_main(main)
