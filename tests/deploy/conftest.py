"""What the tests of exported files share."""
import mindspore as ms
import pytest

from tests.onnx_models import write_checkpoint

HIDDEN = 16


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Checkpoints of both versions of the network, with small hidden layers; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {version: write_checkpoint(folder / f"{version}.npz", version, HIDDEN) for version in ("V1", "V2")}


@pytest.fixture(scope="module")
def graph_mode():
    """A test before may have left MindSpore in its other mode."""
    ms.set_context(mode=ms.GRAPH_MODE)
