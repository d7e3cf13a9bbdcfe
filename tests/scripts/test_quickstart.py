"""The quick start for real: training from nothing must lead to a network that reads words it never saw."""
import re
import subprocess
import sys

import pytest

from tests.conftest import REPO


@pytest.mark.slow
def test_quick_start_reads_nine_of_ten_held_out_words(tmp_path):
    def run(*command):
        return subprocess.run([sys.executable, *command], cwd=REPO, capture_output=True, text=True, check=True).stdout

    run("train.py", f"--output_dir={tmp_path}", "--seed=7")
    out = run("eval.py", f"--checkpoint_path={tmp_path / 'ckpt' / 'best_acc.ckpt'}")
    correct, total = map(int, re.search(r"correct num: (\d+) , total num: (\d+)", out).groups())
    assert total == 500 and correct >= 450
