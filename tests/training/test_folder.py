"""A folder of checkpoints belongs to one run at a time."""
import subprocess
import sys

import pytest
from mindspore import Parameter, Tensor, nn

from src.common.errors import ConfigError
from src.network.checkpoint import write_checkpoint
from src.training.folder import claimed
from tests.conftest import REPO


def write(folder, name):
    net = nn.Cell()
    net.weight = Parameter(Tensor([1.0]), name="vgg.weight")
    write_checkpoint(folder / name, net, {})


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    code = ("import sys; sys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\n"
            "from src.training.folder import claimed\n"
            "with claimed(Path(sys.argv[1]), False): print('in', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(REPO)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "in\n"
        for goes_on in (False, True):
            with pytest.raises(ConfigError, match=rf"another run \(process {first.pid} on .*\) writes its check"), \
                    claimed(tmp_path, goes_on):
                pass
        first.kill()
        first.wait()
    with claimed(tmp_path, False):  # what held it is gone
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["crnn-1_2.ckpt", "best_acc.ckpt"])
def test_the_checkpoints_of_another_run_are_not_mixed_with_ours(tmp_path, name):
    write(tmp_path, name)
    with pytest.raises(ConfigError, match=f"holds the checkpoints of another run .{name}.; .*choose another") \
            as error, claimed(tmp_path, False):
        pass
    assert ("--resume_ckpt=" in str(error.value)) == name.startswith("crnn")
    with claimed(tmp_path, True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    for name in (".part-77-a1b2c3d4.ckpt", ".part-77-a1b2c3d4.tmp", "other.txt"):
        (tmp_path / name).write_bytes(b"half")
    with claimed(tmp_path, False):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".run.lock", "other.txt"]
