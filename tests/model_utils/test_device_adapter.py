"""Device, rank and number of processes from the environment, and the CPU cap."""
import logging
import os
import subprocess
import sys
import types

import pytest

from src.common.errors import ConfigError
from src.distributed import environment
from src.model_utils import device_adapter
from src.model_utils.device_adapter import (
    apply_cpu_cap,
    get_device_id,
    get_device_num,
    get_job_id,
    get_rank_id,
    resolve_device_target,
)

VARIABLES = {*environment.DEVICE, *environment.RANK, *environment.SIZE, "JOB_ID"}


@pytest.fixture
def environment(monkeypatch):
    """Clears the variables and returns a function that sets some."""
    for name in (*VARIABLES, "ONEDNN_MAX_CPU_ISA", "CRNN_NO_CPU_CAP"):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def test_defaults_when_nothing_is_set(environment):
    assert (get_device_id(), get_rank_id(), get_device_num(), get_job_id()) == (0, 0, 1, "Local Job")
    assert get_device_id(3) == 3
    environment(DEVICE_ID="", RANK_ID=" ", RANK_SIZE="")
    assert (get_device_id(), get_rank_id(), get_device_num()) == (0, 0, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"DEVICE_ID": "2", "RANK_ID": "6", "RANK_SIZE": "8"}, (2, 6, 8)),  # rank table
        ({"ASCEND_DEVICE_ID": "2", "RANK_ID": "6", "RANK_SIZE": "8"}, (2, 6, 8)),  # ModelArts
        ({"DEVICE_ID": "1", "RANK_ID": "1", "MS_NODE_ID": "1", "MS_WORKER_NUM": "2"}, (1, 1, 2)),  # msrun
        (
            {"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            (1, 5, 8),
        ),  # Open MPI
        ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "3"}, (3, 3, 4)),  # MPICH
        # Left over in the shell: must not make every process rank 0.
        ({"RANK_ID": "0", "RANK_SIZE": "1", "OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8"}, (0, 5, 8)),
    ],
)
def test_launchers(environment, values, expected):
    environment(**values)
    assert (get_device_id(), get_rank_id(), get_device_num()) == expected
    environment(DEVICE_ID="7", JOB_ID="abc")
    assert get_device_id(3) == 7 and get_job_id() == "abc"


@pytest.mark.parametrize(
    ("call", "name", "value", "least"),
    [(get_device_id, "DEVICE_ID", "one", 0), (get_rank_id, "RANK_ID", "-1", 0), (get_device_num, "RANK_SIZE", "0", 1)],
)
def test_values_that_are_no_numbers(environment, call, name, value, least):
    environment(**{name: value})
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == f"environment variable {name}: expected a number, at least {least}, got {value!r}"


def fake_mindspore(monkeypatch, counts, log=None, attribute="device_context"):
    """Puts a stand-in for mindspore in place; ``counts`` are its devices by target."""

    def available(target):
        if log is not None:
            logging.getLogger("stand-in").warning("no %s", target)
        return target in counts

    def count(target):
        if target not in counts:
            raise ValueError(f"{target} backend is not available")
        return counts[target]

    module = types.SimpleNamespace()
    if attribute == "device_context":
        module.device_context = types.SimpleNamespace(
            **{
                target.lower(): types.SimpleNamespace(
                    is_available=lambda target=target: available(target),
                    device_count=lambda target=target: count(target),
                )
                for target in ("Ascend", "GPU", "CPU")
            }
        )
    elif attribute == "hal":
        module.hal = types.SimpleNamespace(is_available=available, device_count=count)
    monkeypatch.setitem(sys.modules, "mindspore", module)


@pytest.mark.parametrize("attribute", ["device_context", "hal"])
@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"Ascend": 8, "GPU": 1, "CPU": 1}, "Ascend"),
        ({"GPU": 1, "CPU": 1}, "GPU"),
        ({"CPU": 1}, "CPU"),
        ({"Ascend": 0, "CPU": 1}, "CPU"),  # the toolkit is installed, but there is no card
    ],
)
def test_auto_takes_the_best_device(monkeypatch, attribute, counts, expected):
    fake_mindspore(monkeypatch, counts, attribute=attribute)
    assert resolve_device_target("auto") == expected


