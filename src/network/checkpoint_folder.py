"""The checkpoints of a run in their folder: how they are called, how many stay, which is the newest sound one."""
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mindspore import nn

from src.network.checkpoint import CheckpointError, read_checkpoint, write_checkpoint

BEST_NAME = "best_acc.ckpt"


class CheckpointFolder:
    """Writes ``crnn-{epoch}_{step}.ckpt`` files and removes the oldest ones.

    A file that cannot be written, on a full disk say, is a warning and no end: training goes on.

    Args:
        folder: where they go.
        limit: how many stay.
        earlier: what the run has written there before, oldest first; all other files are another run's and stay.
        writes: False only follows what the process that writes them does (ranks of a distributed run but the first).

    Attributes:
        written: the run's files, oldest first.
        missed: number of files that could not be written.
        is_behind: whether the last one could not.
    """

    def __init__(self, folder: str | os.PathLike, limit: int, earlier: Iterable[Path] = (),
                 writes: bool = True) -> None:
        self.folder = Path(folder)
        self.limit = limit
        self.writes = writes
        self.written = [path for path in earlier if path.is_file()]
        self.missed = 0
        self.is_behind = False

    def save(self, cell: nn.Cell, epoch: int, step: int, info: Mapping[str, int | float | str]) -> Path | None:
        """Writes the checkpoint of a step (both counted from 1) and removes the oldest of this run beyond the limit.

        Returns:
            Its path; None where it could not be written.
        """
        path = self.folder / f"crnn-{epoch}_{step}.ckpt"
        files = [old for old in self.written if old != path] + [path]
        if self.writes:
            facts = {**info, "run_files": "/".join(file.name for file in files)}
            self.is_behind = not try_to_write(path, cell, facts)
            if self.is_behind:
                self.missed += 1
                return None
        self.written = files
        while len(self.written) > self.limit:
            oldest = self.written.pop(0)
            if self.writes:
                oldest.unlink(missing_ok=True)
        return path


def try_to_write(path: Path, cell: nn.Cell, info: Mapping[str, int | float | str]) -> bool:
    """Writes a checkpoint; where that fails, warns and returns False."""
    try:
        write_checkpoint(path, cell, info)
    except OSError as error:
        print(f"warning: {path} could not be written ({error.strerror or error}); training goes on and tries again, "
              f"make room in {path.parent} or make it writable", file=sys.stderr, flush=True)
        return False
    return True


def newest_sound(folder: Path, but: Path) -> Path | None:
    """The checkpoint of a folder that was written last and can be read, other than a certain one; None without any."""
    files = [path for path in folder.glob("crnn-*.ckpt") if path.resolve() != but.resolve()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            read_checkpoint(str(path))
        except CheckpointError:
            continue
        return path
    return None
