"""Optional CPU accelerator: the network's slow operators run on the oneDNN library that MindSpore ships.

MindSpore hands oneDNN plain layouts, for which it has only slow kernels on AVX-512 machines. The C++ operators here
call the same library with layouts of its choice. They are compiled once, on first use, with the system's g++ and kept
in the user's cache folder. Without a compiler, on another platform, or on any error everything stays as it was.

    usable, reason = available()       # before mindspore is imported: decides whether its CPU cap is needed
    print(accelerate(network))         # swaps the operators in place; parameters and their names stay
    restore(network)                   # back to the stock operators, for export say

`CRNN_ONEDNN=0` switches it off. Threads: `OMP_NUM_THREADS`, else one per core.
"""
import sys
from typing import TYPE_CHECKING

from src.onednn.build import BuildError, available, library

if TYPE_CHECKING:
    from mindspore import Tensor, nn, ops

__all__ = ["BuildError", "accelerate", "available", "clipping", "library", "restore"]


def accelerate(net: "nn.Cell", dtype: str = "float32", frozen: bool = False) -> str:
    """Swaps the operators of a built network in place.

    The very same cells and Parameter objects stay, under the same names; only what the cells compute with changes.

    Args:
        net: a network; its convolutions, the convolution stages of `src.crnn` and bidirectional LSTMs are swapped.
        dtype: "float32", or "bfloat16": convolutions compute in bfloat16 and hand each other bfloat16, LSTM layers
            round what they multiply in training, while parameters, batch statistics, states, gradients of parameters
            and everything else stay float32.
        frozen: the parameters do not change any more: evaluation uses the weights of its first call, which spares every
            call their preparation. Accelerate again after a change.

    Returns:
        One line: what runs now and, where operators stayed stock, why.

    Raises:
        ValueError: unknown dtype.
    """
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype is {dtype!r}; choose float32 or bfloat16")
    usable, reason = available()
    if not usable:
        return f"stock operators: {reason}"
    try:
        from src.onednn import cells  # it imports MindSpore, which `available` has to precede

        return cells.accelerate(net, dtype, frozen)
    except Exception as error:  # an optional speed-up must not be what ends a program
        restore(net)
        return f"stock operators: the accelerator failed ({type(error).__name__}: {error})"


def restore(net: "nn.Cell") -> None:
    """Gives a network its stock operators back; does nothing to one that was never accelerated."""
    cells = sys.modules.get("src.onednn.cells")  # without it no network can have been accelerated
    if cells is not None:
        cells.restore(net)


def clipping(net: "nn.Cell", clip_norm: float) -> "tuple[ops.Custom, Tensor] | None":
    """Clipping of the gradients as one operator, for an accelerated network; see :func:`src.onednn.operators.clipping`.

    Args:
        net: the network, or a cell around it.
        clip_norm: largest global norm, 0 for none.

    Returns:
        The operator and its setting, or None where the network has its stock operators.
    """
    cells = sys.modules.get("src.onednn.cells")
    return cells.clipping(net, clip_norm) if cells is not None else None
