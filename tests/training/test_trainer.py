"""The training loop around a stand-in for the train cell, which decides what every step finds."""
import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.common.errors import ConfigError, CRNNError, DataError
from src.data.batches import Batch
from src.data.embedded import fill_in_data
from src.distributed.ranks import Ranks
from src.eval_callback import EvalCallback
from src.model_utils.callback import TrainMonitor
from src.model_utils.config import load_config
from src.network import checkpoint as checkpoint_module
from src.network.checkpoint import read_checkpoint, write_checkpoint
from src.network.checkpoint_folder import CheckpointFolder
from src.training import trainer as trainer_module
from src.training.bad_steps import ADAPTIVE_WINDOW, BadSteps
from src.training.resume import Resumed
from src.training.stop import NAMES, StopRequested
from src.training.trainer import Position, Trainer, position_of

pytestmark = pytest.mark.usefixtures("signals_as_usual")


class Weights(nn.Cell):
    """One number that every step raises by 1."""

    def __init__(self):
        super().__init__()
        self.vgg = nn.Cell()
        self.vgg.count = Parameter(Tensor(np.zeros(1, np.float32)), name="vgg.count")


class Found:
    """What a step found, on a device that works on its own time."""

    def __init__(self, cell, values):
        self.cell, self.step, self.values = cell, cell.step, values

    def asnumpy(self):
        self.cell.read.append((self.step, self.cell.step))
        if self.step == self.cell.dead_at:
            raise RuntimeError("Launch kernel failed: Default/AllReduce-op0")
        return np.array(self.values, np.float32)


class FakeCell:
    """Each of its steps is counted in the weights at once; `read` has when its result was read, by the step begun."""

    dead_at = 0

    def __init__(self, net, bad=(), in_a_row=0, asked=(0, 0)):
        self.net, self.bad, self.step, self.inputs, self.read = net, bad, 0, [], []
        self.asked = asked  # the step with which another rank asks to stop, and for which reason
        self.bad_in_a_row = Parameter(Tensor(np.int32(in_a_row)), name="skipped_in_a_row")

    def get_parameters(self):
        return [*self.net.get_parameters(), self.bad_in_a_row]

    def __call__(self, *inputs):
        self.step += 1
        self.inputs.append(inputs)
        self.net.vgg.count.set_data(Tensor(np.full(1, self.step, np.float32)))
        skipped = self.step in self.bad
        in_a_row = int(self.bad_in_a_row.asnumpy()) + 1 if skipped else 0
        self.bad_in_a_row.set_data(Tensor(np.int32(in_a_row)))
        stop = inputs[5].asnumpy() + [self.step == self.asked[0] and number == self.asked[1] for number in range(3)]
        return Found(self, [np.nan if skipped else 2.0 * self.step, 0, skipped, 1, in_a_row, *stop])


class FakeData:
    corrupted, repeated = ("a.png", "b.png"), 1

    def __init__(self, steps):
        self.steps, self.fails_after = steps, None

    def get_dataset_size(self):
        return self.steps

    def epoch(self, epoch, first):
        """The name and the mask of a batch are the step of the run it is for."""
        for step in range(epoch * self.steps + first, (epoch + 1) * self.steps):
            if step == self.fails_after:
                raise DataError("nothing can be read")
            name, mask = f"{step + 1}.png", np.full(1, step, np.float32)
            yield Batch(np.zeros((1, 3, 32, 100), np.float32), np.zeros((1, 1)), np.zeros(1), ["a"], [name],
                        np.zeros(1, np.int64), mask)


