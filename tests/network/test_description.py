"""The description of the network against the network itself."""
import numpy as np
import pytest
from mindspore import Tensor

from src.crnn import build_network
from src.network.description import HEIGHT, STAGES, UNUSED, VERSIONS, WEIGHTS, num_steps


@pytest.mark.parametrize(("width", "steps"), [(100, 24), (160, 39), (99, 24), (101, 25), (102, 25), (4, 0), (5, 1)])
def test_num_steps(width, steps):
    assert num_steps(width) == steps


def test_num_steps_equals_counting_columns():
    for width in range(5, 300):
        columns = list(range(width))
        for _ in range(2):
            columns = [columns[i : i + 2] for i in range(0, len(columns), 2)]
        assert num_steps(width) == len(columns) - 1


@pytest.mark.parametrize("version", VERSIONS)
def test_names_and_shapes_are_those_of_the_network(version):
    net = build_network(version, 37, hidden_size=8)
    shapes = {p.name: p.shape for p in net.get_parameters()}
    assert all(name.startswith(WEIGHTS) and not name.startswith(UNUSED) for name in shapes)
    described = VERSIONS[version]
    assert shapes.pop(f"{described.last}.bias") == (37,)
    for lstm in described.lstms:
        assert f"{lstm}.weight_ih_l0" in shapes
    layers = {name.rpartition(".")[0] for name in shapes if not name.startswith("vgg.")}
    assert layers == {*described.lstms, *filter(None, described.denses)}
    kernels = [shapes[f"vgg.conv{number}.conv.weight"] for number in range(1, len(STAGES) + 1)]
    assert [(shape[0], shape[2], shape[3]) for shape in kernels] == [
        (stage.channels, stage.kernel, stage.kernel) for stage in STAGES]
    assert len([name for name in shapes if name.startswith("vgg.") and name.endswith("conv.weight")]) == len(STAGES)


def test_the_network_makes_the_steps_and_leaves_one_row():
    net = build_network("V2", 5, hidden_size=4).set_train(False)
    for width in (8, 21):
        assert net.vgg(Tensor(np.zeros((1, 3, HEIGHT, width), np.float32))).shape[2:] == (1, num_steps(width))
