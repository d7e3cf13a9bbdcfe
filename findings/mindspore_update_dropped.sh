#!/usr/bin/env bash
# MindSpore's graph mode drops an optimizer's step when its result is named and then used in one case only.
#
# Expected: a call that changes weights changes them, whether or not its result is used afterwards; PyNative does so.
# Seen with mindspore 2.10.0 and 2.9.0 on a CPU (29 November 2026): `done = self.optimizer(gradients)` and then
# `return (loss, done) if self.report else loss`. With report=False the weights stay as they were, step after step; the
# loss is right, nothing warns. The same with `if self.level: return loss, done` where level is 0, and with a plain
# ops.assign() in the place of the optimizer. With report=True, without a name (`self.optimizer(gradients)`), or with the
# condition False in place of 0 in an if statement, the weights move. A switch for logging decides whether a network learns.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mindspore==2.10.0 numpy==1.26.4
cd "$folder"
cat >steps.py <<'PYTHON'
import sys

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

ms.set_device("CPU")


class Step(nn.Cell):
    """One step of training; what it returns depends on ``report``."""

    def __init__(self, report):
        super().__init__()
        self.network = nn.Dense(2, 1, weight_init="ones", has_bias=False)
        self.optimizer = nn.SGD(self.network.trainable_params(), 0.1)
        self.report = report

        def forward(images):
            return self.network(images).sum()

        self.gradients = ops.value_and_grad(forward, None, self.optimizer.parameters)

    def weight(self):
        return self.network.weight.asnumpy().ravel().tolist()


class Expression(Step):
    def construct(self, images):
        loss, gradients = self.gradients(images)
        done = self.optimizer(gradients)
        return (loss, done) if self.report else loss


class Statement(Step):
    def construct(self, images):
        loss, gradients = self.gradients(images)
        done = self.optimizer(gradients)
        if self.report:
            return loss, done
        return loss


class Unnamed(Step):
    def construct(self, images):
        loss, gradients = self.gradients(images)
        self.optimizer(gradients)
        return (loss, loss) if self.report else loss


class Assignment(nn.Cell):
    def __init__(self, report):
        super().__init__()
        self.counter = Parameter(Tensor([1.0, 1.0], ms.float32), name="counter")
        self.report = report

    def construct(self, images):
        counter = ops.assign(self.counter, self.counter - images[0])
        return counter if self.report else images

    def weight(self):
        return self.counter.asnumpy().tolist()


moved = {}
for mode, name in ((ms.GRAPH_MODE, "graph"), (ms.PYNATIVE_MODE, "PyNative")):
    ms.set_context(mode=mode)
    for cell, report in ((Expression, False), (Expression, True), (Statement, 0), (Statement, 1), (Statement, False),
                         (Unnamed, False), (Assignment, False), (Assignment, True)):
        step = cell(report)
        for _ in range(3):
            step(Tensor([[1.0, 2.0]], ms.float32))
        moved[name, cell.__name__, repr(report)] = step.weight() != [1.0, 1.0]
        print(f"{name}, {cell.__name__}({report}): weights after three steps {step.weight()}")
still = [key for key, value in moved.items() if not value]
dropped = [("graph", "Expression", "False"), ("graph", "Statement", "0"), ("graph", "Assignment", "False")]
if still != dropped:
    sys.exit(f"not moved were {still}: this finding is out of date")
PYTHON
"$folder/venv/bin/python" steps.py
