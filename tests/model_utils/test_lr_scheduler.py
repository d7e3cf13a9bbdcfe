"""Schedules against their formulas, optimizers against hand-written updates."""
import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, nn

from src.common.errors import ConfigError
from src.crnn_for_train import SKIPPED, TrainOneStepCellWithGradClip
from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
from src.training.optimizer import create_optimizer


def test_cosine_without_warmup_is_half_a_cosine():
    rates = learning_rates("cosine", 0.02, 100)
    for step in (0, 1, 50, 99):
        assert rates[step] == pytest.approx(0.01 * (1 + math.cos(math.pi * step / 100)), rel=1e-5)


def test_warmup_is_linear_and_meets_the_peak():
    rates = learning_rates("cosine", 1.0, 100, warmup_steps=10, min_lr=0.1)
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert rates[10] == 1.0 and rates[99] == pytest.approx(0.1, abs=1e-3)
    assert (np.diff(rates[10:]) < 0).all()
    np.testing.assert_array_equal(rates, learning_rates("cosine", 1.0, 100, warmup_ratio=0.1, min_lr=0.1))


def test_onecycle():
    rates = learning_rates("onecycle", 1.0, 1000)
    assert rates[0] == pytest.approx(1 / 25) and rates.argmax() == 300 and rates.max() == 1.0
    assert rates[150] == pytest.approx((1 + 1 / 25) / 2, rel=1e-3)
    assert rates[-1] < 1e-4


def test_constant():
    assert learning_rates("constant", 0.5, 4, warmup_steps=2).tolist() == [0.25, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(("arguments", "message"), [
    (("linear", 1.0, 10), "lr_schedule is 'linear'"), (("cosine", 1.0, 10, 10), "warm-up of 10 steps")])
def test_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        learning_rates(*arguments)


def test_frame_loss_weights():
    assert frame_loss_weights(2.0, 0.5, 8).tolist() == [2.0, 1.5, 1.0, 0.5, 0, 0, 0, 0]
    assert frame_loss_weights(0.0, 0.15, 3).tolist() == [0, 0, 0]


class Given(nn.Cell):
    """Stands in for the network and its loss: the gradient of the matrix is the image, the bias's is its first row."""

    def __init__(self, matrix, bias):
        super().__init__()
        self.matrix = Parameter(ms.Tensor(matrix, ms.float32), name="matrix")
        self.bias = Parameter(ms.Tensor(bias, ms.float32), name="bias")

    def construct(self, image, label, label_length, frame_weight):
        total = (self.matrix * image).sum() + (self.bias * image[0]).sum()
        return total, total, label.sum()


def reference(name, w, grads, rates, decay):
    """Textbook updates in float64."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (g, lr) in enumerate(zip(grads, rates, strict=True), start=1):
        if name == "adamw":
            w = w * (1 - lr * decay)
        else:
            g = g + decay * w
        if name == "sgd":
            m = 0.9 * m + g if t > 1 else g.copy()
            w = w - lr * (g + 0.9 * m)
            continue
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - lr * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
    return w


@pytest.mark.parametrize("branches", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizer_follows_its_formula(name, branches):
    """Each step with the learning rate that it is given, in both groups; a skipped one in between changes nothing."""
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    matrix, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    grads, rates = rng.normal(size=(5, 4, 3)), [0.1, 0.05, 0.2, 0.01, 0.1]
    net = Given(matrix, bias)
    optimizer = create_optimizer(name, net.trainable_params(), momentum=0.9, nesterov=True, weight_decay=0.05)
    cell = TrainOneStepCellWithGradClip(net, optimizer, clip_norm=0.0, branches=branches).set_train()
    for step in (0, 1, None, 2, 3, 4):
        gradient = np.full((4, 3), np.inf) if step is None else grads[step]
        before = [p.asnumpy().copy() for p in optimizer.get_parameters()]
        found = cell(ms.Tensor(gradient, ms.float32), ms.Tensor([[0]], ms.int32), ms.Tensor([1], ms.int32),
                     ms.Tensor(0.0, ms.float32), ms.Tensor(rates[step or 0], ms.float32),
                     ms.Tensor(np.zeros(3, np.float32))).asnumpy()
        assert bool(found[SKIPPED]) == (step is None)
        if step is None:
            rate_parameters = {p.name for p in cell.rates}
            for parameter, value in zip(optimizer.get_parameters(), before, strict=True):
                assert parameter.name in rate_parameters or np.array_equal(parameter.asnumpy(), value), parameter.name
    np.testing.assert_allclose(net.matrix.asnumpy(), reference(name, matrix, grads, rates, 0.05), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.bias.asnumpy(), reference(name, bias, grads[:, 0], rates, 0.0), rtol=1e-4, atol=1e-6)


def test_unknown_optimizer():
    with pytest.raises(ConfigError, match="optimizer is 'lion'"):
        create_optimizer("lion", [])
