"""The allocator's setting: freed blocks of a batch's size stay with the process, larger ones do not."""
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import threading

import pytest

from src.common.system import _USERS_OWN, cpu_facts, interrupts_held, loading
from tests.word_sets import make_set

# Asks glibc itself what became of a block: whether it was mapped by itself, and what of it was kept after it was freed.
PROGRAM = """
import ctypes, json, sys
from tests.word_sets import train

libc = ctypes.CDLL(None)
NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES]

libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc.argtypes = [ctypes.c_size_t]
libc.mallinfo2()

def fate(mebibytes, count=1):
    before = libc.mallinfo2()
    blocks = [libc.malloc(mebibytes << 20) for _ in range(count)]
    inside = libc.mallinfo2()
    for block in blocks:
        libc.free(block)
    after = libc.mallinfo2()
    return [inside.hblks - before.hblks, (after.arena - after.uordblks) >> 20]

first = fate(8)
for batch in train(sys.argv[1], 16, num_parallel_workers=1).epoch(0):
    pass
print(json.dumps([first, fate(8), fate(17), fate(15, 3)]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 33),
                    reason="the setting is glibc's, whose figures are read as of 2.33")
def test_freed_blocks_are_kept_once_batches_are_made(tmp_path, repo):
    folder = make_set(tmp_path / "set", 32)

    def fates(**environment):
        variables = {key: value for key, value in os.environ.items() if key not in _USERS_OWN} | environment
        done = subprocess.run([sys.executable, "-c", PROGRAM, folder], cwd=repo, env=variables, check=True, text=True,
                              capture_output=True)
        return json.loads(done.stdout)

    (mapped, _), (mapped_8, kept_8), (mapped_17, _), (mapped_15, kept_15) = fates()
    assert mapped == 1, "by itself the allocator maps such a block, and unmaps it when it is freed"
    assert (mapped_8, mapped_15, mapped_17) == (0, 0, 1) and kept_8 >= 8 and kept_15 >= 3 * 15
    assert [mapped for mapped, _ in fates(MALLOC_TRIM_THRESHOLD_="100000")] == [1, 1, 1, 3], "the user's own stays"


def test_what_linux_tells_of_the_cpu(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A: 1\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: other\n")
    assert cpu_facts(str(file)) == {"processor": "0", "model name": "A: 1", "flags": "fpu avx2"}
    assert cpu_facts(str(tmp_path / "none")) == {}


@pytest.mark.parametrize("enabled", [True, False])
def test_what_is_loaded_is_no_garbage(enabled):
    """No collection while something loads, what was made is not looked at again, and all is as before afterwards."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        frozen = gc.get_freeze_count()
        with pytest.raises(ValueError, match="stop"), loading():
            assert not gc.isenabled()
            kept = [[] for _ in range(2000)]
            raise ValueError("stop")
        assert gc.isenabled() == enabled and gc.get_freeze_count() >= frozen + len(kept)
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()


@pytest.mark.usefixtures("default_ctrl_c")
@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupt_waits_until_loading_is_over(fails):
    before, reached = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        reached.append("the rest")
        if fails:
            raise ImportError
    assert reached == ["the rest"] and signal.getsignal(signal.SIGINT) is before
    with interrupts_held():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_and_ignored_interrupts_stay_as_they_are():
    def other():
        with interrupts_held():
            reached.append(signal.getsignal(signal.SIGINT))

    before, reached = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert reached == [before]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
