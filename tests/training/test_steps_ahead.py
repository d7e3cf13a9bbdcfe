"""However many steps are begun before a result is read: the same checkpoints and the same lines, bit for bit."""
import re
from functools import partial
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

import train
from src.crnn_for_train import TrainOneStepCellWithGradClip
from src.data.batches import Batch
from src.eval_callback import EvalCallback
from src.model_utils.callback import TrainMonitor
from src.network.checkpoint import read_checkpoint
from src.network.checkpoint_folder import CheckpointFolder
from src.training.moving_average import MovingAverage
from src.training.optimizer import create_optimizer
from src.training.trainer import Position, Trainer
from tests.words import write_synth_set

pytestmark = pytest.mark.usefixtures("signals_as_usual")


class Distance(nn.Cell):
    """Stands in for the network and its loss: how far its weights are from the image."""

    def __init__(self):
        super().__init__()
        self.vgg = nn.Cell()
        self.vgg.weight = Parameter(Tensor(np.ones((3, 5), np.float32)), name="vgg.weight")

    def construct(self, image, label, label_length, frame_weight):
        total = ((self.vgg.weight - image) ** 2).sum()
        return total, total, label.sum()


class Images:
    """Seven steps an epoch; three of the run's are bad."""

    corrupted = ()

    def get_dataset_size(self):
        return 7

    def epoch(self, epoch, first):
        for step in range(7 * epoch + first, 7 * epoch + 7):
            image = np.random.default_rng(step).normal(size=(3, 5)).astype(np.float32)
            if step in (1, 2, 9):
                image[1, 1] = np.inf
            yield Batch(image, np.full((1, 2), step, np.int32), np.ones(1, np.int32), ["a"], ["a.png"],
                        np.zeros(1, np.int64))


def files(folder):
    """What checkpoints hold, but for the name of their run."""
    found = {}
    for path in folder.glob("*.ckpt"):
        checkpoint = read_checkpoint(str(path))
        info = {name: value for name, value in checkpoint.info.items() if name != "run"}
        found[path.name] = info, {name: value.tobytes() for name, value in checkpoint.values.items()}
    return found


def lines(text, *folders):
    """What was printed, but for times and the name of the folder."""
    return re.sub(r"[\d.]+ (ms|s|images/s)\b|eval cost: .*", "", re.sub("|".join(map(str, folders)), "", text))


def result(net):
    """An evaluation that shows the weights it was given."""
    return SimpleNamespace(accuracy=float(abs(net.vgg.weight.asnumpy()).sum()), correct=0, total=0, cer=0.0)


def test_one_process(tmp_path, capsys):
    ms.set_context(mode=ms.GRAPH_MODE)
    seen = {}
    for ahead in (0, 2, 4):
        net = Distance()
        optimizer = create_optimizer("adamw", net.trainable_params(), weight_decay=0.01)
        cell = TrainOneStepCellWithGradClip(net, optimizer, 3.0, "dynamic").set_train()
        cell.average = MovingAverage(net, 0.6)
        folder = tmp_path / str(ahead)
        folder.mkdir()
        evaluation = EvalCallback(partial(result, net), net, folder / "best_acc.ckpt")
        monitor = TrainMonitor(7, 2, 4, 1, show_progress="never")
        trainer = Trainer(cell, Images(), np.linspace(0.1, 0.2, 14), np.zeros(14), 2, 2.0, monitor, {},
                          CheckpointFolder(folder, 9), 3, evaluation, average=cell.average, steps_ahead=ahead)
        assert trainer.run(Position()) == 0
        seen[ahead] = files(folder), [lines(text, folder) for text in capsys.readouterr()]
    assert len(seen[0][0]) == 6 and "3 steps were skipped" in seen[0][1][0] and "skipped (3 so far)" in seen[0][1][1]
    assert seen[0] == seen[2] == seen[4]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--model_version=V1", "--loader=processes"], ["--ema_decay=0.6"]])
def test_train_py(tmp_path, capsys, options):
    data, seen = write_synth_set(tmp_path / "set"), {}
    for ahead in (0, 2, 4):
        folder = tmp_path / str(ahead)
        assert train.main(["--device_target=CPU", "--batch_size=4", "--hidden_size=16", "--epoch_size=2",
                           "--save_checkpoint_steps=4", "--per_print_time=1", "--show_progress=never", "--seed=7",
                           "--augment=light", "--aux_ce_weight=1", f"--train_dataset_path={data}", "--run_eval=True",
                           "--train_eval_dataset=synth", f"--train_eval_dataset_path={data}", "--eval_start_epoch=1",
                           f"--output_dir={folder}", f"--steps_ahead={ahead}", *options]) == 0
        out, err = capsys.readouterr()
        printed = [line for line in lines(out, folder).splitlines() if "steps_ahead" not in line]
        seen[ahead] = files(folder / "ckpt"), printed, lines(err, folder)
    assert len(seen[0][0]) > 2 and sum("loss is" in line for line in seen[0][1]) > 8
    assert seen[0] == seen[2] == seen[4]
