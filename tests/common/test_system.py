"""The allocator's setting: batches take memory that is mapped already."""
import os
import platform
import subprocess
import sys

import pytest

from src.common.system import _USERS_OWN
from tests.word_sets import make_set

PROGRAM = """
import resource, sys
from src.common.system import keep_freed_memory
from tests.word_sets import train
data = train(sys.argv[1], 64, num_parallel_workers=2)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for epoch in range(40):
    if epoch == 10:
        before = faults()
    for batch in data.epoch(epoch):
        pass
print(keep_freed_memory(), (faults() - before) / 30 / data.get_dataset_size())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_batches_do_not_map_memory_anew(tmp_path, repo):
    folder = make_set(tmp_path / "set", 256)

    def faults(**environment):
        variables = {key: value for key, value in os.environ.items() if key not in _USERS_OWN} | environment
        out = subprocess.run([sys.executable, "-c", PROGRAM, folder], cwd=repo, env=variables, check=True, text=True,
                             capture_output=True).stdout.split()
        return out[0] == "True", float(out[1])
    done, few = faults()
    users_own, many = faults(MALLOC_TRIM_THRESHOLD_="100000")
    assert done and not users_own
    assert few < 100 < many, "a batch has 600 pages of 4 KiB"
