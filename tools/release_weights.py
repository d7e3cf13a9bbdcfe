"""Makes a small checkpoint to hand on: the weights alone, in float16, with what one must know to read with them."""
import argparse
import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CheckpointError, ConfigError, run_main
from src.common.files import keep_apart
from src.network.description import FACTS

_DESCRIPTION = """Write the weights of a checkpoint, without any training state, in float16 (computed in float32 when
loaded): a sixth of what train.py saves with AdamW. The file can be evaluated, exported and fine-tuned as any other."""


def halved(weights: dict[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Weights in float16.

    Args:
        weights: arrays by parameter name.
        path: where they come from, for messages.

    Raises:
        CheckpointError: one is beyond the numbers of float16, or no number.
    """
    result = {}
    for name, value in weights.items():
        with np.errstate(over="ignore"):
            result[name] = value.astype(np.float16)
        if not np.isfinite(result[name]).all():
            raise CheckpointError(f"{path}: {name} holds values that float16 cannot ({np.abs(value).max():g}; at most "
                                  "65504); keep the checkpoint as it is")
    return result


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("checkpoint", metavar="FILE", help="checkpoint (.ckpt), or weights in .npz")
    parser.add_argument("-o", "--output", required=True, help="the checkpoint to write (.ckpt)")
    parser.add_argument("--temperature", type=float, default=None,
                        help="of the confidence, as fit_temperature.py found it (default: the checkpoint's, if any)")
    args = parser.parse_args(argv)
    if not args.output.endswith(".ckpt"):
        raise CheckpointError(f"-o {args.output}: the name must end in .ckpt")
    keep_apart(args.output, [args.checkpoint])
    if args.temperature is not None and not 0 < args.temperature < np.inf:
        raise ConfigError(f"--temperature {args.temperature:g}: it must be above 0")

    from src.network.checkpoint import read_checkpoint, write_arrays  # lazily: MindSpore takes seconds

    checkpoint = read_checkpoint(args.checkpoint)
    info = {name: checkpoint.info[name] for name in (*FACTS, "temperature") if name in checkpoint.info}
    info["model_version"] = checkpoint.model_version  # an error where this is no CRNN
    if args.temperature is not None:
        info["temperature"] = args.temperature
    weights = halved(checkpoint.weights, checkpoint.path)
    write_arrays(args.output, weights, info)
    print(f"{args.output}: {sum(value.size for value in weights.values()):,} numbers in float16, "
          f"{os.path.getsize(args.output) / 2 ** 20:.1f} MiB")
    return 0


if __name__ == "__main__":
    run_main(main)
