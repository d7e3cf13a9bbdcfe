"""Building and calling the C++ program, for its tests."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPO

# Objects that the decoders would need 3 GB for are refused, not fatal.
SANITIZER = {"ASAN_OPTIONS": "allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def require(*tools: str) -> None:
    """Skips the test where a program is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed; see ascend310_infer/build.sh --help")


def build(*options: str, **environment: str) -> Path:
    """Runs build.sh and returns its folder; skips where the headers of libjpeg or libpng are missing."""
    require("bash", "cmake", "make", "c++")
    done = subprocess.run(["bash", "ascend310_infer/build.sh", *options], cwd=REPO, capture_output=True, text=True,
                          env={**os.environ, **environment})
    if "Could NOT find JPEG" in done.stderr or "Could NOT find PNG" in done.stderr:
        pytest.skip("the headers of libjpeg or libpng are missing; see ascend310_infer/build.sh --help")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "warning:" not in done.stderr, done.stderr
    built = [line for line in done.stdout.splitlines() if line.startswith("Built ")]
    return Path(built[-1].removeprefix("Built ")).parent


def run(program: Path, *words, **options) -> subprocess.CompletedProcess:
    """Runs a program of ours; a finding of a sanitizer fails the test."""
    environment = {**os.environ, **SANITIZER, **options.pop("env", {})}
    done = subprocess.run([str(program), *map(str, words)], capture_output=True, env=environment,
                          **options)
    error = done.stderr.decode(errors="replace")
    assert "Sanitizer" not in error and "runtime error" not in error, error[-5000:]
    assert done.returncode >= 0, f"ended by signal {-done.returncode}"
    return done
