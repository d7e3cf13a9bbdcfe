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


def test_eval(dry_run: DryRun, words, trained):
    outcome = dry_run(REPO / "eval.py", "--device_target=Ascend", "--eval_dataset=iiit5k",
                      f"--eval_dataset_path={words}", "--checkpoint_path=output/ckpt/crnn-1_3.ckpt",
                      "--show_progress=never", folder=trained)
    outcome.assert_compiled()
    assert "48" in outcome.output and set(outcome.kernels.values()) <= {"opapi_kernel", "acl_kernel", "rt_kernel"}


def test_export(dry_run: DryRun, trained):
    outcome = dry_run(REPO / "export.py", "--device_target=Ascend", "--ckpt_file=output/ckpt/crnn-1_3.ckpt",
                      "--file_name=crnn", "--file_format=MINDIR", folder=trained)
    outcome.assert_compiled()
    assert b"DynamicRNN" in (trained / "crnn.mindir").read_bytes(), "not what Ascend computes with"
