"""The CPU accelerator: building, falling back, each operator against float64, the network against stock MindSpore."""
import ctypes
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.common.system import cpu_facts
from src.onednn import accelerate, available, build
from src.onednn.selftest import call
from tests.onednn.reference import LSTM, bfloat16, same

ROOT = Path(__file__).resolve().parents[2]
USABLE, REASON = available()
needs_onednn_3 = pytest.mark.skipif("no oneDNN 3 library" in REASON, reason=REASON)  # as MindSpore 2.8
needs_library = pytest.mark.skipif(not USABLE, reason=f"no accelerator: {REASON}")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache folder and forgotten answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for function in (build.available, build.library):
        function.cache_clear()
    yield tmp_path
    for function in (build.available, build.library):
        function.cache_clear()


def fake_compiler(folder: Path, body: str) -> str:
    path = folder / "compiler"
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1.0; exit 0; fi\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# --- building and falling back -------------------------------------------------------------------------------------

def test_switch_turns_it_off(fresh, monkeypatch):
    monkeypatch.setenv("CRNN_ONEDNN", "0")
    assert available() == (False, "CRNN_ONEDNN=0 switches the accelerator off")
    assert not (fresh / "cache").exists()


@needs_onednn_3
def test_no_compiler(fresh, monkeypatch):
    monkeypatch.setenv("CXX", str(fresh / "no-such-g++"))
    usable, reason = available()
    assert not usable and reason.startswith("no C++ compiler found (") and reason.endswith("no-such-g++)")


def test_other_platform(fresh, monkeypatch):
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    assert available() == (False, "the accelerator is for Linux on x86-64, this is linux on aarch64")


def test_no_mindspore(fresh, monkeypatch):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert available() == (False, "mindspore is not installed")


@needs_onednn_3
def test_compiler_error_is_named_and_leaves_nothing_behind(fresh, monkeypatch):
    monkeypatch.setenv("CXX", fake_compiler(fresh, 'echo "x.cc:1: error: too old" >&2; exit 1'))
    assert available() == (False, "compiling the accelerator failed: x.cc:1: error: too old")
    assert not list((fresh / "cache").rglob("*.so"))


@needs_onednn_3
def test_library_that_fails_its_self_test_is_not_kept(fresh, monkeypatch):
    monkeypatch.setenv("CXX", fake_compiler(fresh, 'for last; do :; done; echo rubbish > "$last"'))
    usable, reason = available()
    assert not usable and reason.startswith("the accelerator failed its self-test: ")
    assert not list((fresh / "cache").rglob("*.so"))


@needs_onednn_3
def test_unwritable_cache_folder(fresh, monkeypatch):
    (fresh / "cache").write_text("a file, not a folder")
    usable, reason = available()
    assert not usable and reason.startswith("building the accelerator failed (")


@needs_library
def test_two_processes_compile_once(tmp_path):
    ready, log = build.library(), tmp_path / "log"
    compiler = fake_compiler(tmp_path, f'echo compiled >> {log}; sleep 1; for last; do :; done; cp {ready} "$last"')
    environment = {**os.environ, "CXX": compiler, "XDG_CACHE_HOME": str(tmp_path)}
    code = "from src.onednn import available; import sys; print(available(), 'mindspore' in sys.modules)"
    runs = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)]
    answers = {run.communicate(timeout=120)[0] for run in runs}
    assert len(answers) == 1 and answers.pop().startswith("(True, 'accelerator at ")
    assert log.read_text() == "compiled\n"


@needs_library
def test_available_does_not_import_mindspore():
    code = "from src.onednn import available; import sys; print(available()[0], 'mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True False\n"


def test_fingerprint_follows_the_source(monkeypatch, tmp_path):
    for name in build.SOURCES + build.HEADERS:
        (tmp_path / name).write_bytes(build._source(name).read_bytes())
    dnnl = tmp_path / "runtime.h"
    monkeypatch.setattr(build, "_source", lambda name: tmp_path / name)
    before = build._fingerprint(dnnl, "true")
    assert build._fingerprint(dnnl, "true") == before
    with open(tmp_path / "norm.cc", "a") as file:
        file.write(" ")
    assert build._fingerprint(dnnl, "true") != before


def test_unknown_dtype():
    with pytest.raises(ValueError, match="float16"):
        accelerate(None, "float16")


# --- operators against float64 ---------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def library():
    if not USABLE:
        pytest.skip(f"no accelerator: {REASON}")
    return ctypes.CDLL(str(build.library()))


