"""precision: what is chosen for a device, what it makes of a network, and a training step in float16."""
import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.common.errors import ConfigError
from src.crnn import build_network
from src.crnn_for_train import CRNNWithLoss, TrainOneStepCellWithGradClip
from src.loss import CTCLoss
from src.model_utils.config import load_config
from src.network.precision import reading_precision, set_precision, training_loss_scale, training_precision
from src.training.optimizer import create_optimizer


def configured(device, **options):
    config = load_config([f"--{key}={value}" for key, value in options.items()])
    config.device_target = device
    return config


@pytest.mark.parametrize(("device", "options", "training", "reading", "scale"), [
    ("CPU", {}, "float32", "float32", 1.0),
    ("GPU", {}, "float32", "float32", 1.0),
    ("Ascend", {}, "float16", "float16", "dynamic"),
    ("Ascend", {"precision": "float32"}, "float32", "float32", 1.0),
    ("Ascend", {"precision": "bfloat16"}, "bfloat16", "bfloat16", 1.0),
    ("GPU", {"precision": "float16"}, "float16", "float16", "dynamic"),
    ("CPU", {"precision": "float16"}, "float16", "float32", "dynamic"),
    ("CPU", {"amp": "bf16"}, "bfloat16", "float32", 1.0),
    ("CPU", {"precision": "bfloat16"}, "bfloat16", "float32", 1.0),
    ("Ascend", {"loss_scale": 1}, "float16", "float16", 1.0),
    ("CPU", {"loss_scale": "dynamic"}, "float32", "float32", "dynamic"),
])
def test_what_is_chosen(device, options, training, reading, scale):
    config = configured(device, **options)
    assert (training_precision(config), reading_precision(config)) == (training, reading)
    assert training_loss_scale(config, training) == scale


@pytest.mark.parametrize(("device", "options", "message"), [
    ("GPU", {"precision": "bfloat16"}, "choose float16 or float32 on the GPU"),
    ("CPU", {"precision": "float16", "amp": "bf16"}, "amp bf16 and precision float16 are both set"),
    ("Ascend", {"amp": "bf16"}, "amp bf16 is for the CPU; set --amp=none, and precision for the Ascend"),
])
def test_what_cannot_be(device, options, message):
    with pytest.raises(ConfigError, match=message):
        training_precision(configured(device, **options))


def test_bfloat16_is_for_the_convolutions_alone():
    """Convolutions in bfloat16 do not run on the CPU with MindSpore's operators: the cells' settings are looked at."""
    network = build_network("V2", 37, hidden_size=8)
    set_precision(network, "bfloat16")
    chosen = {name: cell for name, cell in network.cells_and_names() if getattr(cell, "bf16", False)}
    assert len(chosen) == 7 and all(type(cell) is nn.Conv2d for cell in chosen.values())
    norms = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert len(norms) == 7 and all(cell.fp32 for cell in norms)


@pytest.mark.slow
def test_a_step_in_float16():
    """Close to the step in float32; what overflows is skipped until the scale fits, and no weight is float16."""
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    batch = [Tensor(rng.normal(0, 1, (2, 3, 32, 24)).astype(np.float32)), Tensor([[1, 2], [3, 0]], ms.int32),
             Tensor([2, 1], ms.int32), Tensor(0.0, ms.float32), Tensor(0.1, ms.float32),
             Tensor(np.zeros(3, np.float32))]
    norms, steps = {}, {}
    for precision in ("float32", "float16"):
        ms.set_seed(1)
        network = build_network("V2", 37, hidden_size=8)
        set_precision(network, precision)
        optimizer = create_optimizer("sgd", network.trainable_params(), momentum=0.0)
        cell = TrainOneStepCellWithGradClip(CRNNWithLoss(network, CTCLoss("mean")), optimizer, 0.0, "dynamic")
        cell.set_train()
        cell.loss_scale.set_data(Tensor(2.0 ** 24, ms.float32))
        before = {p.name: p.asnumpy().copy() for p in network.trainable_params()}
        skipped_steps, skipped = -1, True
        while skipped:
            skipped_steps += 1
            _, _, skipped, norm, *_ = cell(*batch).asnumpy().tolist()
            assert not skipped or all(np.array_equal(p.asnumpy(), before[p.name]) for p in network.trainable_params())
        norms[precision], steps[precision] = norm, skipped_steps
        assert cell.loss_scale.asnumpy() == 2.0 ** (24 - skipped_steps) and np.isfinite(norm)
        assert all(p.dtype != ms.float16 for p in cell.get_parameters())
        assert any(not np.array_equal(p.asnumpy(), before[p.name]) for p in network.trainable_params())
        out = network.set_train(False)(batch[0])
        assert out.dtype == {"float32": ms.float32, "float16": ms.float16}[precision]
    assert steps["float32"] == 0 and 1 <= steps["float16"] < 24
    assert norms["float16"] == pytest.approx(norms["float32"], rel=0.02)