@pytest.fixture(params=[0, 2])
def make(request, tmp_path):
    """Builds trainers; with results read at once, and two steps later."""

    def build(steps=3, epochs=2, bad=(), keep_max=9, save_every=1, evaluate=None, asked=(0, 0), **options):
        net, options = Weights(), {"steps_ahead": request.param, **options}
        evaluation = None
        if evaluate:
            evaluation = EvalCallback(lambda: evaluate(net.vgg.count.asnumpy()[0]), net, tmp_path / "best_acc.ckpt",
                                      say=print)
        cell = FakeCell(net, bad, options.get("bad_steps", BadSteps()).in_a_row, asked)
        return Trainer(cell, FakeData(steps), np.arange(steps * epochs) / 8, np.arange(steps * epochs) / 4, epochs, 2.0,
                       TrainMonitor(steps, epochs, 4, 100, show_progress="never"), {},
                       CheckpointFolder(tmp_path, keep_max), save_every, evaluation, **options)

    return build


def accuracy(of):
    """An evaluation that likes one weight best."""
    return lambda weight: SimpleNamespace(accuracy=1.0 - abs(weight - of) / 10, correct=0, total=0, cer=0.0)


def test_loss_lines_and_what_was_replaced(make, capsys):
    make().run(Position())
    out = capsys.readouterr().out
    assert "epoch: 1 step: 3, loss is 2.000000" in out and "epoch: 2 step: 3, loss is 5.000000" in out
    assert "2 training images could not be read and were replaced by others (1 of these came twice" in out


@pytest.mark.parametrize(("start", "steps"), [(Position(), range(6)), (Position(0, 2), range(2, 6)),
                                              (Position(1, 1), range(4, 6))])
def test_learning_rate_frame_weight_and_dropout_follow_the_step_of_the_whole_run(make, start, steps):
    trainer = make()
    trainer.run(start)
    assert [float(inputs[3].asnumpy()) for inputs in trainer.cell.inputs] == [step / 4 for step in steps]
    assert [float(inputs[4].asnumpy()) for inputs in trainer.cell.inputs] == [step / 8 for step in steps]
    assert [float(inputs[6].asnumpy()[0]) for inputs in trainer.cell.inputs] == list(steps)


