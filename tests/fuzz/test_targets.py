"""Every kind of file that we read: sound ones are read, a few damaged ones are read or refused with a sentence."""
import random

import pytest

from src.common.errors import CRNNError
from tests.fuzz.child import SECONDS, Watch, main, read_once
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target


@pytest.fixture(scope="module")
def watch():
    """What Python opens and starts. An audit hook stays until the process ends, so there is one."""
    return Watch(None)


@pytest.mark.parametrize("kind", TARGETS)
def test_damaged_files_are_read_or_refused(tmp_path, watch, kind):
    target, rng = TARGETS[kind], random.Random(kind)
    watch.folder = str(tmp_path)
    samples = target.samples()
    sound = [read_once(target, tmp_path / target.file, data, watch)["result"] for data in samples]
    assert "read" in sound and set(sound) <= {"read", "refused"}
    for number in range(12):
        found = read_once(target, tmp_path / target.file, mutate(samples, rng), watch)
        assert found["faults"] == [], (kind, number)


def test_the_damage_is_the_same_for_a_seed():
    samples = [b"abc" * 100, b"12,34"]
    first, again = ([mutate(samples, random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == again and len(set(first)) > 40


@pytest.mark.parametrize("read, fault", [
    (lambda path: 1 / 0, "ZeroDivisionError"), (lambda path: open("/etc/hostname").close(), "open /etc/hostname"),
    (lambda path: open(path.parent.parent / "x", "w").close(), "to write"),
    (lambda path: __import__("os").system("true"), "os.system"),
    (lambda path: (_ for _ in ()).throw(CRNNError("")), "not one sentence"),
    (lambda path: bytearray(120 << 20), "MiB")])
def test_faults_are_noticed(tmp_path, monkeypatch, watch, read, fault):
    monkeypatch.setattr("tests.fuzz.child.MEBIBYTES", 100)
    (tmp_path / "in").mkdir()
    watch.folder = str(tmp_path / "in")
    found = read_once(Target(list, read, "x"), tmp_path / "in" / "x", b"", watch)
    assert len(found["faults"]) == 1 and fault in found["faults"][0]


def test_slowness_is_noticed(tmp_path, watch, monkeypatch):
    watch.folder = str(tmp_path)
    times = iter([0.0, SECONDS + 1])
    monkeypatch.setattr("tests.fuzz.child.time.process_time", lambda: next(times))
    assert read_once(Target(list, lambda path: None, "x"), tmp_path / "x", b"", watch)["faults"] == ["6.0 s"]


def test_a_child_reports(tmp_path, capfd):
    import os

    kept = os.dup(1)
    try:
        main("lexicon", 1, 5, 7, tmp_path)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("{")] == ["-1"] * 3 + ["5", "6"] and len(lines) == 10