def distance(value, reference):
    """Largest difference, relative to the largest reference."""
    return np.abs(np.asarray(value, np.float64) - reference).max() / np.abs(reference).max()


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("x", "w", "stride", "padding", "dilation"), [
    ((2, 3, 7, 9), (16, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((3, 16, 2, 5), (5, 16, 2, 2), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 4, 8, 6), (32, 4, 3, 2), (2, 1), (0, 1, 2, 0), (1, 2)),
])
def test_convolution_and_its_gradients(library, x, w, stride, padding, dilation):
    torch = pytest.importorskip("torch")
    settings = np.array([*stride, *padding, *dilation, 1, 1, 0], np.float32)
    x, w = floats(*x), floats(*w, seed=1)
    top, left, bottom, right = padding
    tx, tw = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in (x, w))
    ty = torch.nn.functional.conv2d(torch.nn.functional.pad(tx, (left, right, top, bottom)), tw, stride=stride,
                                    dilation=dilation)
    dy = floats(*ty.shape, seed=2)
    ty.backward(torch.from_numpy(dy.astype(np.float64)))
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    call(library.crnn_conv_forward, x, w, settings, y)
    call(library.crnn_conv_backward_data, dy, w, x, settings, dx)
    call(library.crnn_conv_backward_weights, x, dy, w, settings, dw)
    assert distance(y, ty.detach().numpy()) < 1e-6
    assert distance(dx, tx.grad.numpy()) < 1e-6
    assert distance(dw, tw.grad.numpy()) < 1e-6


def lstm_weights(size, hidden, seed=50):
    """As nn.LSTM starts: w_ih, w_hh, b_ih, b_hh forwards, then backwards in time."""
    draw = np.random.default_rng(seed).uniform
    return [draw(-hidden ** -0.5, hidden ** -0.5, shape).astype(np.float32)
            for shape in ((4 * hidden, size), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,)) * 2]


def test_lstm_reference_is_pytorch():
    torch = pytest.importorskip("torch")
    x, dy, dh, dc = (floats(*shape, seed=seed) for seed, shape in enumerate(((5, 3, 32), (5, 3, 128), (2, 3, 64),
                                                                            (2, 3, 64))))
    arrays = lstm_weights(32, 64)
    peer = torch.nn.LSTM(32, 64, bidirectional=True).double()
    parameters = list(peer.parameters())
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.data = torch.from_numpy(array.astype(np.float64))
    tx = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    ty, (th, tc) = peer(tx)
    torch.autograd.backward([ty, th, tc], [torch.from_numpy(a.astype(np.float64)) for a in (dy, dh, dc)])
    reference = LSTM(x, arrays)
    for value, exact in zip((reference.y, reference.h, reference.c), (ty, th, tc), strict=True):
        assert distance(value, exact.detach().numpy()) < 1e-13
    exact = [tx] + [parameters[i] for i in (0, 1, 2, 4, 5, 6)]
    for value, parameter in zip(reference.gradients(dy, dh, dc), exact, strict=True):
        assert distance(value, parameter.grad.numpy()) < 1e-13


def test_rounding_to_bfloat16_is_mindspore():
    ms = pytest.importorskip("mindspore")
    x = np.concatenate((floats(1000), [0, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8])).astype(np.float32)  # and ties
    assert np.array_equal(bfloat16(x), ms.Tensor(x).astype(ms.bfloat16).astype(ms.float32).asnumpy())


@pytest.mark.parametrize(("steps", "batch", "size", "hidden", "scale"),
                         [(5, 3, 32, 64, 1), (1, 2, 64, 32, 1), (9, 1, 96, 32, 1), (4, 13, 32, 32, 30),
                          (3, 100, 64, 64, 1)])
@pytest.mark.parametrize("kind", ["", "_bf16"])
def test_lstm_and_its_gradients(library, steps, batch, size, hidden, scale, kind):
    arrays = lstm_weights(size, hidden)
    x, dy, dh, dc = (floats(*shape, seed=seed) for seed, shape in enumerate(
        ((steps, batch, size), (steps, batch, 2 * hidden), (2, batch, hidden), (2, batch, hidden))))
    x *= scale  # large sums saturate the gates
    library.crnn_lstm_memory.restype = ctypes.c_int64
    library.crnn_lstm_memory.argtypes = [ctypes.c_int64] * 4
    memory = np.zeros(library.crnn_lstm_memory(steps, batch, size, hidden), np.uint8)
    out = [np.empty_like(dy), np.empty_like(dh), np.empty_like(dc)]
    call(getattr(library, f"crnn_lstm_training{kind}"), x, *arrays, *out, memory)
    rounds = bool(kind) and "avx512_bf16" in cpu_facts()["flags"].split()  # elsewhere such products are in float32
    reference = LSTM(x, arrays, bfloat16 if rounds else same)
    again = [np.empty_like(part) for part in out]
    call(library.crnn_lstm_evaluation, x, *arrays, np.zeros(1, np.float32), *again)
    for value, first in zip(again, out, strict=True):
        assert np.array_equal(value, first) or rounds  # evaluation is in float32
    w_ih, w_hh, b_ih = arrays[:3]
    gradients = [np.empty_like(a) for a in (x, w_ih, w_hh, b_ih, w_ih, w_hh, b_ih)]
    call(getattr(library, f"crnn_lstm_gradient{kind}"), x, *arrays, out[0], memory, dy, dh, dc, *gradients)
    exact = [reference.y, reference.h, reference.c, *reference.gradients(dy, dh, dc)]
    # Sums grow with the inputs, and their errors.
    largest = 2e-6 * scale
    for value, wanted in zip(out + gradients, exact, strict=True):
        error = np.abs(value - wanted) / max(np.abs(wanted).max(), 1e-3)
        if rounds:
            # A state beside a tie rounds to one neighbour in float32 and to the other in float64, and what follows
            # differs by a part of that step of 2 ** -8; so few values may, and most may not.
            assert np.median(error) < largest and error.max() < 5e-3
        else:
            assert error.max() < largest


