"""The train cell: clipping, skipping, loss scaling, and one real step against PyTorch-style arithmetic in numpy."""
import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, nn, ops

from src.crnn_for_train import (
    IMPOSSIBLE,
    IN_A_ROW,
    LOSS,
    NORM,
    SKIPPED,
    STOP,
    GradientReducer,
    TrainOneStepCellWithGradClip,
)
from src.network.checkpoint import load_state, read_checkpoint, write_arrays, write_checkpoint
from src.onednn import available, build
from src.training.optimizer import create_optimizer


class Quadratic(nn.Cell):
    """Stands in for the network and its loss: gradient = image summed, so a test can choose it freely."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(ms.Tensor(np.ones((2, 2)), ms.float32), name="weight")

    def construct(self, image, label, label_length, frame_weight):
        ctc = (self.weight * image).sum()
        return ctc + frame_weight * self.weight.sum(), ctc, label.sum()


def make(clip_norm=10.0, loss_scale=1.0, reducer=None, **options):
    ms.set_context(mode=ms.GRAPH_MODE)
    network = Quadratic()
    optimizer = create_optimizer("sgd", network.trainable_params(), momentum=0.0, **options)
    return network, TrainOneStepCellWithGradClip(network, optimizer, clip_norm, loss_scale, reducer).set_train()


def further(frame_weight=0.0, rate=0.1):
    """What the cell gets besides the batch; the second reason to stop holds."""
    return ms.Tensor(frame_weight, ms.float32), ms.Tensor(rate, ms.float32), ms.Tensor([0, 1, 0], ms.float32)


def run(cell, gradient, frame_weight=0.0, labels=(0, 0)):
    return cell(ms.Tensor(gradient, ms.float32), ms.Tensor([labels], ms.int32), ms.Tensor([1], ms.int32),
                *further(frame_weight)).asnumpy().tolist()


def step(cell, gradient, frame_weight=0.0, labels=(0, 0)):
    found = run(cell, gradient, frame_weight, labels)
    return found[LOSS], bool(found[SKIPPED]), found[NORM], found[IMPOSSIBLE]


BAD = [[np.inf, 0.0], [0.0, 0.0]]
GRADIENT = np.array([[3.0, 4.0], [0.0, 12.0]])  # norm 13


@pytest.fixture(params=["stock", "fast"])
def clipping(request, monkeypatch):
    """Clipping with stock operators, and by the one that accelerated networks get."""
    if request.param == "fast":
        usable, reason = available()
        if not usable:
            pytest.skip(reason)
        from src.onednn import operators  # it loads MindSpore's operators of our own, which not every machine has

        operators.load(build.library())
        monkeypatch.setattr("src.crnn_for_train.clipping", lambda _, clip_norm: operators.clipping(clip_norm))


@pytest.mark.usefixtures("clipping")
@pytest.mark.parametrize(("clip_norm", "factor"), [(0, 1.0), (20.0, 1.0), (6.5, 0.5), (0.5, 0.5 / 13)])
@pytest.mark.parametrize("loss_scale", [1.0, 1024.0, "dynamic"])
def test_clip_by_global_norm(clip_norm, factor, loss_scale):
    network, cell = make(clip_norm, loss_scale)
    loss, skipped, norm, _ = step(cell, GRADIENT)
    assert (loss, skipped, norm) == (19.0, False, pytest.approx(13.0))
    np.testing.assert_allclose(network.weight.asnumpy(), 1 - 0.1 * factor * GRADIENT, rtol=1e-5)


def test_frame_weight_adds_its_gradient_but_the_ctc_loss_is_reported():
    network, cell = make(0)
    loss, _, _, impossible = step(cell, GRADIENT, frame_weight=2.0, labels=(1, 2))
    assert (loss, impossible) == (19.0, 3)
    np.testing.assert_allclose(network.weight.asnumpy(), 1 - 0.1 * (GRADIENT + 2), rtol=1e-5)


@pytest.mark.usefixtures("clipping")
@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("loss_scale", [8.0, "dynamic"])
def test_overflow_skips_the_step(bad, loss_scale):
    network, cell = make(loss_scale=loss_scale)
    before = cell.loss_scale.asnumpy().item()
    _, skipped, _, _ = step(cell, [[bad, 0], [0, 0]])
    assert skipped
    np.testing.assert_array_equal(network.weight.asnumpy(), np.ones((2, 2)))
    assert cell.loss_scale.asnumpy().item() == (before / 2 if loss_scale == "dynamic" else 8.0)
    _, skipped, _, _ = step(cell, GRADIENT)
    assert not skipped and (network.weight.asnumpy() != 1).any()


def test_dynamic_scale_grows_after_good_steps(monkeypatch):
    monkeypatch.setattr(TrainOneStepCellWithGradClip, "GROWTH_INTERVAL", 3)
    _, cell = make(loss_scale="dynamic")
    scales = []
    for _ in range(7):
        step(cell, GRADIENT * 0.01)
        scales.append(cell.loss_scale.asnumpy().item() / 2 ** 16)
    assert scales == [1, 1, 2, 2, 2, 4, 4]


class TimesThree(nn.Cell):
    """A reducer that makes its mark."""

    def construct(self, gradients, numbers):
        return ops.HyperMap()(ops.partial(ops.mul, ms.Tensor(3.0, ms.float32)), gradients), numbers * 2


def test_gradients_are_clipped_after_the_reduction():
    network, cell = make(clip_norm=13.0, reducer=TimesThree())
    _, _, norm, _ = step(cell, GRADIENT)
    assert norm == pytest.approx(39.0)
    np.testing.assert_allclose(network.weight.asnumpy(), 1 - 0.1 * GRADIENT, rtol=1e-5)


def test_numbers_of_all_ranks_come_with_the_gradients():
    _, cell = make(reducer=TimesThree())
    found = run(cell, GRADIENT, labels=(1, 2))
    assert (found[LOSS], found[IMPOSSIBLE], found[STOP:]) == (38.0, 6.0, [0.0, 2.0, 0.0])


class Doubled(nn.Cell):
    """Stands in for the collective operator: two ranks that hold the same."""

    def construct(self, x):
        return x * 2


@pytest.mark.parametrize(("mean", "factor"), [(False, 2), (True, 1)])
def test_gradients_of_any_shape_and_numbers_go_through_one_operator(monkeypatch, mean, factor):
    monkeypatch.setattr(ops, "AllReduce", Doubled)
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape).astype(kind) for shape, kind in (((2, 3), np.float32), ((4,), np.float16),
                                                                         ((1, 2, 2), np.float32))]
    reduced, sums = GradientReducer(2, mean)(tuple(map(ms.Tensor, gradients)), ms.Tensor([5.0, 0.0, 7.0], ms.float32))
    assert [found.dtype for found in reduced] == [ms.float32] * 3 and sums.asnumpy().tolist() == [10, 0, 14]
    for found, gradient in zip(reduced, gradients, strict=True):
        np.testing.assert_array_equal(found.asnumpy(), gradient.astype(np.float32) * factor)


def test_bad_steps_in_a_row_are_counted_and_saved(tmp_path):
    """Those without a finite loss, too, though these are not skipped."""
    _, cell = make()
    counts = [run(cell, gradient)[IN_A_ROW] for gradient in (BAD, BAD, GRADIENT, BAD)]
    assert counts == [1, 2, 0, 1]
    cell.network.weight.set_data(ms.Tensor(np.full((2, 2), np.inf), ms.float32))
    found = run(cell, GRADIENT)
    assert found[IN_A_ROW] == 2 and found[SKIPPED] == 0 and not np.isfinite(found[LOSS])
    write_checkpoint(tmp_path / "a.ckpt", cell, {})
    _, other = make()
    assert load_state(other, read_checkpoint(str(tmp_path / "a.ckpt"))) and other.bad_in_a_row.asnumpy() == 2


def test_files_that_do_not_count_bad_steps_are_whole(tmp_path):
    """As earlier versions wrote them."""
    network, cell = make()
    arrays = {p.name: p.asnumpy() for p in cell.get_parameters() if p.name != "skipped_in_a_row"}
    write_arrays(tmp_path / "old.ckpt", arrays, {})
    assert load_state(cell, read_checkpoint(str(tmp_path / "old.ckpt"))) and cell.bad_in_a_row.asnumpy() == 0
    write_arrays(tmp_path / "old.ckpt", arrays, {"skipped_in_a_row": 4})
    assert load_state(cell, read_checkpoint(str(tmp_path / "old.ckpt"))) and cell.bad_in_a_row.asnumpy() == 4


STATISTICS = ("moving_mean", "moving_variance")


@pytest.mark.parametrize(("operators", "branches"), [pytest.param("stock", True, marks=pytest.mark.slow),
                                                     pytest.param("own", False, marks=pytest.mark.slow),
                                                     ("own", True)])
def test_a_skipped_step_leaves_the_statistics_of_batch_norm_alone(operators, branches):
    """With MindSpore's operators and our own; a good step moves them."""
    from src.crnn import build_network
    from src.crnn_for_train import CRNNWithLoss
    from src.loss import CTCLoss
    from src.onednn import accelerate
    ms.set_context(mode=ms.GRAPH_MODE)
    net = build_network("V2", 37, hidden_size=8)
    if operators == "own" and "stock" in (line := accelerate(net)):
        pytest.skip(line)
    with_loss = CRNNWithLoss(net, CTCLoss())
    optimizer = create_optimizer("sgd", with_loss.trainable_params())
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, branches=branches).set_train()
    image = np.random.default_rng(1).normal(0, 1, (2, 3, 32, 16)).astype(np.float32)

    def step_on(image):
        before = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
        skipped = cell(ms.Tensor(image), ms.Tensor([[1], [2]], ms.int32), ms.Tensor([1, 1], ms.int32),
                       *further()).asnumpy()[SKIPPED]
        return skipped, {p.name for p in net.get_parameters() if not np.array_equal(p.asnumpy(), before[p.name])}

    skipped, moved = step_on(image * np.float32(np.nan))
    assert skipped and not moved
    skipped, moved = step_on(image)
    assert not skipped and {p.name for p in net.get_parameters() if p.name.endswith(STATISTICS)} <= moved
    skipped, moved = step_on(image * np.float32(np.nan))
    assert skipped and not moved

