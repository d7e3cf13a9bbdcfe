"""The one-step train cell: loss scaling, gradient reduction across cards, clipping, and the optimizer."""
import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.loss import CTCLoss, FrameLoss

_unscale = ops.MultitypeFuncGraph("unscale")
_square = ops.MultitypeFuncGraph("square")


@_unscale.register("Tensor", "Tensor")
def _unscale_gradient(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient.astype(ms.float32) * factor


@_square.register("Tensor")
def _square_gradient(gradient: Tensor) -> Tensor:
    return ops.square(gradient).sum()


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

    def construct(self, image: Tensor, label: Tensor, label_length: Tensor,
                  frame_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the losses of one batch.

        Args:
            image: (N, 3, 32, W).
            label: (N, L) int32.
            label_length: (N,) int32.
            frame_weight: float32 scalar, weight of the helper loss.

        Returns:
            What is minimised, the CTC loss alone (both float32 scalars), and the number of impossible samples.
        """
        features = self.network.features(image)
        ctc, impossible = self.loss(self.network.sequence(features), label, label_length)
        total = ctc
        if self.frame_loss is not None:
            total = total + frame_weight * self.frame_loss(features, label, label_length)
        return total, ctc, impossible


class TrainOneStepCellWithGradClip(nn.Cell):
    """One optimisation step.

    The order is: scale the loss, differentiate, reduce across cards, unscale, clip by the global norm, update. The
    norm is taken after the reduction, so that N cards step exactly like one card with N times the batch. A step whose
    gradient is not finite (an overflow in float16, say) changes no weight and, with a dynamic scale, halves it.

    Args:
        network: :class:`CRNNWithLoss`.
        optimizer: a MindSpore optimizer over the trainable parameters.
        clip_norm: largest global norm of the gradient; 0 switches clipping off.
        loss_scale: a fixed factor, or "dynamic": starts at 2 ** 16, halved at each overflow, doubled after 1,000
            good steps.
        reducer: cell that combines the gradients of all cards (`nn.DistributedGradReducer`); None on a single card.
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

    def _scaled_loss(self, image: Tensor, label: Tensor, label_length: Tensor, frame_weight: Tensor,
                     scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total, ctc, impossible = self.network(image, label, label_length, frame_weight)
        return total * scale, ctc, impossible

    def construct(self, image: Tensor, label: Tensor, label_length: Tensor,
                  frame_weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Runs one step; arguments as for :class:`CRNNWithLoss`.

        Returns:
            The CTC loss, whether the step was skipped (bool), the gradient's global norm before clipping, and the
            number of impossible samples; all scalars.
        """
        scale = self.loss_scale * 1.0
        (_, ctc, impossible), gradients = self.grad(image, label, label_length, frame_weight, scale)
        gradients = self.reducer(gradients)
        gradients = self.hyper_map(ops.partial(_unscale, 1.0 / scale), gradients)
        norm = ops.sqrt(ops.addn(self.hyper_map(_square, gradients)))
        finite = ops.isfinite(norm)
        if self.clip_norm > 0:
            factor = ops.minimum(Tensor(1.0, ms.float32), self.clip_norm / (norm + 1e-6))
            gradients = self.hyper_map(ops.partial(_unscale, factor), gradients)
        if finite:
            self.optimizer(gradients)
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