def test_lstm_shows_nan_and_keeps_frozen_weights(library):
    x = floats(4, 2, 32)
    arrays = [floats(*shape, seed=7) for shape in ((128, 32), (128, 32), (128,), (128,)) * 2]
    results = {}
    for name, number in (("own", 0), ("frozen", 777), ("changed", 0), ("kept", 777)):
        if name == "changed":
            arrays[1] *= 2
        out = [np.empty((4, 2, 64), np.float32), np.empty((2, 2, 32), np.float32), np.empty((2, 2, 32), np.float32)]
        call(library.crnn_lstm_evaluation, x, *arrays, np.array([number], np.float32), *out)
        results[name] = out[0]
    assert np.array_equal(results["own"], results["frozen"]) and np.array_equal(results["frozen"], results["kept"])
    assert not np.array_equal(results["own"], results["changed"])
    x[2, 1, 5] = np.nan
    call(library.crnn_lstm_evaluation, x, *arrays, np.zeros(1, np.float32), *out)
    assert np.isnan(out[0][:, 1]).any(axis=1).all() and np.isfinite(out[0][:, 0]).all()


@pytest.mark.parametrize(("factor", "largest", "scale"), [(1, 10, 1), (0.125, 10, 100), (1, 1e9, 1), (0.5, 0, 1)])
def test_clipping(library, factor, largest, scale):
    gradients = [scale * floats(*shape, seed=i) for i, shape in enumerate(
        ((3, 5, 7), (1,), (300, 513), (65536,), (131072 + 5,)))]
    out = [np.empty_like(part) for part in gradients] + [np.empty(1, np.float32)]
    settings = np.array([factor], np.float32), np.array([largest], np.float32)
    call(library.crnn_clip, *gradients, *settings, *out)
    exact = [part.astype(np.float64) * factor for part in gradients]
    norm = np.sqrt(sum((part ** 2).sum() for part in exact))
    assert abs(out[-1][0] / norm - 1) < 1e-6
    share = min(1, largest / norm) if largest else 1
    for value, reference in zip(out, exact, strict=False):
        assert distance(value, reference * share) < 1e-6
    for bad in (np.nan, np.inf):
        gradients[-1][-1] = bad
        call(library.crnn_clip, *gradients, *settings, *out)
        assert not np.isfinite(out[-1][0])


def test_errors_are_reported_not_raised(library, capfd):
    settings = np.array([1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0], np.float32)
    with pytest.raises(SystemExit):  # 4 channels against 3
        call(library.crnn_conv_forward, floats(1, 4, 5, 5), floats(8, 3, 3, 3), settings, floats(1, 8, 3, 3))
    assert "crnn_conv_forward" in capfd.readouterr().err


# --- networks against stock MindSpore --------------------------------------------------------------------------------

def check_networks(mode, extent, cap=None):
    """Numbers of `tests/onednn_checks.py`; those of the V2 network in float32 are tested here."""
    # Without the tests' cap: our operators must be tested with the fastest kernels this CPU has.
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    if cap:
        environment["ONEDNN_MAX_CPU_ISA"] = cap
    done = subprocess.run([sys.executable, "-m", "tests.onednn_checks", mode, extent], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["line"].startswith("7 convolutions and 2 LSTMs by oneDNN 3.") and found["line"].endswith(", float32")
    assert found["same parameters"] and found["same names"]
    # Rounding decides nothing where no value is near a kink or a tie; so all gradients agree, not most of them.
    assert found["kink"] > 1e-3 and found["tie"] > 3e-5
    assert found["V2 output"] < 1e-5 and found["V2 moving"] < 1e-5 and found["V2 gradients"] < 5e-5
    assert found["V2 features"] < 3e-5  # against float64
    return found


@needs_library
def test_network_equals_stock_mindspore():
    check_networks("graph", "short")


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "cap"), [("graph", None), ("graph", "SSE41"), ("graph", "AVX2"), ("pynative", None)])
def test_more_networks_equal_stock_mindspore(mode, cap):
    found = check_networks(mode, "full", cap)
    assert found["V2 evaluation"] < 1e-5
    assert found["restored"] == "VGGConvLSTM"
    assert found["frozen"] == 0 and found["frozen stays"] and found["frozen again"] < 1e-5
    assert found["odd line"].startswith("no operator by")  # sizes that are no multiples of 32
    assert found["mixed line"].startswith("2 convolutions and 1 LSTM by")  # the grouped one stays stock
    assert found["mixed"] < 1e-5
    if found["line bf16"].endswith(", bfloat16"):
        assert 1e-5 < found["V2 bf16 output"] < 0.05 and found["V2 bf16 gradients"] < 0.6
