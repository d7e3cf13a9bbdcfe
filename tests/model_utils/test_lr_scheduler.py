"""Schedules against their formulas, optimizers against hand-written updates."""
import math

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, nn

from src.common.errors import ConfigError
from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
from src.training.optimizer import create_optimizer, set_learning_rate


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


class Apply(nn.Cell):
    def __init__(self, optimizer):
        super().__init__()
        self.optimizer = optimizer

    def construct(self, first, second):
        return self.optimizer((first, second))


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


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizer_follows_its_formula(name):
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    matrix, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    grads, rates = rng.normal(size=(5, 4, 3)), [0.1, 0.05, 0.2, 0.01, 0.1]
    first = Parameter(ms.Tensor(matrix, ms.float32), name="matrix")
    second = Parameter(ms.Tensor(bias, ms.float32), name="bias")
    optimizer = create_optimizer(name, [first, second], momentum=0.9, nesterov=True, weight_decay=0.05)
    cell = Apply(optimizer)
    for gradient, rate in zip(grads, rates, strict=True):
        set_learning_rate(optimizer, rate)
        cell(ms.Tensor(gradient, ms.float32), ms.Tensor(gradient[0], ms.float32))
    np.testing.assert_allclose(first.asnumpy(), reference(name, matrix, grads, rates, 0.05), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second.asnumpy(), reference(name, bias, grads[:, 0], rates, 0.0), rtol=1e-4, atol=1e-6)


def test_unknown_optimizer():
    with pytest.raises(ConfigError, match="optimizer is 'lion'"):
        create_optimizer("lion", [])
