"""The recipes: each is what it says it is, and the ones for a CPU take steps."""
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import train
from convert_lmdb import main as convert_lmdb
from src.common.errors import CRNNError
from src.model_utils.config import load_config
from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
from src.network.checkpoint import read_checkpoint
from src.training.trainer import Trainer
from tests.words import write_synth_set
from tools.prepare_real_words import main as prepare_real_words

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
RECIPES = ("finetune_real", "finetune_wide", "mjst_adamw", "mjsynth_sgd", "synth_cpu")
# Nothing that a recipe says, but for bfloat16, which not every CPU has.
TINY = ["--device_target=CPU", "--hidden_size=16", "--show_progress=never", "--num_parallel_workers=1",
        "--per_print_time=1", "--amp=none"]


def load(name, *words):
    return load_config([f"--config_path=configs/{name}.yaml", *words])


def test_all_are_there():
    assert set(RECIPES) < {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipe_loads(path, monkeypatch, repo):
    monkeypatch.chdir(repo)
    config = load(path.stem)
    given = yaml.safe_load(path.read_text())
    assert {key: getattr(config, key) for key in given} == given and not config.notes
    total = 282_000
    rates = learning_rates(config.lr_schedule, config.learning_rate, total, config.warmup_steps, config.warmup_ratio,
                           config.min_lr)
    assert rates.max() == pytest.approx(config.learning_rate) and rates[-1] < 1e-3 * config.learning_rate
    assert len(frame_loss_weights(config.aux_ce_weight, config.aux_ce_ratio, total)) == total


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_tells_command_time_and_source(name, repo):
    comment = "\n".join(line for line in (repo / f"configs/{name}.yaml").read_text().splitlines() if line[:1] == "#")
    assert "# Time: " in comment
    commands = re.findall(r"^#   (?:python|bash) (\S+)", comment, re.M)
    assert commands and all((repo / program).is_file() for program in commands)
    assert f"configs/{name}.yaml" in comment
    lines = re.findall(r"train\.py[^#]*(?:\n#       [^#]*)?", comment)
    options = {word.removeprefix("--") for line in lines for word in re.findall(r"--\w+", line)}
    assert options <= {"config_path", *load_config([]).to_dict()}


def test_the_zoo_recipe_is_the_default_one(monkeypatch, repo):
    monkeypatch.chdir(repo)
    different = {key: value for key, value in load("mjsynth_sgd").to_dict().items()
                 if value != getattr(load_config([]), key)}
    assert different == {"save_checkpoint_steps": 2000}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_synth_set(tmp_path_factory.mktemp("words") / "set", train=40)


def losses(printed):
    return [float(value) for value in re.findall(r"^epoch: \d step: \d+, loss is (\d+\.\d+)$", printed, re.M)]


def check_what_runs(trainer, name, output):
    """A run does what its recipe says: the trainer has its values, and so has the configuration written beside."""
    recipe = yaml.safe_load(Path(f"configs/{name}.yaml").read_text())
    saved = load_config([f"--config_path={output / 'ckpt' / 'config.yaml'}"]).to_dict()
    del recipe["output_dir"]
    recipe.pop("amp", None)
    assert {key: saved[key] for key in recipe} == recipe
    steps = trainer.dataset.get_dataset_size()
    assert (trainer.dataset.batch_size, trainer.epochs) == (recipe["batch_size"], recipe["epoch_size"])
    assert trainer.dataset.samples.augment is not None and recipe["augment"] == "light"
    assert len(trainer.rates) == recipe["epoch_size"] * steps
    # No warm-up fits into so few steps: the cosine falls from its top.
    assert trainer.rates[0] == pytest.approx(recipe["learning_rate"]) and (np.diff(trainer.rates) < 0).all()
    assert trainer.frame_weights[0] == recipe.get("aux_ce_weight", 0.0) and not trainer.frame_weights[1:].any()
    decays = [float(group["weight_decay"]) for group in trainer.cell.optimizer.param_groups]
    assert type(trainer.cell.optimizer).__name__ in ("AdamW", "FusedAdamW") and decays == [recipe["weight_decay"], 0.0]
    assert trainer.cell.clip_norm == recipe["clip_norm"] and trainer.loss_divisor == 1
    assert trainer.cell.network.loss.mean is (recipe["loss_reduction"] == "mean")
    assert trainer.save_every == recipe["save_checkpoint_steps"]
    assert trainer.checkpoints.limit == recipe["keep_checkpoint_max"]
    assert trainer.evaluation.start_epoch == recipe["eval_start_epoch"]


def test_what_the_recipes_build(words, tmp_path, capsys, monkeypatch, repo):
    """As train.py puts it together; no step is taken."""
    monkeypatch.chdir(repo)
    trainers = []
    monkeypatch.setattr(Trainer, "run", lambda self, start: trainers.append(self) or 0)
    synth, real, fine = tmp_path / "synth", tmp_path / "real", tmp_path / "fine"
    assert train.main(["--config_path=configs/synth_cpu.yaml", *TINY, f"--train_dataset_path={words}",
                       f"--train_eval_dataset_path={words}", f"--output_dir={synth}"]) == 0
    check_what_runs(trainers[0], "synth_cpu", synth)
    for part in ("REAL", "SYNTH"):
        assert convert_lmdb(["-d", "synth", "-p", str(words), "-o", str(real / part)]) == 0
    assert train.main(["--config_path=configs/finetune_real.yaml", *TINY, f"--train_dataset_path={real}",
                       f"--train_eval_dataset_path={real / 'REAL'}", f"--output_dir={fine}", "--resume_ckpt="]) == 0
    assert "mixed 50 % REAL (40), 50 % SYNTH (40)" in capsys.readouterr().out
    check_what_runs(trainers[1], "finetune_real", fine)


@pytest.mark.slow
def test_steps_of_synth_cpu_then_of_finetune_real(words, tmp_path, capsys, monkeypatch, repo):
    monkeypatch.chdir(repo)
    trainers, go = [], Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, start: (trainers.append(self), go(self, start))[1])
    synth, data, fine = tmp_path / "synth", tmp_path / "real", tmp_path / "fine"
    assert train.main(["--config_path=configs/synth_cpu.yaml", *TINY, f"--train_dataset_path={words}",
                       f"--train_eval_dataset_path={words}", f"--output_dir={synth}"]) == 0
    printed = capsys.readouterr().out
    assert len(losses(printed)) == 2
    assert re.findall(r"^epoch: (\d), acc: .* of (\d+)", printed, re.M) == [("1", "6"), ("2", "6")]
    check_what_runs(trainers[0], "synth_cpu", synth)

    # As the recipe's comment has it.
    assert prepare_real_words([f"synth:{words}", "-o", str(data), "--val_share", "0.25"]) in (0, 3)
    for split, part in (("train", "train"), ("val", "val")):
        assert convert_lmdb(["-d", "synth", "-p", str(words), "-s", split, "-o", str(data / part / "SYNTH")]) == 0
    assert train.main(["--config_path=configs/finetune_real.yaml", *TINY, f"--train_dataset_path={data / 'train'}",
                       f"--train_eval_dataset_path={data / 'val'}", f"--output_dir={fine}",
                       f"--resume_ckpt={synth / 'ckpt' / 'crnn-2_1.ckpt'}", "--train_start_epoch=0"]) == 0
    printed = capsys.readouterr().out
    assert "mixed 50 % REAL" in printed and "50 % SYNTH (40)" in printed
    assert len(losses(printed)) >= 2 and "epoch 0, step 0" in printed
    assert re.findall(r"^epoch: (\d), acc: ", printed, re.M) == ["1", "2"]
    check_what_runs(trainers[1], "finetune_real", fine)
    last = max((fine / "ckpt").glob("crnn-2_*.ckpt"))
    assert read_checkpoint(str(last)).info["step_num"] == len(losses(printed))


def test_finetune_needs_both_parts(words, tmp_path, monkeypatch, repo):
    monkeypatch.chdir(repo)
    convert_lmdb(["-d", "synth", "-p", str(words), "-o", str(tmp_path / "train" / "SYNTH")])
    with pytest.raises(CRNNError, match="there is no part REAL"):
        train.main(["--config_path=configs/finetune_real.yaml", *TINY, "--run_eval=False",
                    f"--train_dataset_path={tmp_path / 'train'}", f"--output_dir={tmp_path / 'out'}"])
