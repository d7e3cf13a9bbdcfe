"""The one-step train cell: loss scaling, gradient reduction across cards, clipping, and the optimizer."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.experimental import optim

from src.common.errors import ConfigError
from src.crnn import Conv
from src.distributed.ranks import Ranks
from src.loss import CTCLoss, FrameLoss
from src.network.checkpoint import BAD_IN_A_ROW, KEPT
from src.onednn import clipping

LOSS, IMPOSSIBLE, SKIPPED, NORM, IN_A_ROW, STOP = range(6)
"""Places in what :class:`TrainOneStepCellWithGradClip` found; the stop flags begin at the last."""

_unscale = ops.MultitypeFuncGraph("unscale")
_square = ops.MultitypeFuncGraph("square")
_assign = ops.MultitypeFuncGraph("assign")
_fill = ops.MultitypeFuncGraph("fill")
_choose = ops.MultitypeFuncGraph("choose")


@_unscale.register("Tensor", "Tensor")
def _unscale_gradient(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient.astype(ms.float32) * factor


@_square.register("Tensor")
def _square_gradient(gradient: Tensor) -> Tensor:
    return ops.square(gradient).sum()


@_assign.register("Tensor", "Tensor")
def _assign_value(target: Tensor, value: Tensor) -> Tensor:
    return ops.assign(target, value)


@_fill.register("Tensor", "Tensor")
def _fill_target(value: Tensor, target: Tensor) -> Tensor:
    return ops.assign(target, value)


@_choose.register("Tensor", "Tensor", "Tensor")
def _choose_value(new: Tensor, target: Tensor, kept: Tensor) -> Tensor:
    return ops.assign(target, ops.where(new, target, kept))


class GradientReducer(nn.Cell):
    """Combines the gradients of all ranks, and some numbers, in one collective operator; for HCCL, NCCL and CPU.

    One operator, as the order of several is up to each rank's compiler, and because of their latency.

    Args:
        size: number of ranks.
        mean: average the gradients instead of adding them up; belongs to ``loss_reduction`` mean.
    """

    def __init__(self, size: int, mean: bool) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()
        self.factor = 1.0 / size if mean else 1.0

    def construct(self, gradients: tuple[Tensor, ...], numbers: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Maps this rank's gradients, and (K,) float32 numbers of it, to the gradients and the sums of all; float32."""
        parts = [ops.reshape(g, (-1,)).astype(ms.float32) for g in gradients]
        total = self.all_reduce(ops.concat([*parts, numbers]))
        flat = total * self.factor if self.factor != 1.0 else total
        reduced = ()
        start = 0
        for gradient in gradients:
            reduced += (ops.reshape(flat[start:start + gradient.size], gradient.shape),)
            start += gradient.size
        return reduced, total[start:]


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
            keep: (T, N, 2 * hidden_size) bool, V1's dropout mask; None leaves dropout to the network.

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

    Nothing here needs the host to know how a step went: it may hand over the next steps before it reads the results.

    Args:
        network: :class:`CRNNWithLoss`.
        optimizer: a MindSpore optimizer over the trainable parameters.
        clip_norm: largest global norm of the gradient; 0 switches clipping off.
        loss_scale: a fixed factor, or "dynamic": starts at 2 ** 16, halved at each overflow, doubled after 1,000
            good steps.
        reducer: cell that combines the gradients of all cards (:class:`GradientReducer`); None on a single card.
        branches: leave the optimizer out of a step that is skipped, which makes the host wait for the device; otherwise
            it runs, and what it changed is put back, which takes a copy of weights and optimizer state in each step.
    """

    GROWTH_INTERVAL = 1000

    def __init__(self, network: nn.Cell, optimizer: nn.Cell, clip_norm: float = 10.0,
                 loss_scale: float | str = 1.0, reducer: nn.Cell | None = None, branches: bool = True) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.network.set_grad()
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.rates = ParameterTuple(_learning_rates(optimizer))
        self.reducer = reducer
        self.branches = branches
        self.clip_norm = float(clip_norm)
        fast = clipping(network, self.clip_norm)
        self.has_fast_clip = fast is not None
        if fast is not None:
            self.fast_clip, self.clip_settings = fast
        self.dynamic = loss_scale == "dynamic"
        scale = 2.0 ** 16 if self.dynamic else float(loss_scale)
        self.loss_scale = Parameter(Tensor(np.float32(scale)), name="loss_scale", requires_grad=False)
        self.good_steps = Parameter(Tensor(np.int32(0)), name="good_steps", requires_grad=False)
        self.bad_in_a_row = Parameter(Tensor(np.int32(0)), name=BAD_IN_A_ROW, requires_grad=False)
        self.grad = ops.value_and_grad(self._scaled_loss, None, self.weights, has_aux=True)
        self.hyper_map = ops.HyperMap()
        # What a step changes before it is known whether it counts, and what that was before the step.
        early = [p for p in network.get_parameters() if p.name.endswith(("moving_mean", "moving_variance"))]
        if not branches:
            rates = {rate.name for rate in self.rates}
            early += {p.name: p for p in (*self.weights, *optimizer.get_parameters()) if p.name not in rates}.values()
        self.has_early = bool(early)
        self.early = ParameterTuple(early)
        self.kept = ParameterTuple([Parameter(Tensor(np.zeros_like(p.asnumpy())), name=f"{KEPT}{p.name}",
                                              requires_grad=False) for p in early])

    def _scaled_loss(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor,
                     keep: Tensor | None, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if keep is None:
            total, ctc, impossible = self.network(image, label, label_length, frame_weight)
        else:
            total, ctc, impossible = self.network(image, label, label_length, frame_weight, keep)
        return total * scale, ctc, impossible

    def construct(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor, rate: Tensor,
                  stop: Tensor, keep: Tensor | None = None) -> Tensor:
        """Runs one step.

        Args:
            image: as for :class:`CRNNWithLoss`.
            label: likewise.
            label_length: likewise.
            frame_weight: likewise.
            rate: float32 scalar, the learning rate.
            stop: (S,) float32, 1 for each reason for which this rank asks to stop.
            keep: as for :class:`CRNNWithLoss`.

        Returns:
            (5 + S,) float32: the CTC loss, the number of impossible samples, whether the step was skipped, the
            gradient's global norm before clipping, the steps in a row up to this one whose gradient or loss was not
            finite, and how many ranks ask to stop for each reason. Loss and numbers of samples are sums over the ranks.
        """
        scale = self.loss_scale * 1.0
        self.hyper_map(ops.partial(_fill, rate), self.rates)
        if self.has_early:
            self.hyper_map(_assign, self.kept, self.early)
        (_, ctc, impossible), gradients = self.grad(image, label, label_length, frame_weight, keep, scale)
        totals = ops.concat([ops.stack([ctc, impossible.astype(ms.float32)]), stop])
        if self.reducer is not None:
            gradients, totals = self.reducer(gradients, totals)
        gradients, norm = self._clip(gradients, 1.0 / scale)
        finite = ops.isfinite(norm)
        if not self.branches:
            self.optimizer(gradients)
            self.hyper_map(ops.partial(_choose, finite), self.early, self.kept)
        elif finite:
            self.optimizer(gradients)
        elif self.has_early:
            self.hyper_map(_assign, self.early, self.kept)
        if self.dynamic:
            self._adapt_scale(finite)
        good = ops.logical_and(finite, ops.isfinite(totals[LOSS]))
        in_a_row = ops.where(good, ops.zeros_like(self.bad_in_a_row), self.bad_in_a_row + 1)
        self.bad_in_a_row = in_a_row
        found = ops.stack([ops.logical_not(finite).astype(ms.float32), norm, in_a_row.astype(ms.float32)])
        return ops.concat([totals[:2], found, totals[2:]])

    def _clip(self, gradients: tuple[Tensor, ...], factor: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Unscales and clips: the gradients, and their global norm before clipping."""
        if self.has_fast_clip:
            found = self.fast_clip(*gradients, ops.reshape(factor, (1,)), self.clip_settings)
            return found[:-1], ops.reshape(found[-1], ())
        gradients = self.hyper_map(ops.partial(_unscale, factor), gradients)
        norm = ops.sqrt(ops.addn(self.hyper_map(_square, gradients)))
        if self.clip_norm > 0:
            less = ops.minimum(Tensor(1.0, ms.float32), self.clip_norm / (norm + 1e-6))
            gradients = self.hyper_map(ops.partial(_unscale, less), gradients)
        return gradients, norm

    def _adapt_scale(self, finite: Tensor) -> None:
        good = ops.where(finite, self.good_steps + 1, ops.zeros_like(self.good_steps))
        grow = good >= self.GROWTH_INTERVAL
        factor = ops.where(finite, ops.where(grow, Tensor(2.0, ms.float32), Tensor(1.0, ms.float32)),
                           Tensor(0.5, ms.float32))
        self.loss_scale = ops.clamp(self.loss_scale * factor, 1.0, 2.0 ** 24)
        self.good_steps = ops.where(grow, ops.zeros_like(good), good)


def _learning_rates(optimizer: nn.Cell) -> list[Parameter]:
    """The parameters that hold an optimizer's learning rate."""
    if isinstance(optimizer, optim.Optimizer):
        return [group["lr"] for group in optimizer.param_groups]
    rates = optimizer.learning_rate
    return list(rates) if isinstance(rates, (list, tuple)) else [rates]


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
