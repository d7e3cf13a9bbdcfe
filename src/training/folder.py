"""The folder that a run writes its checkpoints to: it belongs to one run at a time, and runs are never mixed in it."""
import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from src.common.errors import ConfigError
from src.common.files import FileLock
from src.network.checkpoint_folder import BEST_NAME, newest_sound

LOCK_NAME = ".run.lock"
_HALF_WRITTEN = ".part-*"  # see replacing in src/common/files.py


@contextlib.contextmanager
def claimed(folder: Path, goes_on: bool) -> Iterator[None]:
    """Holds a folder for one run while the block runs, and removes what a killed run has left half-written in it.

    Args:
        folder: of the checkpoints; made where it is missing.
        goes_on: the run goes on from a checkpoint in this very folder, so that the files in it are its own.

    Raises:
        ConfigError: another process trains into the folder, or the files of another run are in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(folder / LOCK_NAME))
    try:
        if not lock.acquire(wait=False):
            holder = (folder / LOCK_NAME).read_text(encoding="utf-8", errors="replace").strip()
            raise ConfigError(f"another run{f' ({holder})' if holder else ''} writes its checkpoints to {folder}; wait "
                              "until it has ended, or choose another output_dir")
        lock.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as error:
        print(f"warning: {folder} cannot be locked ({error.strerror}); take care that no second run writes to it",
              file=sys.stderr)
    try:
        if not goes_on:
            _refuse_files_of_another_run(folder)
        for path in folder.glob(_HALF_WRITTEN):
            path.unlink()
        yield
    finally:
        lock.release(remove=True)


def _refuse_files_of_another_run(folder: Path) -> None:
    found = sorted(path.name for path in folder.glob("crnn-*.ckpt"))
    if not found:
        found = [BEST_NAME] if (folder / BEST_NAME).is_file() else []
    if not found:
        return
    newest = newest_sound(folder, but=folder)
    go_on = f"go on from it with --resume_ckpt={newest}, " if newest else ""
    raise ConfigError(f"{folder} holds the checkpoints of another run ({', '.join(found[:3])}"
                      f"{', ...' if len(found) > 3 else ''}); {go_on}choose another output_dir, or move them away")
