"""What the processes of a node agree on: who copies in, and who hands the results over."""
import json
import threading
import time
from pathlib import Path

import pytest

from src.common.files import FileLock
from src.modelarts.node import LastAction, once_per_node


def wait_for(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_notes_of_earlier_runs(tmp_path):
    path, ran = str(tmp_path / "note"), []
    once_per_node(path, "a", 0, lambda: ran.append(1), "it")
    once_per_node(path, "a", 1, lambda: ran.append(2), "it")  # the process that did it lives: another rank of the run
    once_per_node(path, "b", 2, lambda: ran.append(3), "it")  # another address
    once_per_node(path, "b", 2, lambda: ran.append(4), "it")  # this rank was there: another run
    assert ran == [1, 3, 4]
    for text in ("", "{", "[1]", "no json"):
        Path(path).write_text(text)
        once_per_node(path, "b", 3, lambda: ran.append(5), "it")
    with pytest.raises(KeyError):
        once_per_node(path, "c", 3, lambda: {}["bug"], "it")
    once_per_node(path, "b", 4, lambda: ran.append(6), "it")
    assert ran == [1, 3, 4, 5, 5, 5, 5, 6]


def test_what_was_copied_while_this_rank_waited_counts(tmp_path, capfd):
    """Even if the rank that copied has come to its end by then."""
    path, ran = str(tmp_path / "note"), []
    lock = FileLock(path)
    assert lock.acquire()
    waiting = threading.Thread(target=once_per_node, args=(path, "a", 1, lambda: ran.append(1), "it"))
    waiting.start()
    seen = []
    wait_for(lambda: seen.append(capfd.readouterr().out) or "waiting" in "".join(seen))
    lock.write(json.dumps({"source": "a", "process": [999999999, 0.0], "ranks": [0], "error": "",
                           "time": time.time()}).encode())
    lock.release()
    waiting.join()
    assert ran == []
    once_per_node(path, "a", 2, lambda: ran.append(2), "it")
    assert ran == [2], "to a rank that comes later the same note is one of an earlier run"


def test_who_hands_the_results_over(tmp_path):
    path, ran = str(tmp_path / "note"), []
    Path(path).write_text('{"0": {"process": [999999999, 0.0], "state": "copied"}}')
    assert LastAction(path, 1).run(lambda: ran.append(1)), "what rank 0 copied belongs to an earlier run"
    ranks = [LastAction(path, rank) for rank in (1, 0, 2)]  # this process stands for all three, it is alive
    assert not ranks[0].run(lambda: ran.append(2)) and not ranks[2].run(lambda: ran.append(3))
    assert ranks[1].run(lambda: ran.append(4))
    assert not LastAction(path, 3).run(lambda: ran.append(5)), "rank 0 has done it, its process is still there"
    assert ran == [1, 4]


@pytest.mark.parametrize("text", [
    "[" * 100_000, "\xff", '{"source": "a"}',
    '{"source": "a", "time": "x", "process": [1, 2], "ranks": [], "error": ""}',
    '{"source": "a", "time": 9e99, "process": 5, "ranks": [], "error": ""}',
    '{"source": "a", "time": 9e99, "process": [-1, 2], "ranks": [], "error": ""}',
    '{"source": "a", "time": 9e99, "process": [1, 2], "ranks": 5, "error": ""}',
    '{"source": "a", "time": 9e99, "process": [1, 2], "ranks": [], "error": 5}',
    '{"0": 5}', '{"0": {}}', '{"x": {"process": [1, 2], "state": "running"}}',
    '{"0": {"process": ["a", 2], "state": 1}}'])
def test_notes_of_another_kind(tmp_path, text):
    ran = []
    for name in ("once", "last"):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    once_per_node(str(tmp_path / "once"), "a", 0, lambda: ran.append("once"), "it")
    assert LastAction(str(tmp_path / "last"), 1).run(lambda: ran.append("last"))
    assert ran == ["once", "last"]
