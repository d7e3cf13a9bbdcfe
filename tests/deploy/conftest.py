"""What the tests of exported files share."""
import mindspore as ms
import pytest
from mindspore import Tensor, nn

from src.crnn import build_network
from src.network.checkpoint import load_weights, read_checkpoint
from tests.onnx_models import write_checkpoint

HIDDEN = 16


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Checkpoints of both versions of the network, with small hidden layers; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {version: write_checkpoint(folder / f"{version}.npz", version, HIDDEN) for version in ("V1", "V2")}


def network(path) -> nn.Cell:
    """The network of one of these checkpoints, ready to read."""
    net = build_network(path.stem, 37, HIDDEN)
    load_weights(net, read_checkpoint(str(path)))
    return net.set_train(False)


def reference(path):
    """The same as a function on arrays."""
    net = network(path)
    return lambda images: net(Tensor(images)).asnumpy()


@pytest.fixture(scope="module")
def graph_mode():
    """A test before may have left MindSpore in its other mode."""
    ms.set_context(mode=ms.GRAPH_MODE)
