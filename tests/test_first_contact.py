"""No traceback before the first useful line: missing packages, old terminals, arguments that a platform adds."""
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError
from src.model_utils.config import load_config
from tests.conftest import REPO

PROGRAMS = sorted(path.name for path in REPO.glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_packages_a_program_says_how_to_install_them(program):
    done = subprocess.run([sys.executable, "-S", "-E", program, "--help"], cwd=REPO, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: the package numpy is not installed for ")
    assert "bash scripts/quickstart.sh" in done.stderr


def test_what_the_terminal_cannot_show_is_escaped(tmp_path):
    cv2.imencode(".png", np.full((32, 100, 3), 200, np.uint8))[1].tofile(str(tmp_path / "图.png"))
    done = subprocess.run([sys.executable, "predict.py", str(tmp_path)], cwd=REPO, capture_output=True,
                          env=os.environ | {"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0, done.stderr
    assert b"\\u56fe.png\t" in done.stdout


def test_arguments_that_modelarts_adds_are_named_and_passed_over(capsys):
    added = ["--num_gpus=8", "--init_method", "tcp://192.0.2.1:1", "--rank=0", "--world_size=1"]
    config = load_config(["--enable_modelarts=True", *added, "--batch_size=3"])
    assert config.batch_size == 3
    assert "note: num_gpus, init_method, rank, world_size come from ModelArts" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown key num_gpus"):
        load_config(added)
