"""The stand-ins, built once for all tests of this folder, and why they cannot be used where they cannot."""
import importlib.metadata
import platform
import shutil

import pytest

from tests.ascend import stand_ins
from tests.ascend.dry_run import DryRun

TRIED = "2.10.0"
"""The version of MindSpore that the stand-ins were made for."""


@pytest.fixture(scope="session")
def dry_run(tmp_path_factory) -> DryRun:
    version = importlib.metadata.version("mindspore")
    if version != TRIED:
        pytest.skip(f"the stand-ins for CANN were made for MindSpore {TRIED}, this is {version}")
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the stand-ins for CANN were made for the package of Linux on x86-64")
    missing = [tool for tool in ("g++", "ldd") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the stand-ins for CANN need {' and '.join(missing)}")
    return DryRun(stand_ins.build(tmp_path_factory.mktemp("cann")))
