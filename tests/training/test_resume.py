"""Runs that are killed, stopped or sent elsewhere: what goes on equals what was never stopped, bit for bit.

With our own operators: with MindSpore's, one run in a dozen had other last bits in its first step already.
"""
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

import train
from src.common.errors import CheckpointError, ConfigError
from src.crnn import build_network
from src.distributed.ranks import ALONE
from src.model_utils.callback import TrainMonitor
from src.model_utils.config import load_config
from src.model_utils.context import set_up_context
from src.network.checkpoint import read_checkpoint, write_checkpoint
from src.network.checkpoint_folder import CheckpointFolder
from src.training.dropout import DropoutMasks
from src.training.setup import build_trainer
from src.training.stop import StopRequested, StopSignals, command_to_resume
from src.training.trainer import Position
from tests.conftest import REPO
from tests.network.test_checkpoint import zoo_file
from tests.words import write_synth_set

pytestmark = pytest.mark.usefixtures("signals_as_usual")

OPTIONS = ["--device_target=CPU", "--model_version=V1", "--batch_size=8", "--hidden_size=16",
           "--learning_rate=0.001", "--optimizer=adamw", "--loss_scale=dynamic", "--aux_ce_weight=1", "--epoch_size=2",
           "--save_checkpoint_steps=1", "--show_progress=never", "--num_parallel_workers=1", "--seed=7",
           "--augment=light"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_synth_set(tmp_path_factory.mktemp("synth") / "set")


def run(data, folder, *options, at_step=None):
    """Trains in this process; returns the exit code, and [epoch, step, loss] of every step."""
    losses = []

    def on_step_end(self, epoch, step, result):
        losses.append([epoch, step, result.loss])
        if at_step:
            at_step(epoch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainMonitor, "on_step_end", on_step_end)
        code = train.main([*OPTIONS, f"--train_dataset_path={data}", f"--output_dir={folder}", *options])
    return code, losses


def run_killed(data, folder, step, moment, *options):
    """Trains in a process of its own that ends by SIGKILL; returns what it printed as losses."""
    command = [sys.executable, str(REPO / "tests" / "killed_run.py"), str(step), moment, *OPTIONS,
               f"--train_dataset_path={data}", f"--output_dir={folder}", *options]
    done = subprocess.run(command, cwd=folder.parent, env={**os.environ, "PYTHONPATH": str(REPO)}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that is never stopped: its losses and its last checkpoint."""
    folder = tmp_path_factory.mktemp("whole")
    code, losses = run(data, folder)
    assert code == 0 and len(losses) == 6 and len({loss for *_, loss in losses}) == 6
    return losses, folder / "ckpt"


def newest(folder):
    return max((folder / "ckpt").glob("crnn-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)


def assert_same_end(folder, whole):
    expected = read_checkpoint(str(whole[1] / "crnn-2_3.ckpt"))
    found = read_checkpoint(str(folder / "ckpt" / "crnn-2_3.ckpt"))
    assert expected.values.keys() == found.values.keys()
    names = ("run", "run_files", "evaluated_on")  # which run, not what it has come to
    before, after = ({k: v for k, v in item.info.items() if k not in names} for item in (expected, found))
    assert before == after
    for name, value in expected.values.items():
        np.testing.assert_array_equal(found.values[name], value, err_msg=name)


@pytest.mark.slow
def test_killed_in_the_middle_of_writing(data, whole, tmp_path):
    folder = tmp_path / "run"
    first = run_killed(data, folder, 2, "writing")
    assert first == whole[0][:2]
    assert newest(folder).name == "crnn-1_1.ckpt", "the older one is the newest that is whole"
    [half] = (folder / "ckpt").glob(".part-*")
    with pytest.raises(CheckpointError, match="is not a checkpoint, or it is damaged|was altered since it was written"):
        read_checkpoint(str(half))
    with pytest.raises(ConfigError, match="of another run .*; go on from it with --resume_ckpt=.*1_1"):
        run(data, folder)
    code, losses = run(data, folder, f"--resume_ckpt={newest(folder)}")
    assert code == 0 and losses == whole[0][1:]
    assert_same_end(folder, whole)
    assert not list((folder / "ckpt").glob(".*")), "nothing half-written is left"


def test_a_damaged_checkpoint_is_refused_and_the_newest_sound_one_offered(data, whole, tmp_path):
    (tmp_path / "ckpt").mkdir()
    for number, name in enumerate(("crnn-1_1.ckpt", "crnn-1_2.ckpt", "crnn-1_3.ckpt")):
        content = bytearray((whole[1] / name).read_bytes())
        if number:
            content[len(content) // 2] ^= 4
        (tmp_path / "ckpt" / name).write_bytes(content)
        os.utime(tmp_path / "ckpt" / name, (number, number))
    with pytest.raises(CheckpointError, match=r"crnn-1_3\.ckpt was altered since it was written: .* is not what was "
                                              r"written; .*is taken by --resume_ckpt=.*crnn-1_1\.ckpt"):
        run(data, tmp_path, f"--resume_ckpt={tmp_path / 'ckpt' / 'crnn-1_3.ckpt'}")


@pytest.mark.slow
def test_killed_again_and_again(data, whole, tmp_path):
    folder = tmp_path / "run"
    told = run_killed(data, folder, 1, "step", "--save_checkpoint_steps=2")
    assert not (folder / "ckpt").is_dir() or not list((folder / "ckpt").glob("crnn-*")), "nothing to go on from yet"
    told = run_killed(data, folder, 3, "step", "--save_checkpoint_steps=2")
    told = told[:2] + run_killed(data, folder, 3, "step", f"--resume_ckpt={newest(folder)}")
    told = told[:4] + run_killed(data, folder, 1, "writing", f"--resume_ckpt={newest(folder)}")
    code, losses = run(data, folder, f"--resume_ckpt={newest(folder)}")
    assert code == 0 and told[:4] + losses == whole[0]
    assert_same_end(folder, whole)


@pytest.mark.slow
def test_the_momentum_of_sgd_goes_on(data, tmp_path):
    options = ["--optimizer=sgd", "--learning_rate=0.0003"]
    _, losses = run(data, tmp_path / "whole", *options)
    part = tmp_path / "part"
    code, later = run(data, part, *options, f"--resume_ckpt={tmp_path / 'whole' / 'ckpt' / 'crnn-1_2.ckpt'}")
    assert code == 0 and later == losses[2:]
    assert_same_end(part, (losses, tmp_path / "whole" / "ckpt"))


def test_sigterm_writes_a_checkpoint_and_says_how_to_go_on(data, whole, tmp_path, capsys):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    options = ["--save_checkpoint_steps=100", "--run_eval=True", "--train_eval_dataset=synth",
               f"--train_eval_dataset_path={data}", "--eval_start_epoch=1"]

    def send(epoch, step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", *OPTIONS, f"--train_dataset_path={data}", f"--output_dir={tmp_path}"])
        code, losses = run(data, tmp_path, *options, "--steps_ahead=0", at_step=send)
    out, err = capsys.readouterr()
    path = tmp_path / "ckpt" / "crnn-1_2.ckpt"
    assert code == 143 and losses == whole[0][:2], "noticed when the next step is done"
    assert f"stopped by SIGTERM after step 2 of epoch 1; checkpoint: {path}" in out and ", acc: " not in out
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    command = shlex.split(out.rpartition("to go on: ")[2].splitlines()[0])
    assert command[1] == "train.py" and command[-1] == f"--resume_ckpt={path}"
    code, losses = run(data, tmp_path, *command[2 + len(OPTIONS):])
    assert code == 0 and losses == whole[0][2:]
    assert_same_end(tmp_path, whole)


@pytest.mark.slow
def test_ctrl_c(data, tmp_path):
    process = subprocess.Popen([sys.executable, str(REPO / "train.py"), *OPTIONS, "--per_print_time=1",
                                "--epoch_size=500", f"--train_dataset_path={data}", f"--output_dir={tmp_path}"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch: 1 step: 2"):
            process.send_signal(signal.SIGINT)
    # While it computes a step, MindSpore turns Ctrl-C into SIGTERM.
    assert process.wait() in (130, 143), "".join(lines)
    out = "".join(lines)
    assert ": finishing this step" in out and "stopped by " in out and "Traceback" not in out
    assert newest(tmp_path).is_file()


def test_the_second_ctrl_c_ends_at_once(tmp_path):
    program = ("import sys, time\nfrom src.training.stop import StopSignals\nStopSignals.APART = 10\n"
               "with StopSignals() as signals:\n"
               "    print('ready', flush=True)\n    while not signals.received: time.sleep(0.01)\n"
               "    print('first', flush=True)\n    time.sleep(60)\n")
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGINT)  # a launcher's echo of the first one
    time.sleep(0.5)
    assert process.poll() is None
    begin = time.monotonic()
    while process.poll() is None and time.monotonic() - begin < 50:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and time.monotonic() - begin < 50 and "Traceback" not in err


def test_an_evaluation_is_left():
    signals = StopSignals()
    items = signals.interrupting([1, 2])
    assert next(items) == 1
    signals.received = signal.SIGINT
    with pytest.raises(StopRequested):
        next(items)


def test_a_closed_terminal(tmp_path):
    """Nobody reads what is printed any more; the run still comes to its end."""
    program = ("import fcntl, sys, termios, time\nfrom src.training.stop import StopSignals\n"
               "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
               "with StopSignals() as signals:\n"
               "    print('ready', flush=True)\n    while not signals.received: time.sleep(0.01)\n"
               "    print('last words', flush=True)\n    print('more', file=sys.stderr, flush=True)\n"
               f"    open('{tmp_path}/end', 'w').write(str(signals.received))\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True)
    os.close(theirs)
    assert os.read(ours, 100).startswith(b"ready")
    os.close(ours)
    assert process.wait(60) == 0
    assert (tmp_path / "end").read_text() == str(int(signal.SIGHUP))


def test_nohup_stays():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_command_to_resume(monkeypatch, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(folder))
    given = ["train.py", "--config_path", "a b.yaml", "--resume_ckpt", "old.ckpt", "--train_start_epoch=3", "--seed=2"]
    assert command_to_resume("new.ckpt", given) == \
        "python train.py --config_path 'a b.yaml' --seed=2 --resume_ckpt=new.ckpt"
    assert command_to_resume("new.ckpt", ["train.py"]) == "python train.py --resume_ckpt=new.ckpt"
    # A launcher's: it has gone to a folder of its own, and its Python need not be the one of the user's shell.
    assert command_to_resume("ckpt/new.ckpt", ["/there/train.py", "--seed=2"]) == \
        f"cd '{folder}' && python /there/train.py --seed=2 --resume_ckpt=ckpt/new.ckpt"
    python.unlink()
    assert command_to_resume("new.ckpt", ["train.py"]) == f"{sys.executable} train.py --resume_ckpt=new.ckpt"


def test_dropout_masks():
    masks = DropoutMasks(0.1, 32, seed=4294967295)
    first = masks(5, 24, 6)
    assert first.shape == (24, 6, 32) and first.dtype == np.bool_
    assert abs((~first).mean() - 0.1) < 0.01
    np.testing.assert_array_equal(masks(5, 24, 6), first)
    assert (masks(6, 24, 6) != first).mean() > 0.1 and (first[:, 0] != first[:, 1]).mean() > 0.1
    for rank in (0, 1):
        np.testing.assert_array_equal(DropoutMasks(0.1, 32, 4294967295, rank, 2)(5, 24, 3), first[:, rank::2])


def build(data, *options, folder=Path("nowhere")):
    """The trainer that train.py would run, and where it would start."""
    config = load_config([*OPTIONS, f"--train_dataset_path={data}", *options])
    set_up_context(config)
    return build_trainer(config, folder, ALONE)


def test_fine_tuning_with_another_charset(data, whole, capsys):
    path = str(whole[1] / "crnn-2_1.ckpt")
    trainer, start = build(data, f"--resume_ckpt={path}", "--label_dict=abcdefghijklmnopqrstuvwxyz0123456789-")
    out = capsys.readouterr().out
    assert start == Position(0, 0) and "another label_dict of 37 characters: the last layer starts anew" in out
    assert "all other weights and their optimizer state are kept" in out
    old = read_checkpoint(path)
    everything = {**old.values, **old.info}
    new = {p.name: p.asnumpy() for p in trainer.cell.get_parameters()}
    rebuilt = {name for name in new if name in old.values and new[name].shape != old.values[name].shape}
    assert rebuilt == {f"{state}{layer}.{kind}" for state in ("", "exp_avg.", "exp_avg_sq.")
                       for layer in ("fc", "head") for kind in ("weight", "bias")}
    assert np.abs(new["fc.weight"]).max() > 0 and not new["exp_avg.fc.weight"].any()
    kept = [name for name in new if name not in rebuilt and not name.startswith(("kept.", "max_exp_avg_sq."))]
    assert "exp_avg.vgg.conv3.conv.weight" in kept and "loss_scale" in kept and "state_step" in " ".join(kept)
    for name in kept:
        np.testing.assert_array_equal(new[name], everything[name], err_msg=name)
    assert trainer.facts["label_dict"].endswith("9-") and not trainer.checkpoints.written


def test_fine_tuning_must_be_asked_for(data, tmp_path):
    path = zoo_file(build_network("V1", 30, hidden_size=16), tmp_path / "zoo.ckpt")
    with pytest.raises(CheckpointError, match="has 30 classes, but label_dict makes 37"):
        build(data, f"--resume_ckpt={path}")
    _, start = build(data, f"--resume_ckpt={path}", "--label_dict=abcdefghijklmnopqrstuvwxyz0123456789")
    assert start == Position(0, 0)


def test_the_same_characters_in_another_order_are_another_charset(data, whole, capsys):
    build(data, f"--resume_ckpt={whole[1] / 'crnn-2_1.ckpt'}", "--label_dict=0123456789abcdefghijklmnopqrstuvwxyz")
    assert "the last layer starts anew" in capsys.readouterr().out


def test_a_checkpoint_of_the_model_zoo_starts_a_run(data, tmp_path, capsys):
    net = build_network("V1", 37, hidden_size=16)
    path = zoo_file(net, tmp_path / "zoo.ckpt")  # epoch_num 7
    trainer, start = build(data, f"--resume_ckpt={path}", "--epoch_size=9")
    assert start == Position(7, 0) and "weights only" in capsys.readouterr().out
    for mine, theirs in zip(net.get_parameters(), trainer.cell.network.network.get_parameters(), strict=True):
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())
    ms.save_checkpoint(net, str(tmp_path / "weights.ckpt"))
    assert build(data, f"--resume_ckpt={tmp_path / 'weights.ckpt'}")[1] == Position(0, 0)


def test_train_start_epoch_wins_but_a_saved_configuration_lists_it_too(data, whole, tmp_path):
    path = f"--resume_ckpt={whole[1] / 'crnn-2_1.ckpt'}"
    saved = f"--config_path={whole[1] / 'config.yaml'}"
    assert build(data, saved, path)[1] == Position(1, 1)
    assert build(data, saved, path, "--train_start_epoch=0")[1] == Position(0, 0)


def test_the_seed_of_the_run_is_taken_over(data, whole, tmp_path, capsys):
    path = f"--resume_ckpt={whole[1] / 'crnn-2_1.ckpt'}"
    config = load_config([word for word in OPTIONS if "seed" not in word] + [f"--train_dataset_path={data}", path])
    set_up_context(config)
    trainer, _ = build_trainer(config, tmp_path, ALONE)
    assert config.seed == trainer.dataset.seed == 7
    build(data, path, "--seed=8")
    assert "trained with seed 7, now it is 8" in capsys.readouterr().err


def test_weights_as_a_new_start_leave_another_runs_files_alone(data, whole, tmp_path):
    """train_start_epoch=0 begins a run of its own, which no folder of another run takes. Built, not trained."""
    options = ["--epoch_size=1", "--run_eval=True", "--train_eval_dataset=synth", f"--train_eval_dataset_path={data}",
               "--keep_checkpoint_max=1", f"--output_dir={tmp_path}"]
    folder = tmp_path / "ckpt"
    folder.mkdir()
    start = ["--train_start_epoch=0", f"--resume_ckpt={whole[1] / 'crnn-1_2.ckpt'}"]
    first, position = build(data, *options, *start, folder=folder)
    assert position == Position() and not first.checkpoints.written
    assert first.facts["run"] != read_checkpoint(str(whole[1] / "crnn-1_2.ckpt")).info["run"]
    path = first.checkpoints.save(first.cell, 1, 3, first._info(1, 0))
    write_checkpoint(folder / "best_acc.ckpt", first.cell.network.network, {**first._info(1, 0), "accuracy": 0.25})
    again = ["--train_start_epoch=0", f"--resume_ckpt={path}"]
    with pytest.raises(ConfigError, match="holds the checkpoints of another run"):
        run(data, tmp_path, *options, *again)
    # The later part of the run counts its own files: the best one before it and the checkpoints, of which one stays.
    (folder / "crnn-9_9.ckpt").write_bytes((whole[1] / "crnn-1_1.ckpt").read_bytes())
    later, position = build(data, *options, "--epoch_size=2", f"--resume_ckpt={path}", folder=folder)
    assert position == Position(1, 0) and later.evaluation.best_accuracy == 0.25
    assert later.facts["run"] == first.facts["run"]
    later.checkpoints.save(later.cell, 2, 3, later._info(2, 0))
    assert sorted(path.name for path in folder.glob("crnn-*")) == ["crnn-2_3.ckpt", "crnn-9_9.ckpt"]


@pytest.mark.parametrize(("before", "options", "momentum", "scale"), [
    ("1", ["--momentum=0.5", "--loss_scale=64"], 0.5, 64),
    ("64", ["--loss_scale=dynamic"], 0.95, 2 ** 16),
    ("dynamic", ["--loss_scale=dynamic"], 0.95, 512),
    ("dynamic", ["--loss_scale=8"], 0.95, 8),
])
def test_momentum_and_a_fixed_loss_scale_are_those_configured(data, tmp_path, before, options, momentum, scale):
    trainer, _ = build(data, "--optimizer=sgd", f"--loss_scale={before}")
    if before == "dynamic":
        trainer.cell.loss_scale.set_data(ms.Tensor(np.float32(512)))
        trainer.cell.good_steps.set_data(ms.Tensor(np.int32(17)))
    path = CheckpointFolder(tmp_path, 1).save(trainer.cell, 1, 1, trainer._info(0, 1))
    resumed, start = build(data, "--optimizer=sgd", f"--resume_ckpt={path}", *options)
    assert start == Position(0, 1)
    assert resumed.cell.optimizer.momentum.asnumpy() == np.float32(momentum)
    assert resumed.cell.loss_scale.asnumpy() == scale
    assert resumed.cell.good_steps.asnumpy() == (17 if scale == 512 else 0)
