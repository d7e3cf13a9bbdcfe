"""What predict.py sets before numpy is loaded."""
import os
import subprocess
import sys

import cv2
import pytest

from tests.conftest import REPO
from tests.words import draw_word

PROGRAM = """
import os, sys
import predict
assert "numpy" not in sys.modules
predict.main(sys.argv[1:])
print(len(os.listdir("/proc/self/task")), os.environ["OPENBLAS_NUM_THREADS"])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux lists them")
def test_numpy_starts_no_threads_unless_asked_to(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), draw_word("word"))

    def threads_and_setting(**given):
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "OMP"))}
        done = subprocess.run([sys.executable, "-c", PROGRAM, "--onnx_threads=1", str(tmp_path / "a.png")], cwd=REPO,
                              env={**variables, **given}, capture_output=True, text=True, check=True)
        return tuple(map(int, done.stdout.splitlines()[-1].split()))

    own, setting = threads_and_setting()
    assert setting == 1
    users, setting = threads_and_setting(OPENBLAS_NUM_THREADS="2")
    assert setting == 2 and users == own + (len(os.sched_getaffinity(0)) > 1)
