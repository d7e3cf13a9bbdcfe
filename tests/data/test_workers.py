"""Worker processes: the same batches as threads, and none of them left behind or waited for in vain."""
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import src.data.batches
from convert_lmdb import main
from src.common.errors import ConfigError, DataError
from src.data.workers import WorkerProcesses
from src.dataset import create_dataset
from tests.conftest import REPO
from tests.word_sets import config, evaluate, indices, make_set, same, train

PROCESSES = {"loader": "processes"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lmdb")
    for name, count in (("MJ", 40), ("ST", 16)):
        assert main(["-d", "iiit5k", "-p", make_set(folder / f"set_{name}", count), "-o",
                     str(folder / "all" / name)]) == 0
    return str(folder / "all")


pytestmark = pytest.mark.usefixtures("signals_as_usual")


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    gc.collect()
    assert not children()


def children():
    """Processes forked by this thread, zombies among them."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def kill(pid, number):
    """Ends a child by a signal and waits until it is a zombie; until then its siblings might do all the work."""
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def shift(image, rng):
    return np.roll(image, int(rng.integers(0, 30)), 1)


def gone(pid, seconds=60.0):
    """Whether a process ends within that time; where nobody waits for it, a zombie stays."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("case", ["plain", "damaged", "nothing left over", "keep_ratio", "light", "evaluation",
                                  "evaluation keep_ratio"])
def test_the_same_batches_as_threads(good, damaged, capfd, case):
    width = {"keep_ratio": True, "bucket_widths": "40, 64, 72"}
    make = {"plain": lambda **keys: train(good, 8, 2, 1, **keys),
            "damaged": lambda **keys: train(damaged, 12, 1, 0, shift, **keys),
            "nothing left over": lambda **keys: train(damaged, 7, 2, 1, **keys),
            "keep_ratio": lambda **keys: train(damaged, 8, **width, **keys),
            "light": lambda **keys: create_dataset("iiit5k", good, 16, config=config(augment="light", **keys)),
            "evaluation": lambda **keys: evaluate(damaged, 1, **keys),
            "evaluation keep_ratio": lambda **keys: evaluate(damaged, 8, **width, **keys)}[case]
    threads = make()
    expected = [list(threads.epoch(epoch)) for epoch in (0, 1)]
    printed = sorted(capfd.readouterr().err.splitlines())
    for workers in (1, 3):
        processes = make(num_parallel_workers=workers, **PROCESSES)
        for epoch in (0, 1):
            for a, b in zip(expected[epoch], processes.epoch(epoch), strict=True):
                same(a, b)
                assert a.image.dtype == b.image.dtype and b.image.flags.c_contiguous
        assert sorted(capfd.readouterr().err.splitlines()) == printed
        assert len(printed) == len(processes.corrupted) == (0 if case in ("plain", "light") else len(printed))
        assert sorted(processes.corrupted) == sorted(threads.corrupted)
        assert (processes.repeated, processes.squeezed) == (threads.repeated, threads.squeezed)
        start = max(0, processes.get_dataset_size() - 2)
        for a, b in zip(make().epoch(1, start), processes.epoch(1, start), strict=True):
            same(a, b)
        capfd.readouterr()
    assert (threads.repeated > 0) == (case == "nothing left over")
    assert (threads.squeezed > 0) == ("keep_ratio" in case)


@pytest.mark.parametrize("loader", ["threads", "processes"])
def test_masks_come_with_the_batches(good, loader):
    def masks(step, columns, rows):
        return np.random.default_rng(step).random((columns, rows, 9)) < 0.5

    dataset = train(good, 8, loader=loader, num_parallel_workers=2)
    dataset.masks, steps = masks, len(dataset)
    for step, batch in enumerate(dataset.epoch(1, 2), start=2):
        np.testing.assert_array_equal(batch.mask, masks(steps + step, 24, 8))  # 100 columns of pixels give 24 steps
    assert step == steps - 1 and all(batch.mask is None for batch in train(good, 8, loader=loader))


def test_an_lmdb_mixture(packed):
    keys = {"train_mix": "MJ:0.5,ST:0.5", "augment": "strong"}
    threads, processes = (create_dataset("lmdb", packed, 8, config=config(**keys, loader=loader))
                          for loader in ("threads", "processes"))
    for a, b in zip([*threads, *threads], [*processes, *processes], strict=True):
        same(a, b)
    assert processes.loader == "processes" and len(threads) == 7


def test_batches_outlive_their_slots(good):
    kept = list(train(good, 4, **PROCESSES))
    for a, b in zip(kept, train(good, 4), strict=True):
        same(a, b)


def test_no_image_can_be_read(tmp_path):
    path = make_set(tmp_path / "d", 8, broken=range(8))
    for dataset in (evaluate(path, 4, **PROCESSES), train(path, 4, **PROCESSES)):
        with pytest.raises(DataError, match="iiit5k: too few images can be read, [48] cannot; the first: .*/d/.*: "):
            list(dataset)


