"""A disk that is really full while a run writes its checkpoints: a small tmpfs, which only root can mount."""
import os
import subprocess
import sys

import pytest

from src.network.checkpoint import read_checkpoint
from tests.conftest import REPO
from tests.words import write_synth_set

CHECKPOINT_MB = 68  # of the network below with AdamW


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for two checkpoints and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(2.5 * CHECKPOINT_MB)}m", "tmpfs", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a tmpfs")
def test_training_goes_on_and_the_exit_code_tells(small_disk, tmp_path):
    data = write_synth_set(tmp_path / "set")
    done = subprocess.run(
        [sys.executable, str(REPO / "train.py"), "--device_target=CPU", "--train_dataset=synth",
         f"--train_dataset_path={data}", f"--output_dir={small_disk}", "--batch_size=8", "--hidden_size=16",
         "--epoch_size=2", "--save_checkpoint_steps=2", "--optimizer=adamw", "--learning_rate=0.001",
         "--show_progress=never", "--per_print_time=1"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "GLOG_v": "3"})
    assert done.returncode == 1, done.stderr
    folder = small_disk / "ckpt"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "crnn-1_2.ckpt", "crnn-2_1.ckpt"]
    assert read_checkpoint(str(folder / "crnn-2_1.ckpt")).info["step_num"] == 4
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert warnings == [f"warning: {folder / 'crnn-2_3.ckpt'} could not be written (No space left on device); training "
                        f"goes on and tries again, make room in {folder} or make it writable"]
    assert "1 checkpoints could not be written, the last one among them" in done.stderr
    assert "epoch: 2 step: 3, loss is" in done.stdout and "Traceback" not in done.stderr
