"""What Huawei's pages allow of the operators that MindSpore hands the network's layers to (docs/ascend.md)."""
import pytest
from mindspore import nn

from src.common.options import read_options
from src.crnn import build_network
from src.model_utils.config import DEFAULT_CONFIG


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_convolutions_and_pools(version):
    cells = [cell for _, cell in build_network(version, 37, 8).cells_and_names()]
    convolutions = [cell for cell in cells if isinstance(cell, nn.Conv2d)]
    pools = [cell for cell in cells if isinstance(cell, nn.MaxPool2d)]
    assert len(convolutions) == 7 and len(pools) == 2
    for cell in convolutions:
        assert max(cell.kernel_size) <= 255 and set(cell.stride) == {1} and set(cell.dilation) == {1}
    for cell in pools:
        assert cell.pad_mode.upper() == "SAME", "there is no ceil mode; SAME rounds sizes up"
        size, stride = (value if isinstance(value, tuple) else (value, value)
                        for value in (cell.kernel_size, cell.stride))
        assert size[0] * size[1] <= 255 and all(1 <= step <= 63 for step in stride)


def test_sizes_that_options_can_ask_for():
    options = read_options(DEFAULT_CONFIG)
    assert options["image_width"].high <= 4096, "Conv2D"
    assert options["max_text_length"].high <= 1000, "CTCLossV2"