def test_processes_stay_for_the_next_epoch_and_two_epochs_may_go_on_at_once(good):
    dataset = train(good, 8, **PROCESSES)
    list(dataset.epoch(0))
    first = children()
    assert len(first) == 2
    list(dataset.epoch(1))
    assert children() == first
    both = zip(dataset.epoch(0), dataset.epoch(1), strict=True)
    for a, b in both:
        assert a.index.tolist() != b.index.tolist()
    first = children()
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    assert gone(first[0])
    assert indices(dataset.epoch(0)) == indices(train(good, 8).epoch(0)) and not set(first) & set(children())


def test_leaving_early_ends_the_processes(good):
    iterator = evaluate(good, 1, num_parallel_workers=4, **PROCESSES).epoch()
    next(iterator)
    assert len(children()) == 4
    iterator.close()
    assert not children()
    for _ in train(good, 2, **PROCESSES):
        break
    assert not children()
    dataset = train(good, 2, **PROCESSES)
    iterator = dataset.epoch()
    next(iterator)
    del iterator
    assert not children() and len(list(dataset.epoch(0, 30))) == 5
    del dataset
    assert not children()


def test_processes_at_work_do_not_delay_the_end(good):
    pool = WorkerProcesses(lambda epoch, step, positions: ([positions], time.sleep(30 * step)), 2, 1024, "set")
    begin = time.monotonic()
    iterator = pool.map(0, ((step, np.arange(3)) for step in range(9)))
    next(iterator)
    pool.close()
    assert time.monotonic() - begin < 25 and not children()


def test_trouble_in_a_process_reaches_the_caller(good):
    class Odd(Exception):  # cannot be pickled
        def __init__(self):
            super().__init__("odd", lambda: 0)

    def fail(kind):
        def augment(image, rng):
            raise kind
        return augment
    for kind, expected in ((ZeroDivisionError("in the augmentation"), ZeroDivisionError), (Odd(), RuntimeError),
                           (OSError(24, "Too many open files"), OSError), (DataError("one sentence"), DataError)):
        dataset = train(good, augment=fail(kind), **PROCESSES)
        with pytest.raises(expected) as caught:
            list(dataset)
        assert type(caught.value) is expected and not children() and not dataset.corrupted
        assert "test_workers.py" in (str(caught.value) if expected is RuntimeError else caught.value.__notes__[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_process_that_dies_is_one_sentence(good, number):
    dataset = evaluate(good, 1, **PROCESSES)
    iterator = dataset.epoch()
    next(iterator)
    kill(children()[0], number)
    with pytest.raises(DataError, match=f"^iiit5k: a process that prepares batches has died .{number.name}., perhaps "
                                        "for want of memory: lower num_parallel_workers or take --loader=threads$"):
        list(iterator)
    assert not children()
    assert len(list(dataset)) == 70
    dataset = train(good, 2, augment=lambda image, rng: os._exit(3), **PROCESSES)
    with pytest.raises(DataError, match="has died .exit code 3."):
        list(dataset)


def test_signals_to_the_whole_group_leave_the_processes_alone(good):
    iterator = evaluate(good, 1, **PROCESSES).epoch()
    next(iterator)
    for pid in children():
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert len(list(iterator)) == 69


def test_nothing_is_left_of_a_killed_run(good):
    script = ("import os, time\nfrom tests.word_sets import evaluate\n"
              f"it = evaluate({good!r}, 1, loader='processes', num_parallel_workers=3).epoch(); next(it)\n"
              f"other = evaluate({good!r}, 1, loader='processes').epoch(); next(other)\n"
              "print(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPO) as run:
        pids = [int(pid) for pid in run.stdout.readline().split()]
        run.kill()
    assert len(pids) == 5 and all(gone(pid) for pid in pids)


def test_only_a_few_steps_are_handed_out():
    taken = []

    def steps():
        for step in range(20):
            taken.append(step)
            yield step, np.arange(step)
    pool = WorkerProcesses(lambda epoch, step, positions: ([positions + epoch], os.getpid()), 2, 1024, "set")
    pids = set()
    for number, (arrays, pid) in enumerate(pool.map(5, steps())):
        pids.add(pid)
        assert arrays[0].tolist() == list(range(5, 5 + number))
        assert len(taken) <= number + 2 + 2
    assert number == 19 and pids <= set(children()) and len(children()) == 2


def test_another_loader(good, monkeypatch, capfd):
    with pytest.raises(ConfigError, match="loader 'magic': expected one of threads, processes"):
        train(good, loader="magic")
    monkeypatch.setattr(src.data.batches, "can_fork", lambda: False)
    dataset = train(good, **PROCESSES)
    assert capfd.readouterr().err == "warning: this system cannot fork processes: threads prepare the batches\n"
    assert len(list(dataset)) == 4 and not children()
