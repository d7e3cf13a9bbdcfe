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
        self.second = nn.Conv2d(20, 8, (3, 2), pad_mode="pad", padding=(1, 2, 0, 1), dilation=(1, 2))
        self.grouped = nn.Conv2d(8, 8, 3, group=2)
        self.rnn = nn.LSTM(8, 16, bidirectional=True)

    def construct(self, x: Tensor) -> Tensor:
        x = self.grouped(self.second(self.first(x)))
        y, (h, c) = self.rnn(x.mean(2).transpose(2, 0, 1))
        return y.sum() + h.sum() * 2 + ops.square(c).sum() * x


def run(net: nn.Cell, x: np.ndarray, weight: np.ndarray, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs, gradients and moving statistics of one training step that starts from given parameters."""
    for parameter in net.get_parameters():
        parameter.set_data(Tensor(start[parameter.name]))
    cell = Weighted(net).set_train()
    parameters = net.trainable_params()
    (_, y), (dx, gradients) = ops.value_and_grad(cell, 0, parameters, has_aux=True)(Tensor(x), Tensor(weight))
    result = {"y": y.asnumpy(), "dx": dx.asnumpy()}
    result.update({f"d {p.name}": g.asnumpy() for p, g in zip(parameters, gradients, strict=True)})
    result.update({p.name: p.asnumpy().copy() for p in net.get_parameters() if "moving" in p.name})
    return result


def worst(result: dict[str, np.ndarray], reference: dict[str, np.ndarray], part: str = "") -> float:
    """Largest relative difference over all results whose name contains `part`."""
    return max(float(np.abs(value - reference[name]).max() / np.abs(reference[name]).max())
               for name, value in result.items() if part in name)


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
    x = random.standard_normal((2, 3, 32, 38)).astype(np.float32)  # 38: a window of the second pooling is cut
    weight = random.standard_normal((9, 2, 37)).astype(np.float32)
    stock = run(net, x, weight, start)
    found["line"] = accelerate(net)
    found["same parameters"] = all(a is b for a, b in zip(net.get_parameters(), parameters, strict=True))
    found["same names"] = names == [p.name for p in net.get_parameters()] == list(net.parameters_dict())
    own = run(net, x, weight, start)
    found["V2 output"] = worst(own, stock, "y")
    found["V2 moving"] = worst(own, stock, "moving")
    found["V2 rnn gradients"] = worst(own, stock, "d rnn")
    found["V2 gradients"] = worst(own, stock)
    if extent == "short":
        print(json.dumps(found))
        return
    found["line bf16"] = accelerate(net, "bfloat16")
    half = run(net, x, weight, start)
    found["V2 bf16 output"] = worst(half, stock, "y")
    found["V2 bf16 gradients"] = worst_norm(half, stock, "d ")
    accelerate(net)
    net.set_train(False)
    image = Tensor(random.standard_normal((3, 3, 32, 45)).astype(np.float32))  # another batch size and width
    own = net(image).asnumpy()
    restore(net)
    found["restored"] = type(net.vgg).__name__ + type(net.vgg.conv1).__name__ + type(net.rnn[0].rnn).__name__
    found["V2 evaluation"] = worst({"y": own}, {"y": net(image).asnumpy()})

    mixed = Mixed()
    start = {p.name: p.asnumpy().copy() for p in mixed.get_parameters()}
    x = random.standard_normal((2, 3, 15, 18)).astype(np.float32)
    weight = random.standard_normal(mixed(Tensor(x)).shape).astype(np.float32)
    stock = run(mixed, x, weight, start)
    found["mixed line"] = accelerate(mixed)
    found["mixed"] = worst(run(mixed, x, weight, start), stock)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
