"""Compares accelerated networks with stock ones; a process of its own per mode, without the tests' CPU cap.

Run as `python -m tests.onednn_checks graph|pynative short|full`; prints JSON: {check: number}.
"""
import json
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.crnn import build_network
from src.onednn import accelerate, restore
from tests.smooth_points import smooth_point

SEEDS = range(5)
KINK, TIE = 1e-3, 3e-5
"""Margins of the points at which gradients are compared; rounding moves values there by less than 1e-5."""


class Weighted(nn.Cell):
    """A scalar that depends on everything a network returns."""

    def __init__(self, net: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        y = self.net(x)
        return (y * weight).sum(), y


class Mixed(nn.Cell):
    """Convolutions of several kinds outside the VGG, and an LSTM of which all three outputs are used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 20, 3, pad_mode="valid", stride=2, has_bias=True)
        self.second = nn.Conv2d(20, 32, (3, 2), pad_mode="pad", padding=(1, 2, 0, 1), dilation=(1, 2))
        self.grouped = nn.Conv2d(32, 32, 3, group=2)
        self.rnn = nn.LSTM(32, 64, bidirectional=True)

    def construct(self, x: Tensor) -> Tensor:
        x = self.grouped(self.second(self.first(x)))
        y, (h, c) = self.rnn(x.mean(2).transpose(2, 0, 1))
        return y.sum() + h.sum() * 2 + ops.square(c).sum() * x


class Step:
    """One training step of a network, compiled once."""

    def __init__(self, net: nn.Cell) -> None:
        self.net, self.parameters = net, net.trainable_params()
        self.gradient = ops.value_and_grad(Weighted(net).set_train(), 0, self.parameters, has_aux=True)

    def __call__(self, x: np.ndarray, weight: np.ndarray, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs, gradients and moving statistics of a step that starts from given parameters."""
        for parameter in self.net.get_parameters():
            ops.assign(parameter, Tensor(start[parameter.name]))
        (_, y), (dx, gradients) = self.gradient(Tensor(x), Tensor(weight))
        result = {"y": y.asnumpy(), "dx": dx.asnumpy()}
        result.update({f"d {p.name}": g.asnumpy() for p, g in zip(self.parameters, gradients, strict=True)})
        result.update({p.name: p.asnumpy().copy() for p in self.net.get_parameters() if "moving" in p.name})
        return result


def worst(result: dict[str, np.ndarray], reference: dict[str, np.ndarray], part: str = "") -> float:
    """Largest relative difference over all results whose name, or the last part of it, starts with `part`."""
    return max(float(np.abs(value - reference[name]).max() / np.abs(reference[name]).max())
               for name, value in result.items() if name.startswith(part) or name.split(".")[-1].startswith(part))


def worst_norm(result: dict[str, np.ndarray], reference: dict[str, np.ndarray], part: str) -> float:
    """The same in Euclidean norm."""
    return max(float(np.linalg.norm(value - reference[name]) / np.linalg.norm(reference[name]))
               for name, value in result.items() if part in name)


def main(mode: str, extent: str) -> None:
    """Prints the numbers."""
    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    np.random.seed(1)
    ms.set_seed(1)
    random = np.random.default_rng(0)
    found = {}

    net = build_network("V2", 37)
    parameters = list(net.get_parameters())
    names = [p.name for p in parameters]
    start = {p.name: p.asnumpy().copy() for p in parameters}
    # 18 columns: a window of the second pooling is cut
    points = [smooth_point(start, (2, 3, 32, 18), seed, KINK, TIE) for seed in SEEDS]
    found["kink"], found["tie"] = min(p.kink for p in points), min(p.tie for p in points)
    weights = [random.standard_normal((4, 2, 37)).astype(np.float32) for _ in SEEDS]
    step = Step(net)
    stock = [step(p.images, weight, p.parameters) for p, weight in zip(points, weights, strict=True)]
    found["line"] = accelerate(net)
    found["same parameters"] = all(a is b for a, b in zip(net.get_parameters(), parameters, strict=True))
    found["same names"] = names == [p.name for p in net.get_parameters()] == list(net.parameters_dict())
    step = Step(net)
    own = [step(p.images, weight, p.parameters) for p, weight in zip(points, weights, strict=True)]
    found["V2 output"] = max(worst(a, b, "y") for a, b in zip(own, stock, strict=True))
    found["V2 moving"] = max(worst(a, b, "moving") for a, b in zip(own, stock, strict=True))
    found["V2 gradients"] = max(worst(a, b, "d") for a, b in zip(own, stock, strict=True))
    features = net.vgg.set_train()(Tensor(points[-1].images)).asnumpy()  # the last parameters are still in place
    found["V2 features"] = worst({"y": features}, {"y": points[-1].features})
    if extent == "short":
        print(json.dumps(found))
        return
    found["line bf16"] = accelerate(net, "bfloat16")
    half = Step(net)(points[0].images, weights[0], points[0].parameters)
    found["V2 bf16 output"] = worst(half, stock[0], "y")
    found["V2 bf16 gradients"] = worst_norm(half, stock[0], "d ")
    accelerate(net)
    net.set_train(False)
    image = Tensor(random.standard_normal((3, 3, 32, 45)).astype(np.float32))  # another batch size and width
    own = net(image).asnumpy()
    restore(net)
    found["restored"] = type(net.vgg).__name__ + type(net.vgg.conv1).__name__ + type(net.rnn[0].rnn).__name__
    found["V2 evaluation"] = worst({"y": own}, {"y": net(image).asnumpy()})

    accelerate(net, frozen=True)
    frozen = net(image).asnumpy()
    found["frozen"] = worst({"y": frozen}, {"y": own})
    for parameter in net.get_parameters():
        if "embedding" not in parameter.name:  # dense layers stay stock
            ops.assign(parameter, parameter * 1.01)
    found["frozen stays"] = bool(np.array_equal(net(image).asnumpy(), frozen))
    accelerate(net, frozen=True)
    changed = net(image).asnumpy()
    restore(net)
    found["frozen again"] = worst({"y": changed}, {"y": net(image).asnumpy()})
    found["odd line"] = accelerate(nn.LSTM(8, 16, bidirectional=True))

    mixed = Mixed()
    start = {p.name: p.asnumpy().copy() for p in mixed.get_parameters()}
    x = random.standard_normal((2, 3, 15, 18)).astype(np.float32)
    weight = random.standard_normal(mixed(Tensor(x)).shape).astype(np.float32)
    stock = Step(mixed)(x, weight, start)
    found["mixed line"] = accelerate(mixed)
    found["mixed"] = worst(Step(mixed)(x, weight, start), stock)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
