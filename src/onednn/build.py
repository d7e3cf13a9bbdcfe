"""Compiles the C++ operators once and keeps them in the user's cache folder. Does not import mindspore."""
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from src.common.files import FileLock, replacing
from src.common.system import cpu_facts

SWITCH = "CRNN_ONEDNN"
SOURCES = ("runtime.cc", "conv_ops.cc", "lstm_ops.cc", "gemm.cc", "winograd.cc", "norm.cc", "stage.cc", "vgg_ops.cc",
           "step_ops.cc")
HEADERS = ("dnnl_abi.h", "runtime.h", "vectors.h", "gemm.h", "winograd.h", "norm.h", "conv.h", "stage.h", "vgg_plan.h")
# Not -ffast-math: a NaN must stay visible. The two flags let the compiler vectorise selections.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-pthread")
TIME_LIMIT = 300  # seconds, compiler and self-test each


class BuildError(Exception):
    """The operators cannot be used here; the message says why in a few words."""


@functools.cache
def available() -> tuple[bool, str]:
    """Whether the accelerator can be used in this process; compiles it if that was not done before.

    Returns:
        True and a description, or False and the reason in a few words.
    """
    try:
        return True, f"accelerator at {library()}"
    except BuildError as error:
        return False, str(error)
    except (OSError, subprocess.SubprocessError) as error:
        return False, f"building the accelerator failed ({type(error).__name__}: {error})"


@functools.cache
def library() -> Path:
    """The compiled operators, tested once on this machine.

    Raises:
        BuildError: they cannot be used here.
        OSError: the cache folder cannot be written.
        subprocess.SubprocessError: the compiler hung.
    """
    if os.environ.get(SWITCH, "").strip().lower() in ("0", "false", "no", "off"):
        raise BuildError(f"{SWITCH}={os.environ[SWITCH]} switches the accelerator off")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise BuildError(f"the accelerator is for Linux on x86-64, this is {sys.platform} on {platform.machine()}")
    dnnl = _find_dnnl()
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise BuildError(f"no C++ compiler found ({compiler})")
    folder = _cache_folder()
    target = folder / f"crnn_onednn_{_fingerprint(dnnl, compiler)}.so"
    if not target.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(str(target.with_suffix(".lock")))
        with suppress(OSError):  # on a file system without locks several processes may build it
            lock.acquire()
        try:
            if not target.exists():  # another process may have built it meanwhile
                _build(compiler, dnnl, target)
        finally:
            lock.release()
    return target


def _find_dnnl() -> Path:
    spec = importlib.util.find_spec("mindspore")  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise BuildError("mindspore is not installed")
    found = Path(spec.submodule_search_locations[0]) / "lib" / "libdnnl.so.3"
    if not found.exists():
        raise BuildError("this MindSpore has no oneDNN 3 library (libdnnl.so.3)")
    return found


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "crnn-mindspore"


def _fingerprint(dnnl: Path, compiler: str) -> str:
    """Changes with the source, the compiler, MindSpore and the CPU: a home folder may be shared by machines."""
    digest = hashlib.sha256()
    for name in SOURCES + HEADERS:
        digest.update(_source(name).read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    try:
        mindspore = importlib.metadata.version("mindspore")
    except importlib.metadata.PackageNotFoundError:
        mindspore = "?"
    for part in (" ".join(FLAGS), version.stdout, mindspore, str(dnnl), str(dnnl.stat().st_size), _cpu()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _source(name: str) -> Path:
    return Path(__file__).with_name(name)


def _cpu() -> str:
    """Model and instruction sets, which -march=native depends on."""
    facts = cpu_facts()
    return "\n".join(facts[name] for name in ("model name", "flags") if name in facts) or platform.processor()


def _build(compiler: str, dnnl: Path, target: Path) -> None:
    print("compiling the CPU accelerator, once (about 10 seconds)", file=sys.stderr, flush=True)
    with replacing(target) as name:
        command = [compiler, *FLAGS, *(str(_source(source)) for source in SOURCES), str(dnnl),
                   f"-Wl,-rpath,{dnnl.parent}", "-o", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
        if done.returncode != 0:
            raise BuildError(f"compiling the accelerator failed: {_first_error(done.stderr)}")
        test = [sys.executable, str(_source("selftest.py")), name]
        done = subprocess.run(test, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
        if done.returncode != 0:
            raise BuildError(f"the accelerator failed its self-test: {_first_error(done.stderr)}")


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
    return wanted[0][:200]
