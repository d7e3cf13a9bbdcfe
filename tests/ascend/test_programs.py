"""train.py, eval.py and export.py as a user starts them, compiled for Ascend; what they read and write is real."""
from pathlib import Path

import pytest

from tests.ascend.dry_run import DryRun
from tests.conftest import REPO
from tests.word_sets import make_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> str:
    return make_set(tmp_path_factory.mktemp("data") / "words", count=48)


@pytest.fixture(scope="module")
def trained(dry_run: DryRun, words, tmp_path_factory) -> Path:
    """The folder that train.py ran three steps in."""
    folder = tmp_path_factory.mktemp("train")
    outcome = dry_run(REPO / "train.py", "--device_target=Ascend", "--train_dataset=iiit5k",
                      f"--train_dataset_path={words}", "--train_eval_dataset=iiit5k",
                      f"--train_eval_dataset_path={words}", "--run_eval=True", "--eval_start_epoch=1",
                      "--batch_size=16", "--epoch_size=1", "--per_print_time=1", "--show_progress=never",
                      folder=folder)
    outcome.assert_compiled()
    assert "on Ascend 0" in outcome.output and "step: 3" in outcome.output
    return folder


def test_train_with_evaluation_and_checkpoints(trained):
    assert (trained / "output" / "ckpt" / "crnn-1_3.ckpt").is_file()
    assert (trained / "output" / "ckpt" / "best_acc.ckpt").is_file()


def test_train_as_one_of_eight(dry_run: DryRun, words, tmp_path):
    """With ``run_distribute``; what ranks tell each other on the host is made up, see one_of_several.py."""
    outcome = dry_run(REPO / "tests" / "ascend" / "one_of_several.py", "--run_distribute=True", "--sync_bn=True",
                      "--device_target=Ascend", "--train_dataset=iiit5k", f"--train_dataset_path={words}",
                      "--train_eval_dataset=iiit5k", f"--train_eval_dataset_path={words}", "--run_eval=True",
                      "--eval_start_epoch=1", "--batch_size=2", "--epoch_size=1", "--per_print_time=1",
                      "--show_progress=never", folder=tmp_path, ranks=8)
    outcome.assert_compiled()
    assert "on Ascend 0, rank 0 of 8" in outcome.output and "step: 3" in outcome.output
    assert outcome.kernels["AllReduce"] == "hccl_kernel"
    assert set(outcome.kernels.values()) <= {"opapi_kernel", "acl_kernel", "rt_kernel", "hccl_kernel"}
    assert (tmp_path / "output" / "ckpt" / "crnn-1_3.ckpt").is_file()


def test_eval(dry_run: DryRun, words, trained):
    outcome = dry_run(REPO / "eval.py", "--device_target=Ascend", "--eval_dataset=iiit5k",
                      f"--eval_dataset_path={words}", "--checkpoint_path=output/ckpt/crnn-1_3.ckpt",
                      "--show_progress=never", folder=trained)
    outcome.assert_compiled()
    assert "48" in outcome.output and set(outcome.kernels.values()) <= {"opapi_kernel", "acl_kernel", "rt_kernel"}


@pytest.fixture(scope="module")
def exported(dry_run: DryRun, trained) -> Path:
    """The model that export.py wrote for Ascend."""
    outcome = dry_run(REPO / "export.py", "--device_target=Ascend", "--ckpt_file=output/ckpt/crnn-1_3.ckpt",
                      "--file_name=crnn", "--file_format=MINDIR", folder=trained)
    outcome.assert_compiled()
    return trained / "crnn.mindir"


def test_export(exported):
    assert b"DynamicRNN" in exported.read_bytes(), "not what Ascend computes with"


@pytest.mark.parametrize("chip", ["Ascend910B2", "Ascend310P3"])
def test_the_exported_model_is_loaded_and_planned(dry_run: DryRun, exported, tmp_path, chip):
    """As far as MindSpore itself goes; the C++ program on a card has another runtime."""
    outcome = dry_run(REPO / "tests" / "ascend" / "load_mindir.py", exported, folder=tmp_path, chip=chip)
    outcome.assert_compiled()
    assert "OUTPUTS Float16 (24, 1, 37)" in outcome.output
    assert {"Conv2D", "MaxPool", "DynamicRNN"} <= set(outcome.kernels)
    assert set(outcome.kernels.values()) <= {"opapi_kernel", "acl_kernel", "rt_kernel"}
    print(chip, sorted(outcome.kernels))
