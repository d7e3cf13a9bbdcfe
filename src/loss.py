"""CTC loss that survives impossible samples, and the frame-wise loss that leads CTC off its first plateau."""
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.common.errors import ConfigError

_NEVER = -1e30
"""Log-probability of what cannot happen: finite, so that no operator meets an infinity; exp() of it is 0."""


@ops.constexpr
def _same_length(batch: int, length: int) -> Tensor:
    """(batch,) int32, known when the graph is compiled."""
    return Tensor(np.full(batch, length, np.int32))


class CTCLoss(nn.Cell):
    """Connectionist temporal classification (Graves et al. 2006), blank = last class, computed in float32.

    A word of L characters with R equal neighbours needs L + R steps. A sample that does not fit into T steps has
    probability 0 and an infinite loss: it is counted, and its loss and gradient are 0, so that one impossible word
    cannot spoil a run.

    The operator that Ascend devices have for it (CTCLossV2, see docs/ascend.md) asks for targets without the blank and
    for target lengths of at least 1, and the shape of one of its results follows the largest length. So all words are
    made equally long, on all devices: a word is filled up to the width W of the label array with two classes of our
    own, in turns, and W steps are added to the scores, in which the fill (then blanks) has probability 1. Each path of
    the word has exactly one continuation, of probability 1: loss and gradient stay what they are.

    Args:
        reduction: "sum" over the batch, as the model zoo's recipe has it (its learning rate 0.02 belongs to the sum),
            or "mean" over the batch (the number of rows, impossible ones included).

    Raises:
        ConfigError: unknown reduction.
    """

    def __init__(self, reduction: str = "sum") -> None:
        super().__init__()
        if reduction not in ("sum", "mean"):
            raise ConfigError(f"loss_reduction is {reduction!r}; choose sum or mean")
        self.mean = reduction == "mean"

    def construct(self, logits: Tensor, label: Tensor, label_length: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the loss.

        Args:
            logits: (T, N, C) class scores, any float type.
            label: (N, W) int32 class indices without the blank, padded with anything beyond each length.
            label_length: (N,) int32, 0 to W.

        Returns:
            The reduced loss, float32 scalar, and the number of impossible samples, int32 scalar.
        """
        losses, fits = self.of_words(logits, label, label_length)
        total = losses.sum()
        return (total / label.shape[0] if self.mean else total), (1 - fits.astype(ms.int32)).sum()

    def of_words(self, logits: Tensor, label: Tensor, label_length: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each word, 0 of an impossible one, and whether it is possible: (N,) float32 and bool."""
        steps, batch, classes = logits.shape
        width = label.shape[1]
        column = ops.arange(width)
        repeats = ops.zeros_like(label_length)
        if width > 1:  # MindSpore's sum of no columns is whatever was in memory (findings/mindspore_empty_sum.sh)
            inside = column[1:] < label_length.expand_dims(1)
            repeats = ops.logical_and(label[:, 1:] == label[:, :-1], inside).astype(ms.int32).sum(axis=1)
        fits = label_length + repeats <= steps
        # Nothing would be left of an impossible sample but an infinity: it is computed as an empty word.
        length = ops.where(fits, label_length, ops.zeros_like(label_length))
        scores = self._extended(ops.log_softmax(logits.astype(ms.float32), axis=2), length, width)
        target = ops.where(column < length.expand_dims(1), label, (classes + column % 2).astype(label.dtype))
        # [0], as MindSpore warns when the second result is taken and not used.
        losses = ops.ctc_loss(scores, target, _same_length(batch, steps + width), _same_length(batch, width),
                              blank=classes - 1, reduction="none")[0]
        return losses * fits.astype(ms.float32), fits

    @staticmethod
    def _extended(log_probs: Tensor, length: Tensor, width: int) -> Tensor:
        """Adds the two classes of the fill and the steps in which each word's fill is certain.

        Args:
            log_probs: (T, N, C) float32.
            length: (N,) int32, of the words.
            width: W, which all words are filled up to.

        Returns:
            (T + W, N, C + 2) float32.
        """
        steps, batch, classes = log_probs.shape
        real = ops.concat((log_probs, ops.full((steps, batch, 2), _NEVER, dtype=ms.float32)), axis=2)
        position = ops.arange(width).expand_dims(1) + length  # (W, N), in the filled word
        certain = ops.where(position < width, classes + position % 2, ops.full_like(position, classes - 1))
        added = ops.where(certain.expand_dims(2) == ops.arange(classes + 2), Tensor(0.0, ms.float32),
                          Tensor(_NEVER, ms.float32))
        return ops.concat((real, added), axis=0)


class FrameLoss(nn.Cell):
    """Cross-entropy of a throw-away linear head on the feature columns, for the first part of a training run.

    CTC from scratch predicts nothing but blanks for thousands of steps. Telling every feature column which character
    it roughly sees (the word's characters spread evenly over the columns) lets the convolutions learn letters at
    once; the weight fades to 0, and the head is no part of the network.

    Args:
        input_size: channels of the feature columns.
        class_num: number of classes, the blank included.
        reduction: "sum" or "mean" over the batch, as for the CTC loss beside it.
    """

    def __init__(self, input_size: int, class_num: int, reduction: str = "sum") -> None:
        super().__init__()
        self.head = nn.Dense(input_size, class_num)
        self.class_num = class_num
        self.mean = reduction == "mean"

    def construct(self, features: Tensor, label: Tensor, label_length: Tensor) -> Tensor:
        """Computes the loss from features (T, N, input_size), label (N, L) and label_length (N,); float32 scalar."""
        steps, batch, _ = features.shape
        position = (ops.arange(steps).expand_dims(0) * label_length.expand_dims(1)) // steps  # (N, T)
        target = ops.gather_elements(label, 1, position.astype(ms.int32))
        target = ops.where(label_length.expand_dims(1) > 0, target, ops.full_like(target, self.class_num - 1))
        scores = self.head(features.astype(ms.float32)).transpose(1, 0, 2).reshape(-1, self.class_num)
        loss = ops.cross_entropy(scores, target.reshape(-1).astype(ms.int32))  # mean over N * T columns
        return loss if self.mean else loss * batch
