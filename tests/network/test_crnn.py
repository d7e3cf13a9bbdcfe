"""The networks against a PyTorch twin (outputs stored by tools/make_twin_fixtures.py)."""
import sys
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from src.common.errors import ConfigError
from src.crnn import build_network, crnn
from tests.conftest import REPO

sys.path.insert(0, str(REPO / "tools"))
from seeded_weights import seeded_weights  # noqa: E402

ZOO_V2_SHAPES = {
    "vgg.conv1.conv.weight": (64, 3, 3, 3), "vgg.conv1.bn.gamma": (64,), "vgg.conv1.bn.beta": (64,),
    "vgg.conv1.bn.moving_mean": (64,), "vgg.conv1.bn.moving_variance": (64,), "vgg.conv2.conv.weight": (128, 64, 3, 3),
    "vgg.conv6.conv.weight": (512, 512, 3, 3), "vgg.conv7.conv.weight": (512, 512, 2, 2),
    "rnn.0.rnn.weight_ih_l0": (1024, 512), "rnn.0.rnn.weight_hh_l0_reverse": (1024, 256),
    "rnn.0.rnn.bias_ih_l0": (1024,), "rnn.0.embedding.weight": (256, 512), "rnn.0.embedding.bias": (256,),
    "rnn.1.rnn.weight_ih_l0": (1024, 256), "rnn.1.embedding.weight": (37, 512), "rnn.1.embedding.bias": (37,),
}


def seeded_network(version: str) -> ms.nn.Cell:
    net = build_network(version, 37).set_train(False)
    weights = seeded_weights([(p.name, p.shape) for p in net.get_parameters()])
    for parameter in net.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    return net


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_logits_equal_the_twin(version, mode):
    ms.set_context(mode=mode)
    net = seeded_network(version)
    with np.load(REPO / "tests" / "fixtures" / "twin_logits.npz") as fixtures:
        for width in (100, 160):
            image = np.random.default_rng(width).uniform(-1, 1, (2, 3, 32, width)).astype(np.float32)
            expected = fixtures[f"{version}_{width}"]
            assert expected.std() > 0.1, "a fixture without spread would prove nothing"
            np.testing.assert_allclose(net(ms.Tensor(image)).asnumpy(), expected, atol=1e-4)


def test_any_batch_size_and_width():
    ms.set_context(mode=ms.GRAPH_MODE)
    net = seeded_network("V2")
    images = np.random.default_rng(0).uniform(-1, 1, (5, 3, 32, 53)).astype(np.float32)
    together = net(ms.Tensor(images)).asnumpy()
    assert together.shape == (13, 5, 37)  # ceil(ceil(53 / 2) / 2) - 1
    alone = np.concatenate([net(ms.Tensor(image[None])).asnumpy() for image in images], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_v2_parameters_are_those_of_the_model_zoo():
    shapes = {p.name: tuple(p.shape) for p in build_network("V2", 37).get_parameters()}
    assert {name: shapes.get(name) for name in ZOO_V2_SHAPES} == ZOO_V2_SHAPES
    assert sum(np.prod(s) for n, s in shapes.items() if "moving" not in n) == 8_332_133


def test_batch_norm_constants_are_those_of_the_model_zoo():
    norm = build_network("V2", 37).vgg.conv3.bn
    assert (norm.eps, norm.momentum) == (1e-4, pytest.approx(0.1))  # MindSpore stores 1 - momentum


def test_forget_gates_start_open():
    bias = build_network("V1", 37).rnn2.b_ih_list[1].asnumpy()
    assert (bias[256:512] == 1).all() and (np.abs(bias[:256]) < 0.1).all()


def test_crnn_reads_the_configuration():
    config = SimpleNamespace(model_version="V1", class_num=11, hidden_size=64, use_dropout=True)
    net = crnn(config, full_precision=True)
    assert net.fc.weight.shape == (11, 128)
    assert net.rnn1.hidden_size == 64


def test_unknown_version():
    with pytest.raises(ConfigError, match="model_version is 'V3'; choose V1 or V2"):
        build_network("V3", 37)
