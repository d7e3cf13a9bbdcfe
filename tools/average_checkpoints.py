"""Averages the weights of several checkpoints of one run: a network that often reads better than any of them."""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CheckpointError, run_main
from src.common.files import keep_apart
from src.network.description import FACTS  # what must not differ, and is that of the average

_DESCRIPTION = """Averages the weights of checkpoints: each weight, and the means and variances of batch norm, is the
mean of theirs. Useful for the last few of one run with a constant learning rate, or for runs that began from the same
weights. The result holds no training state: it can be evaluated, exported and fine-tuned."""


def average_weights(checkpoints: Sequence) -> dict[str, np.ndarray]:
    """The mean of the weights of some checkpoints, computed in float64; float32 arrays by parameter name.

    Raises:
        CheckpointError: they belong to different networks or charsets, or hold values that are not finite.
    """
    first, total = checkpoints[0], {}
    for checkpoint in checkpoints:
        for name in FACTS:
            if name in first.info and name in checkpoint.info and first.info[name] != checkpoint.info[name]:
                raise CheckpointError(f"{checkpoint.path} was trained with {name} {checkpoint.info[name]!r}, but "
                                      f"{first.path} with {first.info[name]!r}: they cannot be averaged")
        shapes = [{name: value.shape for name, value in item.weights.items()} for item in (first, checkpoint)]
        if shapes[0] != shapes[1]:
            name = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
            raise CheckpointError(f"{first.path} and {checkpoint.path} differ in {name}: they cannot be averaged")
        for name, value in checkpoint.weights.items():
            if not np.isfinite(value).all():
                raise CheckpointError(f"{checkpoint.path}: {name} holds values that are not finite")
            total[name] = total.get(name, 0.0) + value.astype(np.float64)
    return {name: (value / len(checkpoints)).astype(np.float32) for name, value in total.items()}


def main(argv: list[str] | None = None) -> int:
    """Averages as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("checkpoints", nargs="+", metavar="FILE", help="checkpoints (.ckpt, or weights in .npz)")
    parser.add_argument("-o", "--output", required=True, help="the checkpoint to write (.ckpt)")
    args = parser.parse_args(argv)
    if len(args.checkpoints) < 2:
        raise CheckpointError(f"{args.checkpoints[0]} alone is its own average: give two or more checkpoints")
    if not args.output.endswith(".ckpt"):
        raise CheckpointError(f"-o {args.output}: the name must end in .ckpt")
    keep_apart(args.output, args.checkpoints)

    from src.network.checkpoint import read_checkpoint, write_arrays  # lazily: MindSpore takes seconds

    checkpoints = [read_checkpoint(path) for path in args.checkpoints]
    version = checkpoints[0].model_version  # an error where this is no CRNN
    info = {name: item.info[name] for item in checkpoints for name in FACTS if name in item.info}
    info.update(model_version=version, averaged=len(checkpoints))
    write_arrays(args.output, average_weights(checkpoints), info)
    print(f"{args.output}: the average of {len(checkpoints)} checkpoints")
    return 0


if __name__ == "__main__":
    run_main(main)