@pytest.mark.parametrize("ahead", [0, 1, 2, 16])
@pytest.mark.parametrize("start", [0, 1])
def test_results_are_read_later_but_before_every_checkpoint_and_the_end_of_an_epoch(make, ahead, start):
    trainer = make(steps=9, save_every=4, steps_ahead=ahead, ranks=TwoRanks(0, 2))
    trainer.run(Position(start))
    # Counted over the run, whose checkpoints are due after every fourth step.
    when = {step: min(step + ahead, -(-step // 4) * 4, -(-step // 9) * 9) for step in range(9 * start + 1, 19)}
    assert [(9 * start + step, 9 * start + begun) for step, begun in trainer.cell.read] == list(when.items())


def test_everything_is_read_where_a_checkpoint_may_be_tried_again(make, monkeypatch):
    monkeypatch.setattr(trainer_module, "RETRY_STEPS", 5)
    trainer = make(steps=12, epochs=1, save_every=99, steps_ahead=3)
    trainer.run(Position())
    assert trainer.cell.read == list(zip(range(1, 13), [4, 5, 5, 5, 5, 9, 10, 10, 10, 10, 12, 12], strict=True))


@pytest.mark.parametrize(("asked", "stops"), [((2, 0), 2), ((5, 1), 5), ((9, 1), 9)])
def test_a_rank_that_asks_stops_all_as_many_steps_later_as_results_are(make, tmp_path, capsys, asked, stops):
    trainer = make(steps=9, epochs=2, save_every=99, asked=asked, ranks=TwoRanks(0, 2))
    number = list(NAMES)[asked[1]]
    assert trainer.run(Position()) == number
    last = min(stops + trainer.steps_ahead, 9)
    assert trainer.cell.step == last and [step for step, _ in trainer.cell.read] == list(range(1, last + 1))
    assert [path.name for path in tmp_path.glob("crnn-*")] == [f"crnn-1_{last}.ckpt"]
    assert f"stopped by {NAMES[number]} after step {last} of epoch 1" in capsys.readouterr().out


def test_another_rank_that_dies_is_noticed_when_a_result_is_read(make, tmp_path):
    trainer = make(steps=9, save_every=99, ranks=TwoRanks(1, 2))
    trainer.cell.dead_at = 3
    with pytest.raises(CRNNError, match="^rank 1: another rank does not answer at or before step 3 of epoch 1; it"):
        trainer.run(Position())
    assert not list(tmp_path.glob("crnn-*"))


def test_what_was_begun_is_printed_before_an_error_of_the_loader(make, capsys):
    trainer = make(steps=9, save_every=99)
    trainer.monitor.print_every, trainer.dataset.fails_after = 1, 4
    with pytest.raises(DataError, match="nothing can be read"):
        trainer.run(Position())
    assert "epoch: 1 step: 4, loss is 4.0" in capsys.readouterr().out


def test_weights_that_come_after_a_bad_run_are_never_saved(make, tmp_path):
    """The batch that is kept is the bad one, not one of the steps begun since."""
    trainer = make(steps=40, save_every=13, bad=range(1, 11), bad_batch_path=tmp_path / "bad_batch.npz", steps_ahead=2)
    with pytest.raises(CRNNError, match="epoch 1 step 10: the gradient of 10 steps in a row"):
        trainer.run(Position())
    assert trainer.cell.step == 12 and not list(tmp_path.glob("crnn-*"))
    assert np.load(tmp_path / "bad_batch.npz")["reference"].tolist() == ["10.png"]


class Notes:
    """Stands in for the table of a run."""

    def __init__(self):
        self.steps, self.evaluations = [], []

    def note_step(self, *step):
        self.steps.append(step)

    def note_evaluation(self, done, epoch, result):
        self.evaluations.append((done, epoch, result.accuracy))


def test_the_table_of_a_run_gets_every_step_and_every_evaluation(make):
    notes, trainer = Notes(), make(bad=[5], evaluate=accuracy(6))
    trainer.record_to(notes)
    trainer.run(Position(0, 1))
    # Steps of the run, epoch, whether it is the epoch's last, loss, learning rate, norm, skipped.
    expected = [(2, 1, False, 1.0, 0.125, 1.0, False), (3, 1, True, 2.0, 0.25, 1.0, False),
                (4, 2, False, 3.0, 0.375, 1.0, False), (5, 2, False, 4.0, 0.5, 1.0, False),
                (6, 2, True, np.nan, 0.625, 1.0, True)]
    np.testing.assert_array_equal(np.array(notes.steps, np.float64), np.array(expected, np.float64))
    assert notes.evaluations == [(3, 1, pytest.approx(0.6)), (6, 2, pytest.approx(0.9))]


def test_skipped_steps_are_no_zero_loss(make, capsys):
    make(bad=range(1, 4)).run(Position())
    captured = capsys.readouterr()
    assert "epoch: 1 step: 3, loss is nan" in captured.out and "3 steps were skipped" in captured.out
    assert "step: 2, gradient not finite: step skipped (2 so far)" in captured.err


def test_a_run_that_only_skips_is_stopped_across_epochs(make, tmp_path):
    with pytest.raises(CRNNError, match="epoch 5 step 3: the gradient of 10 steps in a row was not finite; the "
                                        "last good checkpoint is .*crnn-2_2.ckpt; its batch is kept in .*npz; lower"):
        make(epochs=30, bad=range(6, 99), bad_batch_path=tmp_path / "new" / "bad_batch.npz").run(Position())
    assert np.load(tmp_path / "new" / "bad_batch.npz")["reference"].tolist() == ["15.png"]
    assert read_checkpoint(str(tmp_path / "crnn-5_2.ckpt")).info["skipped_in_a_row"] == 9


def test_a_batch_that_cannot_be_kept_is_no_second_fault(make, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CRNNError, match=r"not finite; .*; its batch could not be kept \(.*\); lower"):
        make(epochs=30, bad=range(6, 99), bad_batch_path=tmp_path / "file" / "bad_batch.npz").run(Position())


def test_a_run_that_mostly_skips_is_stopped(make):
    bad = [step for step in range(1, 99) if step % 5]
    with pytest.raises(CRNNError, match="epoch 5 step 1: the gradient of 11 of the last 13 steps was not finite"):
        make(epochs=30, bad=bad, save_every=99).run(Position())


def test_a_dynamic_loss_scale_may_take_its_time():
    bad_steps = BadSteps(ADAPTIVE_WINDOW)
    for in_a_row in [*range(1, 17), *[0, 1] * 14, *[0] * 9]:
        bad_steps.note(in_a_row)
        assert not bad_steps.verdict()


def test_bad_steps_of_the_earlier_part_count(make):
    trainer = make(bad=range(1, 99), bad_steps=BadSteps(in_a_row=9))
    with pytest.raises(CRNNError, match="epoch 1 step 1: the gradient of 10 steps .*; no checkpoint was written "
                                        "before these steps"):
        trainer.run(Position())


@pytest.fixture
def full_disk(monkeypatch):
    """A set of names of checkpoints for which there is no room."""
    names, written, save, replacing = set(), [], ms.save_checkpoint, checkpoint_module.replacing

    def note_and_replace(path):
        written.append(path.stem)
        return replacing(path)

    def save_checkpoint(content, path, **rest):
        if written[-1] in names:
            Path(path).with_suffix(".tmp").write_bytes(b"half")  # as MindSpore leaves it
            raise OSError(errno.ENOSPC, "No space left on device")
        save(content, path, **rest)

    monkeypatch.setattr(checkpoint_module, "replacing", note_and_replace)
    monkeypatch.setattr(ms, "save_checkpoint", save_checkpoint)
    return names


def test_a_checkpoint_that_finds_no_room_is_tried_again(make, tmp_path, capsys, full_disk):
    full_disk |= {"crnn-1_2", "crnn-2_2"}
    trainer = make(save_every=2)
    assert trainer.run(Position()) == 0 and not trainer.is_incomplete()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crnn-1_3.ckpt", "crnn-2_1.ckpt", "crnn-2_3.ckpt"]
    err = capsys.readouterr().err
    assert err.count("could not be written (No space left on device); training goes on and tries again") == 1
    assert "1 checkpoints could not be written\n" in err
    assert read_checkpoint(str(tmp_path / "crnn-2_3.ckpt")).info["run_files"] == (
        "crnn-1_3.ckpt/crnn-2_1.ckpt/crnn-2_3.ckpt"), "what could not be written is no file of the run"


@pytest.mark.parametrize("name", ["crnn-2_3", "best_acc"])
def test_what_is_missing_at_the_end_is_told(make, tmp_path, capsys, full_disk, name):
    full_disk.add(name)
    trainer = make(evaluate=accuracy(6))
    assert trainer.run(Position()) == 0 and trainer.is_incomplete()
    assert f"{name}.ckpt could not be written (No space left on device)" in capsys.readouterr().err
    assert not list(tmp_path.glob(f"*{name}*"))


def test_the_end_says_which_file_reads_words(make, tmp_path, capsys):
    make().run(Position())
    last = tmp_path / "crnn-2_3.ckpt"
    assert capsys.readouterr().out.endswith(f"End training, the last weights: {last}\nto read words: python predict.py "
                                            f"--checkpoint_path={last} IMAGE|FOLDER\n")


def test_saved_checkpoints_are_evaluated_once_where_they_are_still_kept(make, tmp_path, capsys):
    make(keep_max=2, evaluate=accuracy(5), evaluate_saved=True).run(Position())
    judged = [line.split(",")[0] for line in capsys.readouterr().out.splitlines() if ", acc: " in line]
    assert judged == ["crnn-1_2.ckpt", "crnn-1_3.ckpt", "crnn-2_2.ckpt", "crnn-2_3.ckpt"]
    best = read_checkpoint(str(tmp_path / "best_acc.ckpt"))
    assert best.values["vgg.count"] == 5 and (best.info["epoch_num"], best.info["step_in_epoch"]) == (1, 2)


def test_weights_at_the_end_of_an_epoch_are_the_ones_evaluated(make, tmp_path, capsys):
    trainer = make(evaluate=accuracy(6))
    trainer.run(Position())
    assert "End training, the best acc is: 1.000000, the best acc epoch is 2" in capsys.readouterr().out
    assert read_checkpoint(str(tmp_path / "best_acc.ckpt")).values["vgg.count"] == 6
    assert trainer.cell.net.vgg.count.asnumpy() == 6


def test_a_resumed_run_keeps_a_better_best_checkpoint(make, tmp_path):
    facts = {"accuracy": 0.99, "epoch_num": 1, "run": "this", "evaluated_on": "svt data/svt"}
    for run, evaluated_on, best in (("this", "svt data/svt", 0.99), ("that", "svt data/svt", 0.8),
                                    ("this", "ic15 data/ic15", 0.8)):
        write_checkpoint(tmp_path / "best_acc.ckpt", Weights(), facts)
        trainer = make(evaluate=accuracy(0))
        trainer.evaluation.remember_best(run, evaluated_on)
        trainer.run(Position(1, 1))
        assert read_checkpoint(str(tmp_path / "best_acc.ckpt")).info["accuracy"] == pytest.approx(best)


def test_best_checkpoints_that_name_no_run_belong_to_runs_without_a_name(make, tmp_path):
    write_checkpoint(tmp_path / "best_acc.ckpt", Weights(), {"accuracy": 0.99, "epoch_num": 1})
    for run, best in ((None, 0.99), ("this", -1.0)):
        evaluation = make(evaluate=accuracy(0)).evaluation
        evaluation.remember_best(run, "svt data/svt")
        assert evaluation.best_accuracy == pytest.approx(best)


def test_a_resumed_run_counts_the_checkpoints_that_it_had(tmp_path):
    net = Weights()
    (tmp_path / "crnn-1_9.ckpt").write_bytes(b"another run's")
    first = CheckpointFolder(tmp_path, 2)
    for step in (1, 2, 3):
        path = first.save(net, 1, step, {})
    resumed = Resumed(read_checkpoint(str(path)))
    assert [path.name for path in resumed.files_in(tmp_path)] == ["crnn-1_1.ckpt", "crnn-1_2.ckpt", "crnn-1_3.ckpt"]
    CheckpointFolder(tmp_path, 2, resumed.files_in(tmp_path)).save(net, 1, 4, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crnn-1_3.ckpt", "crnn-1_4.ckpt", "crnn-1_9.ckpt"]
    assert resumed.files_in(tmp_path / "elsewhere") == []


def test_position_of_a_checkpoint():
    told = []
    info = {"epoch_num": 2, "step_in_epoch": 5, "steps_per_epoch": 8}
    assert position_of(info, 8, told.append) == Position(2, 5) and not told
    assert position_of(info, 9, told.append) == Position(2, 0) and "step 5 of 8" in told[0]
    assert position_of({}, 9, told.append) == Position(0, 0)
    assert position_of({"epoch_num": 3}, 9, told.append) == Position(3, 0)  # as the model zoo's
    assert position_of({"epoch_num": 3, "step_in_epoch": 1}, 9, told.append) == Position(3, 0) and len(told) == 2


def test_embedded_words_do_not_stand_in_for_another_data_set(monkeypatch):
    monkeypatch.setattr("src.data.embedded.embedded_set", lambda: "EMBEDDED")
    config = load_config([])
    fill_in_data(config, "eval_dataset")
    assert (config.eval_dataset, config.eval_dataset_path) == ("synth", "EMBEDDED")
    with pytest.raises(ConfigError, match="eval_dataset_path is missing: say where the iiit5k data are"):
        fill_in_data(load_config(["--eval_dataset=iiit5k"]), "eval_dataset")


def at_step(trainer, number, action):
    """Calls the action after a step, counted over the run."""
    note, done = trainer.monitor.on_step_end, []

    def on_step_end(*step):
        note(*step)
        done.append(step)
        if len(done) == number:
            action()

    trainer.monitor.on_step_end = on_step_end


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_ends_the_run_after_the_next_step(make, tmp_path, capsys, number, name):
    trainer = make(save_every=100, evaluate=accuracy(6))
    at_step(trainer, 3, lambda: os.kill(os.getpid(), number))
    assert trainer.run(Position()) == number
    assert [path.name for path in tmp_path.glob("crnn-*")] == ["crnn-2_1.ckpt"]
    out, err = capsys.readouterr()
    assert f"stopped by {name} after step 1 of epoch 2; checkpoint: {tmp_path / 'crnn-2_1.ckpt'}" in out
    assert "--resume_ckpt=" in out and "End training" not in out


def test_a_signal_in_the_last_step(make, capsys):
    trainer = make()
    at_step(trainer, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert trainer.run(Position()) == signal.SIGTERM
    out = capsys.readouterr().out
    assert "after step 3 of epoch 2, which was the last one" in out and "to go on" not in out


def test_a_signal_without_checkpoints(make, tmp_path, capsys):
    trainer = make()
    trainer.checkpoints = None
    at_step(trainer, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert trainer.run(Position()) == signal.SIGTERM and not list(tmp_path.glob("crnn-*"))
    assert "nothing is written, as save_checkpoint is False" in capsys.readouterr().out


@pytest.mark.parametrize("saved", [True, False])
def test_a_signal_while_evaluating(make, tmp_path, saved):
    def evaluate(weight):
        os.kill(os.getpid(), signal.SIGINT)
        raise StopRequested

    trainer = make(save_every=2, evaluate=evaluate, evaluate_saved=saved)
    assert trainer.run(Position()) == signal.SIGINT
    info = read_checkpoint(str(tmp_path / "crnn-1_3.ckpt"))
    assert (info.info["epoch_num"], info.info["step_in_epoch"]) == (1, 0)
    assert info.values["vgg.count"] == 3, "the weights of the run, not those that were being evaluated"


class TwoRanks(Ranks):
    """The first or the second of two ranks, without the other: sums are its own, what is gathered is the first's."""

    said = None

    def total(self, *values):
        return list(values)

    def gather(self, value):
        return [TwoRanks.said if self.rank else value, value]

    def of_first(self, values):
        return values if self.is_first else np.full_like(values, 7)


def test_several_ranks_write_a_checkpoint_before_they_evaluate(make, tmp_path):
    found = []

    def evaluate(weight):
        found.append(sorted(path.name for path in tmp_path.glob("crnn-*")))
        return accuracy(6)(weight)

    make(save_every=100, evaluate=evaluate, ranks=TwoRanks(0, 2)).run(Position())
    assert found == [["crnn-1_3.ckpt"], ["crnn-1_3.ckpt", "crnn-2_3.ckpt"]]


def test_saved_checkpoints_reach_ranks_that_do_not_have_the_files(tmp_path):
    TwoRanks.said, seen, net = ["crnn-1_1.ckpt"], [], Weights()
    evaluation = EvalCallback(lambda: seen.append(net.vgg.count.asnumpy()[0]) or accuracy(7)(7), net, None,
                              ranks=TwoRanks(1, 2))
    assert evaluation.evaluate_saved([tmp_path / "nowhere" / "crnn-1_1.ckpt"], 1, {}) == ["crnn-1_1.ckpt"]
    assert seen == [7] and net.vgg.count.asnumpy() == 0, "what rank 0 has read, then the weights of the run again"


def test_the_best_checkpoint_has_no_state_of_the_optimizer_among_its_facts(make, tmp_path):
    trainer = make(evaluate=accuracy(5), evaluate_saved=True)
    save = trainer.checkpoints.save
    trainer.checkpoints.save = lambda cell, epoch, step, info: save(cell, epoch, step, {**info, "learning_rate_0": 0.1})
    trainer.run(Position())
    info = read_checkpoint(str(tmp_path / "best_acc.ckpt")).info
    assert "learning_rate_0" not in info and info["step_num"] == 5
