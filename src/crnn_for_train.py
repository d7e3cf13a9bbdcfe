"""The one-step train cell: loss scaling, gradient reduction across cards, clipping, and the optimizer."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.common.errors import ConfigError
from src.crnn import Conv
from src.distributed.ranks import Ranks
from src.loss import CTCLoss, FrameLoss

KEPT = "kept."
"""Begins the names of the parameters that hold batch norm's statistics of before the step."""

_unscale = ops.MultitypeFuncGraph("unscale")
_square = ops.MultitypeFuncGraph("square")
_assign = ops.MultitypeFuncGraph("assign")


@_unscale.register("Tensor", "Tensor")
def _unscale_gradient(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient.astype(ms.float32) * factor


@_square.register("Tensor")
def _square_gradient(gradient: Tensor) -> Tensor:
    return ops.square(gradient).sum()


@_assign.register("Tensor", "Tensor")
def _assign_value(target: Tensor, value: Tensor) -> Tensor:
    return ops.assign(target, value)


class GradientReducer(nn.Cell):
    """Combines the gradients of all ranks in one collective operator, the same on HCCL, NCCL and CPU.

    One operator, as the order of several is up to each rank's compiler, and because of their latency.

    Args:
        size: number of ranks.
        mean: average instead of add up; belongs to ``loss_reduction`` mean.
    """

    def __init__(self, size: int, mean: bool) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()
        self.factor = 1.0 / size if mean else 1.0

    def construct(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps this rank's gradients to those of all, float32."""
        flat = self.all_reduce(ops.concat([ops.reshape(g, (-1,)).astype(ms.float32) for g in gradients]))
        if self.factor != 1.0:
            flat = flat * self.factor
        reduced = ()
        start = 0
        for gradient in gradients:
            reduced += (ops.reshape(flat[start:start + gradient.size], gradient.shape),)
            start += gradient.size
        return reduced


class CRNNWithLoss(nn.Cell):
    """The network and its losses in one cell.

    Args:
        network: a CRNN with `features` and `sequence`.
        loss: the CTC loss.
        frame_loss: the helper loss of the first part of training, or None.
    """

    def __init__(self, network: nn.Cell, loss: CTCLoss, frame_loss: FrameLoss | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.frame_loss = frame_loss

    def construct(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor,
                  keep: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the losses of one batch.

        Args:
            image: (N, 3, 32, W).
            label: (N, L) int32.
            label_length: (N,) int32.
            frame_weight: float32 scalar, weight of the helper loss.
            keep: (T, N, 2 * hidden_size) float32, V1's dropout mask; None leaves dropout to the network.

        Returns:
            What is minimised, the CTC loss alone (both float32 scalars), and the number of impossible samples.
        """
        features = self.network.features(image)
        logits = self.network.sequence(features) if keep is None else self.network.sequence(features, keep)
        ctc, impossible = self.loss(logits, label, label_length)
        total = ctc
        if self.frame_loss is not None:
            total = total + frame_weight * self.frame_loss(features, label, label_length)
        return total, ctc, impossible


class TrainOneStepCellWithGradClip(nn.Cell):
    """One optimisation step.

    The order is: scale the loss, differentiate, reduce across cards, unscale, clip by the global norm, update. The
    norm is taken after the reduction, so that N cards step exactly like one card with N times the batch. A step whose
    gradient is not finite (an overflow in float16, say) changes neither weights nor the statistics of batch norm and,
    with a dynamic scale, halves it; as the gradient is that of all cards, they all skip the same steps.

    Args:
        network: :class:`CRNNWithLoss`.
        optimizer: a MindSpore optimizer over the trainable parameters.
        clip_norm: largest global norm of the gradient; 0 switches clipping off.
        loss_scale: a fixed factor, or "dynamic": starts at 2 ** 16, halved at each overflow, doubled after 1,000
            good steps.
        reducer: cell that combines the gradients of all cards (:class:`GradientReducer`); None on a single card.
    """

    GROWTH_INTERVAL = 1000

    def __init__(self, network: nn.Cell, optimizer: nn.Cell, clip_norm: float = 10.0,
                 loss_scale: float | str = 1.0, reducer: nn.Cell | None = None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.network.set_grad()
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.reducer = reducer if reducer is not None else nn.Identity()
        self.clip_norm = float(clip_norm)
        self.dynamic = loss_scale == "dynamic"
        scale = 2.0 ** 16 if self.dynamic else float(loss_scale)
        self.loss_scale = Parameter(Tensor(np.float32(scale)), name="loss_scale", requires_grad=False)
        self.good_steps = Parameter(Tensor(np.int32(0)), name="good_steps", requires_grad=False)
        self.grad = ops.value_and_grad(self._scaled_loss, None, self.weights, has_aux=True)
        self.hyper_map = ops.HyperMap()
        moving = [p for p in network.get_parameters() if p.name.endswith(("moving_mean", "moving_variance"))]
        self.has_statistics = bool(moving)
        self.statistics = ParameterTuple(moving)
        self.kept = ParameterTuple([Parameter(Tensor(np.zeros(p.shape, np.float32)), name=f"{KEPT}{p.name}",
                                              requires_grad=False) for p in moving])

    def _scaled_loss(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor,
                     keep: Tensor | None, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if keep is None:
            total, ctc, impossible = self.network(image, label, label_length, frame_weight)
        else:
            total, ctc, impossible = self.network(image, label, label_length, frame_weight, keep)
        return total * scale, ctc, impossible

    def construct(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor,
                  keep: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Runs one step; arguments as for :class:`CRNNWithLoss`.

        Returns:
            The CTC loss, whether the step was skipped (bool), the gradient's global norm before clipping, and the
            number of impossible samples; all scalars.
        """
        scale = self.loss_scale * 1.0
        if self.has_statistics:
            self.hyper_map(_assign, self.kept, self.statistics)
        (_, ctc, impossible), gradients = self.grad(image, label, label_length, frame_weight, keep, scale)
        gradients = self.reducer(gradients)
        gradients = self.hyper_map(ops.partial(_unscale, 1.0 / scale), gradients)
        norm = ops.sqrt(ops.addn(self.hyper_map(_square, gradients)))
        finite = ops.isfinite(norm)
        if self.clip_norm > 0:
            factor = ops.minimum(Tensor(1.0, ms.float32), self.clip_norm / (norm + 1e-6))
            gradients = self.hyper_map(ops.partial(_unscale, factor), gradients)
        if finite:
            self.optimizer(gradients)
        elif self.has_statistics:
            self.hyper_map(_assign, self.statistics, self.kept)
        if self.dynamic:
            self._adapt_scale(finite)
        return ctc, ops.logical_not(finite), norm, impossible

    def _adapt_scale(self, finite: Tensor) -> None:
        good = ops.where(finite, self.good_steps + 1, ops.zeros_like(self.good_steps))
        grow = good >= self.GROWTH_INTERVAL
        factor = ops.where(finite, ops.where(grow, Tensor(2.0, ms.float32), Tensor(1.0, ms.float32)),
                           Tensor(0.5, ms.float32))
        self.loss_scale = ops.clamp(self.loss_scale * factor, 1.0, 2.0 ** 24)
        self.good_steps = ops.where(grow, ops.zeros_like(good), good)


def synchronise_batch_norm(network: nn.Cell, device_target: str, ranks: Ranks) -> None:
    """Makes batch norm use the statistics of all ranks' batches together; parameters and their names stay.

    Args:
        network: a CRNN in float32, before it is used; :func:`src.network.precision.set_precision` comes after.
        device_target: Ascend, GPU or CPU; only Ascend has it.
        ranks: the processes that train together.

    Raises:
        ConfigError: a single process, or a device for which MindSpore has no such operator.
    """
    if ranks.is_alone:
        raise ConfigError("sync_bn is for training on several devices with run_distribute; leave it out")
    if device_target != "Ascend":
        raise ConfigError(f"sync_bn needs Ascend devices, MindSpore has no such operator for the {device_target}; "
                          "leave it out")
    for _, cell in list(network.cells_and_names()):
        if isinstance(cell, Conv):
            old = cell.bn
            new = nn.SyncBatchNorm(old.num_features, eps=old.eps, momentum=1 - old.momentum)  # keeps 1 - momentum
            cell.bn = new
            new.gamma, new.beta = old.gamma, old.beta
            new.moving_mean, new.moving_variance = old.moving_mean, old.moving_variance
