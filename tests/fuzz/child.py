"""Reads damaged files of one kind in a process of its own: python -m tests.fuzz.child KIND SEED FIRST LAST FOLDER.

Prints the number of every input before it is read, and one line of JSON for each that is not as it should be. Nothing
but the file itself may be opened outside of the program and of Python, and no process started.
"""
import json
import os
import random
import resource
import sys
import time
import traceback
from pathlib import Path

from src.common.errors import CRNNError
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEBIBYTES = 5.0, 1024
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "exec.file",
              "pickle.find_class", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree")
_OWN = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/usr/lib", "/usr/share", "/etc/mime.types")


class Watch:
    """Notes what Python opens, starts or removes outside of a folder."""

    def __init__(self, folder: Path):
        self.folder, self.seen, self.on = str(folder), [], False
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in _FORBIDDEN:
            if not (arguments and str(arguments[0]).startswith(self.folder)):
                self.seen.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            path, flags = str(Path(arguments[0] if isinstance(arguments[0], str) else arguments[0].decode(
                errors="replace")).absolute()), arguments[2]
            writes = bool(flags & 3) if isinstance(flags, int) else False
            known = path.startswith((str(ROOT), sys.prefix, sys.base_prefix, *_OWN))
            if not path.startswith(self.folder) and (writes or not known):
                self.seen.append(f"open {path}{' to write' if writes else ''}")


def peak() -> float:
    """The most memory that this process has had since the last :func:`forget_peak`, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Begins a new measurement."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def read_once(target: Target, path: Path, data: bytes, watch: Watch) -> dict:
    """Reads one content; returns what became of it, its CPU seconds and the memory it took on top, in MiB."""
    path.write_bytes(data)
    forget_peak()
    before, begin = peak(), time.process_time()
    watch.seen, watch.on = [], True
    try:
        target.read(path)
        result = "read"
    except CRNNError as error:
        result = "refused" if len(str(error).splitlines()) == 1 else f"not one sentence: {error!r}"
    except BaseException as error:  # whatever it is, it is what this looks for
        place = traceback.extract_tb(error.__traceback__)[-1]
        result = f"{type(error).__name__}: {str(error)[:150]} ({Path(place.filename).name}:{place.lineno})"
    finally:
        watch.on = False
    seconds, memory = time.process_time() - begin, peak() - before
    faults = list(watch.seen)
    if seconds > SECONDS:
        faults.append(f"{seconds:.1f} s")
    if memory > MEBIBYTES:
        faults.append(f"{memory:.0f} MiB")
    if result not in ("read", "refused"):
        faults.append(result)
    return {"result": result, "seconds": seconds, "memory": memory, "faults": faults}


def main(kind: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Reads the inputs FIRST to LAST - 1 of a kind; the sound samples come first and are not counted."""
    target = TARGETS[kind]
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no report
    samples = target.samples()
    watch = Watch(folder)
    for number in range(-len(samples), last - first):
        data = samples[number] if number < 0 else mutate(samples, random.Random(f"{seed} {kind} {first + number}"))
        for old in folder.iterdir():
            old.unlink()
        print(f"{first + number if number >= 0 else -1}", file=report, flush=True)
        found = read_once(target, folder / target.file, data, watch)
        if number < 0:
            found["faults"] = []  # imports and caches are filled by them
        print(json.dumps(found), file=report, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
