"""Run in the dry run: compiles a training step or an evaluation for Ascend and prints the kinds of its results."""
import argparse
import json
import os

import mindspore as ms
import numpy as np
from mindspore import Tensor, communication, nn

from src.crnn import build_network
from src.crnn_for_train import CRNNWithLoss, GradientReducer, TrainOneStepCellWithGradClip, synchronise_batch_norm
from src.distributed.ranks import Ranks
from src.loss import CTCLoss, FrameLoss
from src.network.description import FEATURES, num_steps
from src.network.precision import set_precision
from src.training.optimizer import create_optimizer

CLASSES, HIDDEN, BATCH, LABELS = 37, 256, 4, 23


def main() -> None:
    """Compiles what the arguments ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="V2")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--loss_scale", default="1.0")
    parser.add_argument("--reduction", default="sum")
    parser.add_argument("--precision", default="float16")
    parser.add_argument("--widths", type=int, nargs="+", default=[100])
    for option in ("frame_loss", "masks", "sync_bn", "evaluate"):
        parser.add_argument(f"--{option}", action="store_true")
    args = parser.parse_args()
    ms.set_device("Ascend", 0)
    ms.set_context(mode=ms.GRAPH_MODE)
    ranks = Ranks()
    if int(os.environ["RANK_SIZE"]) > 1:
        communication.init()
        ranks = Ranks(communication.get_rank(), communication.get_group_size())
    network = build_network(args.version, CLASSES, HIDDEN)
    if args.sync_bn:
        synchronise_batch_norm(network, "Ascend", ranks)
    set_precision(network, args.precision)
    cell = network.set_train(False) if args.evaluate else train_cell(args, network, ranks)
    for width in args.widths:
        outputs = cell(*inputs(args, width))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        print("OUTPUTS", json.dumps([[str(value.dtype), list(value.shape)] for value in outputs]), flush=True)


def train_cell(args: argparse.Namespace, network: nn.Cell, ranks: Ranks) -> nn.Cell:
    """The train cell as train.py puts it together."""
    frame_loss = FrameLoss(FEATURES, CLASSES, args.reduction) if args.frame_loss else None
    with_loss = CRNNWithLoss(network, CTCLoss(args.reduction), frame_loss)
    optimizer = create_optimizer(args.optimizer, with_loss.trainable_params(), weight_decay=0.01)
    scale = args.loss_scale if args.loss_scale == "dynamic" else float(args.loss_scale)
    reducer = None if ranks.is_alone else GradientReducer(ranks.size, args.reduction == "mean")
    return TrainOneStepCellWithGradClip(with_loss, optimizer, 10.0, scale, reducer, branches=False).set_train()


def inputs(args: argparse.Namespace, width: int) -> list[Tensor]:
    """A batch of zeros; values mean nothing in the dry run."""
    image = Tensor(np.zeros((BATCH, 3, 32, width), np.float32))
    if args.evaluate:
        return [image]
    batch = [image, Tensor(np.zeros((BATCH, LABELS), np.int32)), Tensor(np.ones(BATCH, np.int32)),
             Tensor(1.0, ms.float32), Tensor(0.01, ms.float32), Tensor(np.zeros(3, np.float32))]
    if args.masks:
        batch.append(Tensor(np.ones((num_steps(width), BATCH, 2 * HIDDEN), np.bool_)))
    return batch


if __name__ == "__main__":
    main()
