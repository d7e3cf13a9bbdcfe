"""The feature extractor's operator, called directly, against PyTorch in float64."""
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.onednn import available, build
from src.onednn.selftest import call

torch = pytest.importorskip("torch")
USABLE, REASON = available()
pytestmark = pytest.mark.skipif(not USABLE, reason=f"no accelerator: {REASON}")
ROOT = Path(__file__).resolve().parents[2]
EPSILON, MOMENTUM = 1e-4, 0.9
# Outputs, kernel, border, pooling window of each stage: the network's seven, narrower.
STAGES = ((32, 3, 1, (2, 2)), (64, 3, 1, (2, 2)), (32, 3, 1, (1, 1)), (64, 3, 1, (2, 1)), (32, 3, 1, (1, 1)),
          (96, 3, 1, (2, 1)), (64, 2, 0, (1, 1)))


@pytest.fixture(scope="module")
def library():
    found = ctypes.CDLL(str(build.library()))
    found.crnn_vgg_memory.restype = ctypes.c_int64
    return found


class Extractor:
    """Stages with random parameters, run by the operator and by PyTorch."""

    def __init__(self, library, n, width, stages=STAGES, direct=False, height=32, bf16=False):
        self.library, self.stages, self.direct, self.bf16 = library, stages, direct, bf16
        self.random = random = np.random.default_rng(n * width)
        self.x = random.standard_normal((n, 3, height, width)).astype(np.float32)
        self.parameters, channels = [], 3
        for outputs, kernel, _, _ in stages:
            weights = random.standard_normal((outputs, channels, kernel, kernel)) / np.sqrt(channels * kernel ** 2 / 2)
            self.parameters.append([part.astype(np.float32) for part in (
                weights, random.uniform(0.5, 1.5, outputs), random.standard_normal(outputs) * 0.2,
                random.standard_normal(outputs) * 0.2, random.uniform(0.5, 2, outputs))])
            channels = outputs

    def settings(self, frozen=0):
        values = [self.bf16, self.direct, EPSILON, MOMENTUM, frozen]
        for _, _, pad, pool in self.stages:
            values += [*pool, pad]
        return np.array(values, np.float32)

    def inputs(self, frozen=0):
        return [self.x, *(part for stage in self.parameters for part in stage), self.settings(frozen)]

    def reference(self, training, weight=None):
        """Features, new running statistics, gradients of every parameter and of the images, in float64."""
        x = torch.from_numpy(self.x.astype(np.float64)).requires_grad_()
        y, leaves, moving = x, [], []
        for (w, gamma, beta, mean, variance), (_, _, pad, pool) in zip(self.parameters, self.stages, strict=True):
            w, gamma, beta = (torch.from_numpy(part.astype(np.float64)).requires_grad_() for part in (w, gamma, beta))
            mean, variance = (torch.from_numpy(part.astype(np.float64)) for part in (mean, variance))
            y = torch.nn.functional.conv2d(y, w, padding=pad)
            y = torch.nn.functional.batch_norm(y, mean, variance, gamma, beta, training, 1 - MOMENTUM, EPSILON)
            y = torch.nn.functional.max_pool2d(torch.relu(y), pool, ceil_mode=True)
            leaves += [w, gamma, beta]
            moving += [mean.numpy(), variance.numpy()]
        if weight is not None:
            y.backward(torch.from_numpy(weight.astype(np.float64)))
        return y.detach().numpy(), moving, [leaf.grad.numpy() for leaf in leaves if weight is not None], x.grad

    def train(self, weight_of):
        shape = self.feature_shape()
        y, weight = np.empty(shape, np.float32), weight_of(shape)
        arrays = [np.array(self.x.shape, np.int64), *(np.array([stage[i] for stage in self.stages]) for i in (0, 1)),
                  self.settings()]
        size, *rest = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
        kept = np.zeros(self.library.crnn_vgg_memory(size, ctypes.c_int64(len(self.stages)), *rest), np.uint8)
        moving = [np.empty_like(stage[i]) for stage in self.parameters for i in (3, 4)]
        call(self.library.crnn_vgg_training, *self.inputs(), y, kept, *moving)
        gradients = [np.empty_like(part) for stage in self.parameters for part in stage[:3]]
        call(self.library.crnn_vgg_gradient, *self.inputs(), kept, weight, *gradients)
        dx = np.empty_like(self.x)
        call(self.library.crnn_vgg_image_gradient, *self.inputs(), kept, weight, dx)
        return y, moving, gradients, dx, weight

    def feature_shape(self):
        size = list(self.x.shape[2:])
        for _, kernel, pad, pool in self.stages:
            size = [-(-(length + 2 * pad - kernel + 1) // step) for length, step in zip(size, pool, strict=True)]
        return self.x.shape[0], self.stages[-1][0], *size

    def evaluate(self, frozen=0):
        return self.evaluate_into(np.empty(self.feature_shape(), np.float32), frozen)

    def evaluate_into(self, y, frozen=0):
        call(self.library.crnn_vgg_evaluation, *self.inputs(frozen), y)
        return y


def distance(value, reference):
    """Largest difference, relative to the largest reference."""
    return np.abs(np.asarray(value, np.float64) - reference).max() / np.abs(reference).max()


def norm_distance(value, reference):
    """The same in Euclidean norm: where two values of a window are equal to the last bits, rounding chooses."""
    return np.linalg.norm(np.asarray(value, np.float64) - reference) / np.linalg.norm(reference)


def normal(net):
    return lambda shape: net.random.standard_normal(shape).astype(np.float32)


def check_training(net, bound=1e-5, gradient_bound=1e-3):
    y, moving, gradients, dx, weight = net.train(normal(net))
    ty, tmoving, tgradients, tdx = net.reference(True, weight)
    assert distance(y, ty) < bound
    for value, reference in zip(moving, tmoving, strict=True):
        assert distance(value, reference) < bound
    for value, reference in zip([*gradients, dx], [*tgradients, tdx.numpy()], strict=True):
        assert norm_distance(value, reference) < gradient_bound


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(("n", "width"), [(2, 38), (1, 20), (5, 45), (20, 17)])
def test_training_equals_float64(library, n, width, direct):
    check_training(Extractor(library, n, width, direct=direct))


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(("n", "width"), [(1, 100), (3, 45), (19, 20)])
def test_evaluation_equals_float64(library, n, width, direct):
    net = Extractor(library, n, width, direct=direct)
    assert distance(net.evaluate(), net.reference(False)[0]) < 1e-5


@pytest.mark.parametrize("pool", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize(("height", "width"), [(6, 9), (5, 8), (1, 1), (2, 3)])
def test_windows_and_images_of_odd_sizes(library, pool, height, width):
    stages = ((32, 3, 1, pool), (64, 3, 1, pool))
    check_training(Extractor(library, 4, width, stages=stages, height=height), gradient_bound=1e-4)


def test_channels_that_fill_no_panel_of_our_own_kernels(library):
    check_training(Extractor(library, 2, 20, stages=((16, 3, 1, (2, 2)), (48, 3, 1, (2, 1)), (16, 2, 0, (1, 1)))))


def test_means_far_from_zero_cost_no_accuracy(library):
    net = Extractor(library, 4, 12, stages=((32, 3, 1, (2, 2)), (64, 3, 1, (1, 1))))
    net.x += 300  # float32 holds such values to 3e-5
    check_training(net, bound=5e-4, gradient_bound=5e-3)


def test_float32_is_as_exact_as_the_definition(library):
    """Winograd's convolutions round no worse than oneDNN's direct ones."""
    errors = {}
    for direct in (False, True):
        net = Extractor(library, 4, 50, direct=direct)
        errors[direct] = norm_distance(net.evaluate(), net.reference(False)[0])
    assert errors[False] < 1.5 * errors[True]


def test_bfloat16_is_as_exact_as_the_definition():
    """Winograd's convolutions in bfloat16 round little worse than oneDNN's direct ones, in both directions."""
    # A process of its own: oneDNN reads the tests' cap only once.
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run([sys.executable, "-m", "tests.onednn_bfloat16"], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    if not found:
        pytest.skip("no bfloat16 on this CPU")
    own, direct = (np.array(part) for part in (found["own"], found["direct"]))
    assert np.sqrt((own ** 2).mean()) < 1.5 * np.sqrt((direct ** 2).mean())
    assert (own < 2.5 * direct + 1e-3).all()
    assert own.max() < 0.04  # of three stages without kinks; one rounding is up to 0.004


def test_nan_shows(library):
    net = Extractor(library, 3, 20)
    net.x[1, 0, 5, 5] = np.nan
    y = net.evaluate()
    assert np.isnan(y[1]).any() and np.isfinite(y[[0, 2]]).all()
    y, moving, gradients, _, _ = net.train(normal(net))
    assert np.isnan(y).all() and np.isnan(moving[0]).all() and np.isnan(gradients[0]).all()


def test_same_numbers_again(library):
    net = Extractor(library, 5, 30)
    first = net.train(lambda shape: np.ones(shape, np.float32))
    second = net.train(lambda shape: np.ones(shape, np.float32))
    for a, b in zip((first[0], *first[1], *first[2], first[3]), (second[0], *second[1], *second[2], second[3]),
                    strict=True):
        assert np.array_equal(a, b)


def test_frozen_network_keeps_its_first_weights(library):
    net, frozen = Extractor(library, 2, 20), 12345
    before = net.evaluate(frozen)
    assert np.array_equal(before, net.evaluate())
    net.parameters[2][0] *= 2
    net.parameters[5][2] += 1
    assert np.array_equal(net.evaluate(frozen), before)
    assert distance(net.evaluate(), net.reference(False)[0]) < 1e-5  # the others follow


def test_sizes_that_cannot_be_are_an_error(library, capfd):
    net = Extractor(library, 1, 20, stages=((32, 3, 1, (2, 2)), (64, 3, 0, (1, 1))), height=2)
    with pytest.raises(SystemExit):
        net.evaluate_into(np.empty((1, 64, 1, 8), np.float32))
    assert "a stage of unexpected size" in capfd.readouterr().err
