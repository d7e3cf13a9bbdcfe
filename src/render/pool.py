"""Worker processes that draw folders: plain subprocesses, which work from any caller (threads, no main guard)."""
import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from src.common.errors import CRNNError, DataError
from src.common.files import write_text
from src.render.fonts import FontFace
from src.render.layout import SUBFOLDER_IMAGES, Chunk
from src.render.renderer import WordRenderer
from src.render.style import RenderStyle

DONE = "folder.part"  # list of a finished folder's annotation lines, until the whole set is complete
Job = tuple[Chunk, list[str], list[int]]  # folder, its words, their lexicon rows
_ROOT = Path(__file__).resolve().parents[2]


def draw_folder(renderer: WordRenderer, root: Path, job: Job, tick: Callable[[int], None] | None = None) -> None:
    """Draws the images of one folder; its list of lines is written last, at once, and marks it as finished.

    Raises:
        DataError: a word cannot be drawn.
        OSError: writing failed.
    """
    chunk, words, rows = job
    for number in range(-(-chunk.count // SUBFOLDER_IMAGES)):
        (root / str(chunk.folder) / str(number + 1)).mkdir(parents=True, exist_ok=True)
    prefix = str(root)
    lines = []
    for position, (word, row) in enumerate(zip(words, rows, strict=True)):
        text, data = renderer.encode(word, chunk.index(position))
        path = chunk.path(position, text, row)
        with open(prefix + path[1:], "wb", buffering=0) as file:
            file.write(data)
        lines.append(f"{path} {row}\n")
        if tick and position % 50 == 49:
            tick(50)
    mark = root / str(chunk.folder) / DONE
    write_text(mark, "".join(lines))
    if tick:
        tick(chunk.count % 50)


def run_jobs(style: RenderStyle, fonts: list[FontFace], seed: int, root: Path, jobs: Iterable[Job], workers: int,
             tick: Callable[[int], None]) -> None:
    """Draws folders.

    Args:
        style: strengths.
        fonts: faces.
        seed: of the images.
        root: folder of the set.
        jobs: the folders; taken one by one as they are needed.
        workers: number of processes; 1 draws in this one.
        tick: told the number of images finished since its last call; called from several threads, one at a time.

    Raises:
        CRNNError: what went wrong in a worker, or that one died.
        OSError: writing failed.
    """
    if workers == 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            renderer = WordRenderer(style, fonts, seed)
            for job in jobs:
                draw_folder(renderer, root, job, tick)
        finally:
            cv2.setNumThreads(threads)
        return
    _Pool(workers, (style, fonts, seed, str(root))).run(iter(jobs), tick)


class _Pool:
    """Subprocesses that take one job at a time, each fed by a thread."""

    def __init__(self, workers: int, setup: tuple[RenderStyle, list[FontFace], int, str]):
        self._setup = pickle.dumps(setup)
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        code = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from src.render.worker import main; main()"
        # A session of their own: Ctrl-C reaches this process alone, which then ends them.
        self._processes = [
            subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(workers)]

    def run(self, jobs: Iterable[Job], tick: Callable[[int], None]) -> None:
        threads = [threading.Thread(target=self._feed, args=(process, jobs, tick), daemon=True)
                   for process in self._processes]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # so that Ctrl-C is noticed
        finally:
            for process in self._processes:
                if self._errors or sys.exc_info()[0] is not None:
                    process.kill()
                with contextlib.suppress(OSError):
                    process.stdin.close()
                process.wait()
                process.stdout.close()
        if self._errors:
            raise self._errors[0]

    def _feed(self, process: subprocess.Popen, jobs: Iterable[Job], tick: Callable[[int], None]) -> None:
        try:
            process.stdin.write(len(self._setup).to_bytes(8, "little") + self._setup)
            while not self._errors:
                with self._lock:
                    job = next(jobs, None)
                if job is None:
                    return
                data = pickle.dumps(job)
                process.stdin.write(len(data).to_bytes(8, "little") + data)
                process.stdin.flush()
                self._follow(process, job[0].count, tick)
        except BrokenPipeError:
            self._errors.append(CRNNError(f"a drawing process ended with code {process.wait()}: run again to resume"))
        except BaseException as error:  # handed to the caller's thread
            self._errors.append(error)

    def _follow(self, process: subprocess.Popen, count: int, tick: Callable[[int], None]) -> None:
        while count > 0:
            line = process.stdout.readline()
            if not line:
                raise BrokenPipeError
            message = json.loads(line)
            if "error" in message:
                raise _revived(message)
            with self._lock:
                tick(message["images"])
            count -= message["images"]


def _revived(message: dict[str, object]) -> BaseException:
    """Makes the exception that a worker reported."""
    if message["kind"] == "OSError":
        return OSError(message["errno"], message["error"], message["filename"])
    if message["kind"] == "DataError":
        return DataError(str(message["error"]))
    return RuntimeError(f"a drawing process failed: {message['error']}")


def jobs_of(chunks: Iterable[Chunk], lexicon: list[str], rows: dict[str, np.ndarray]) -> Iterable[Job]:
    """Yields the jobs of some folders."""
    for chunk in chunks:
        numbers = rows[chunk.split][chunk.first:chunk.first + chunk.count].tolist()
        yield chunk, [lexicon[row] for row in numbers], numbers