def test_auto_without_any_way_to_ask(monkeypatch):
    fake_mindspore(monkeypatch, {"Ascend": 8}, attribute="none")
    assert resolve_device_target("auto") == "CPU"


def test_auto_is_silent_and_leaves_logging_as_it_was(monkeypatch, caplog):
    fake_mindspore(monkeypatch, {"CPU": 1}, log=True)
    assert resolve_device_target("auto") == "CPU"
    assert not caplog.records
    logging.getLogger("stand-in").warning("heard again")
    assert len(caplog.records) == 1


def test_a_named_target_is_not_probed(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore", None)  # importing it would fail
    assert [resolve_device_target(name) for name in ("CPU", "GPU", "Ascend")] == ["CPU", "GPU", "Ascend"]


@pytest.fixture
def machine(monkeypatch, environment):
    """A machine that needs the cap; returns a function that changes it."""
    real = sys.modules.get("mindspore")
    if real is not None:
        monkeypatch.delitem(sys.modules, "mindspore")

    def change(version="2.10.0", avx512=True):
        monkeypatch.setattr(device_adapter, "installed", lambda package: version)
        monkeypatch.setattr(device_adapter, "cpu_facts", lambda: {"flags": "fpu avx2" + " avx512f" * avx512})

    change()
    yield change
    os.environ.pop("ONEDNN_MAX_CPU_ISA", None)


def test_the_cap_is_set_where_it_is_needed(machine):
    assert "ONEDNN_MAX_CPU_ISA=AVX2, because mindspore 2.10.0" in apply_cpu_cap()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "was set before" in apply_cpu_cap()


@pytest.mark.parametrize(
    ("values", "changes", "expected"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, {}, "ONEDNN_MAX_CPU_ISA=AVX512_CORE was set before"),
        ({"CRNN_NO_CPU_CAP": "1"}, {}, "off, as CRNN_NO_CPU_CAP=1 asks"),
        ({}, {"version": "2.8.0"}, "not needed by mindspore 2.8.0"),
        ({}, {"version": "1.10.1"}, "not needed by mindspore 1.10.1"),
        ({}, {"version": None}, "mindspore is not installed"),
        ({}, {"avx512": False}, "no AVX-512"),
    ],
)
def test_the_cap_is_left_alone(machine, environment, values, changes, expected):
    environment(**values)
    machine(**changes)
    text = apply_cpu_cap()
    assert expected in text and "\n" not in text
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == values.get("ONEDNN_MAX_CPU_ISA")


@pytest.mark.parametrize("version", ["2.9.0", "2.10.0rc1", "2.11", "3.0.0"])
def test_versions_that_need_the_cap(machine, environment, version):
    environment(CRNN_NO_CPU_CAP="0")
    machine(version=version)
    assert f"because mindspore {version}" in apply_cpu_cap()


def test_a_cap_that_comes_too_late_says_so(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore", types.SimpleNamespace())
    assert "too late" in apply_cpu_cap()
    assert "ONEDNN_MAX_CPU_ISA" not in os.environ


def test_importing_and_capping_do_not_import_mindspore(repo):
    code = (
        "import sys; import src.model_utils.device_adapter as d; d.get_rank_id(); d.apply_cpu_cap(); "
        "assert 'mindspore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repo, check=True)


def test_the_real_mindspore_answers_quietly(repo):
    pytest.importorskip("mindspore")
    code = "from src.model_utils.device_adapter import *; apply_cpu_cap(); print(resolve_device_target('auto'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, check=True, capture_output=True, text=True)
    assert done.stdout.strip() in ("CPU", "GPU", "Ascend")
    assert "not available" not in done.stdout + done.stderr
