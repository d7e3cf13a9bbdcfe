"""A moving average of the weights: less noisy than the weights of any one step, and often reads better."""
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from src.crnn_for_train import SKIPPED
from src.network.checkpoint import AVERAGE

_blend = ops.MultitypeFuncGraph("blend")


@_blend.register("Tensor", "Tensor", "Tensor")
def _blend_value(share: Tensor, average: Tensor, value: Tensor) -> Tensor:
    return ops.assign(average, average + share * (value - average))


def decay_at(step: int, decay: float) -> float:
    """The decay of a step: small at first, so that the weights that training started from are soon forgotten.

    It is min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage with ``num_updates``.

    Args:
        step: steps done before in this run.
        decay: the largest.
    """
    return min(decay, (1 + step) / (10 + step))


class MovingAverage(nn.Cell):
    """The average of a network's weights, and of the statistics of its batch norms, over the steps.

    After each step it is ``decay * average + (1 - decay) * weights``, computed in float32.

    Args:
        network: whose weights; the average starts as a copy of them.
        decay: between 0 and 1; see :func:`decay_at`.
    """

    def __init__(self, network: nn.Cell, decay: float) -> None:
        super().__init__(auto_prefix=False)
        self.decay = decay
        self.weights = ParameterTuple(list(network.get_parameters()))
        self.average = ParameterTuple([Parameter(Tensor(p.asnumpy()), name=AVERAGE + p.name, requires_grad=False)
                                       for p in self.weights])
        self.hyper_map = ops.HyperMap()

    def construct(self, share: Tensor, found: Tensor) -> bool:
        """Moves the average towards the weights by a share of their distance, a float32 scalar; see :meth:`update`."""
        self.hyper_map(ops.partial(_blend, share * (1.0 - found[SKIPPED])), self.average, self.weights)
        return True

    def update(self, step: int, found: Tensor) -> None:
        """Takes in the weights after a step, unless that was skipped.

        Args:
            step: steps done before in this run; the average depends on nothing else, so a resumed run has the same.
            found: what :class:`src.crnn_for_train.TrainOneStepCellWithGradClip` found; it may stay on the device.
        """
        self(Tensor(1.0 - decay_at(step, self.decay), mstype.float32), found)

    def restart(self) -> None:
        """Forgets everything: the average is what the weights are now."""
        for average, value in zip(self.average, self.weights, strict=True):
            average.set_data(Tensor(value.asnumpy()))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        own = [np.array(p.asnumpy()) for p in self.weights]
        try:
            for average, value in zip(self.average, self.weights, strict=True):
                value.set_data(Tensor(average.asnumpy()))
            yield
        finally:
            for data, value in zip(own, self.weights, strict=True):
                value.set_data(Tensor(data))
