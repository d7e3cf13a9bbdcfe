"""The moving average of the weights: its recursion, what files hold, and that a resumed run has the same."""
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

import train
from src.common.errors import ConfigError
from src.crnn_for_train import SKIPPED
from src.model_utils.config import load_config
from src.network.checkpoint import read_checkpoint, write_checkpoint
from src.training.moving_average import MovingAverage, decay_at
from src.training.resume import Resumed
from src.training.trainer import Position
from tests.words import write_synth_set

pytestmark = pytest.mark.usefixtures("signals_as_usual")

OPTIONS = ["--device_target=CPU", "--model_version=V1", "--batch_size=8", "--hidden_size=16",
           "--learning_rate=0.001", "--optimizer=adamw", "--epoch_size=2", "--save_checkpoint_steps=1",
           "--show_progress=never", "--num_parallel_workers=1", "--seed=7", "--ema_decay=0.6"]


class Weights(nn.Cell):
    """A matrix and a statistic."""

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.vgg = nn.Cell()
        self.vgg.kernel = Parameter(Tensor(np.ones((3, 5), np.float32)), name="vgg.kernel")
        self.vgg.moving_mean = Parameter(Tensor(np.zeros(4, np.float32)), name="vgg.moving_mean", requires_grad=False)


def test_the_decay_grows_to_its_limit():
    assert [decay_at(step, 0.9) for step in (0, 1, 8)] == pytest.approx([1 / 10, 2 / 11, 9 / 18])
    assert decay_at(79, 0.9) < 0.9 == decay_at(81, 0.9) == decay_at(10**7, 0.9)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_the_recursion_in_float64(mode):
    """A skipped step is left out."""
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        net, rng = Weights(), np.random.default_rng(4)
        average = MovingAverage(net, 0.7)
        expected = {p.name: p.asnumpy().astype(np.float64) for p in net.get_parameters()}
        for step in range(40):
            for parameter in net.get_parameters():
                value = rng.normal(size=parameter.shape).astype(np.float32)
                parameter.set_data(Tensor(value))
                decay = min(0.7, (1 + step) / (10 + step))
                expected[parameter.name] = decay * expected[parameter.name] + (1 - decay) * value
            average.update(step, Tensor(np.zeros(8, np.float32)))
        average.update(40, Tensor(np.eye(8, dtype=np.float32)[SKIPPED]))
        for parameter in average.average:
            np.testing.assert_allclose(parameter.asnumpy(), expected[parameter.name.removeprefix("average.")], rtol=0,
                                       atol=1e-6)
    finally:
        ms.set_context(mode=before)


def test_in_place_and_back():
    net = Weights()
    average = MovingAverage(net, 0.5)
    net.vgg.kernel.set_data(Tensor(np.full((3, 5), 7, np.float32)))
    with pytest.raises(RuntimeError), average.in_place():
        assert (net.vgg.kernel.asnumpy() == 1).all()
        raise RuntimeError
    assert (net.vgg.kernel.asnumpy() == 7).all()
    average.restart()
    with average.in_place():
        assert (net.vgg.kernel.asnumpy() == 7).all()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_synth_set(tmp_path_factory.mktemp("synth") / "set")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that is never stopped: three steps an epoch, two epochs; and what it printed of its evaluations."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(data, folder, "--run_eval=True", "--train_eval_dataset=synth", f"--train_eval_dataset_path={data}",
               "--eval_start_epoch=1") == 0
    return folder / "ckpt"


def run(data, folder, *options):
    return train.main([*OPTIONS, f"--train_dataset_path={data}", f"--output_dir={folder}", *options])


def values(path):
    return read_checkpoint(str(path)).values


def test_files_of_a_run_follow_the_recursion(whole):
    """Computed anew in float64 from the trained weights in the files of all steps."""
    files = [values(whole / f"crnn-{epoch}_{step}.ckpt") for epoch in (1, 2) for step in (1, 2, 3)]
    names = [name.removeprefix("trained.") for name in files[0] if name.startswith("trained.")]
    assert "vgg.conv1.conv.weight" in names or len(names) > 30
    for name in names:
        # What the run began with is not in a file: from the second step on.
        expected = files[0][name].astype(np.float64)
        for step, file in enumerate(files[1:], 1):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * file[f"trained.{name}"]
            np.testing.assert_allclose(file[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert any((files[-1][name] != files[-1][f"trained.{name}"]).any() for name in names)


def test_the_average_is_what_is_kept_as_the_best(whole):
    best = read_checkpoint(str(whole / "best_acc.ckpt"))
    last = values(whole / f"crnn-{best.info['epoch_num']}_3.ckpt")
    assert best.trained is None
    for name, value in best.weights.items():
        np.testing.assert_array_equal(value, last[name], err_msg=name)


@pytest.mark.slow
def test_a_resumed_run_has_the_same_average(data, whole, tmp_path):
    assert run(data, tmp_path, f"--resume_ckpt={whole / 'crnn-1_1.ckpt'}") == 0
    expected, found = (values(folder / "crnn-2_3.ckpt") for folder in (whole, tmp_path / "ckpt"))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture
def file(tmp_path):
    """A checkpoint of step 2 of 3: the kernel is 7, its average 1; the step before is not in it."""
    net = Weights()
    net.average = MovingAverage(net, 0.5)
    net.vgg.kernel.set_data(Tensor(np.full((3, 5), 7, np.float32)))
    write_checkpoint(tmp_path / "a.ckpt", net, {"epoch_num": 0, "step_in_epoch": 2, "steps_per_epoch": 3})
    return read_checkpoint(str(tmp_path / "a.ckpt"))


def test_a_file_has_the_average_under_the_plain_names(file):
    assert sorted(file.values) == ["trained.vgg.kernel", "trained.vgg.moving_mean", "vgg.kernel", "vgg.moving_mean"]
    assert (file.weights["vgg.kernel"] == 1).all() and (file.trained.weights["vgg.kernel"] == 7).all()
    assert file.trained.trained is None


@pytest.mark.parametrize(("options", "averages", "kernel", "average"), [
    ([], True, 7, 1),  # the run goes on
    ([], False, 7, None),  # without an average: with what was trained on
    (["--train_start_epoch=0"], True, 1, 1),  # a new start: the weights that read best
    (["--train_start_epoch=0"], False, 1, None),
])
def test_what_a_run_starts_from(file, options, averages, kernel, average):
    net = Weights()
    net.average = MovingAverage(net, 0.5) if averages else None
    start = Resumed(file).load(load_config(options, description=""), net.vgg, net, 3)
    assert (start == Position()) == bool(options)
    assert (net.vgg.kernel.asnumpy() == kernel).all()
    if averages:
        assert (net.average.average[0].asnumpy() == average).all()


def test_files_without_an_average_begin_one(tmp_path):
    net = Weights()
    net.vgg.kernel.set_data(Tensor(np.full((3, 5), 7, np.float32)))
    write_checkpoint(tmp_path / "a.ckpt", net, {"epoch_num": 0, "step_in_epoch": 2, "steps_per_epoch": 3})
    net = Weights()
    net.average = MovingAverage(net, 0.5)
    Resumed(read_checkpoint(str(tmp_path / "a.ckpt"))).load(load_config([], description=""), net.vgg, net, 3)
    assert (net.vgg.kernel.asnumpy() == 7).all() and (net.average.average[0].asnumpy() == 7).all()


def test_the_decay_is_checked(data, tmp_path):
    with pytest.raises(ConfigError, match="ema_decay"):
        run(data, tmp_path, "--ema_decay=1.5")
    assert not list(Path(tmp_path).iterdir())
