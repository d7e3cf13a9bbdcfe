"""CTC loss that survives impossible samples, and the frame-wise loss that leads CTC off its first plateau."""
import mindspore as ms
from mindspore import Tensor, nn, ops

from src.common.errors import ConfigError


class CTCLoss(nn.Cell):
    """Connectionist temporal classification (Graves et al. 2006), blank = last class, computed in float32.

    A word of L characters with R equal neighbours needs L + R steps. A sample that does not fit into T steps has
    probability 0 and an infinite loss: it is counted, and its loss and gradient are 0, so that one impossible word
    cannot spoil a run.

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
            label: (N, L) int32 class indices, padded with anything beyond each length.
            label_length: (N,) int32.

        Returns:
            The reduced loss, float32 scalar, and the number of impossible samples, int32 scalar.
        """
        steps, batch, classes = logits.shape
        column = ops.arange(label.shape[1])
        inside = column[1:] < label_length.expand_dims(1)
        repeats = ops.logical_and(label[:, 1:] == label[:, :-1], inside).astype(ms.int32).sum(axis=1)
        fits = label_length + repeats <= steps
        # The kernel refuses lengths above T and returns inf for the others: impossible samples are computed as empty.
        length = ops.where(fits, label_length, ops.zeros_like(label_length))
        log_probs = ops.log_softmax(logits.astype(ms.float32), axis=2)
        input_length = ops.full((batch,), steps, dtype=ms.int32)
        losses, _ = ops.ctc_loss(log_probs, label, input_length, length, blank=classes - 1, reduction="none")
        losses = losses * fits.astype(ms.float32)
        total = losses.sum()
        return (total / batch if self.mean else total), (1 - fits.astype(ms.int32)).sum()


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
