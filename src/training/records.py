"""What a run leaves in its output folder for people: log.txt, metrics.csv, curves.png and TensorBoard's events."""
import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TextIO

import numpy as np

from src.common.errors import CRNNError
from src.metric import EvalResult
from src.training.curves import draw_curves
from src.training.events import NAME as EVENTS_NAME
from src.training.events import Events

LOG_NAME, METRICS_NAME, CURVES_NAME = "log.txt", "metrics.csv", "curves.png"
COLUMNS = ("step", "epoch", "images", "loss", "learning_rate", "gradient_norm", "images_per_second", "skipped_steps",
           "accuracy", "cer")


class _Tee:
    """A text stream that also writes to a file, but for what redraws a progress bar in a terminal."""

    def __init__(self, stream: TextIO, file: TextIO) -> None:
        self._stream, self._file = stream, file

    def write(self, text: str) -> int:
        if not text.startswith("\r"):
            try:
                self._file.write(text)
                self._file.flush()
            except (OSError, ValueError) as error:  # ValueError: closed after an earlier fault
                if not self._file.closed:
                    with contextlib.suppress(OSError):
                        self._file.close()
                    self._stream.write(f"warning: the log cannot be written any more ({error}); training goes on\n")
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextlib.contextmanager
def logging_to(folder: Path, goes_on: bool) -> Iterator[None]:
    """Writes what the block prints into ``log.txt`` of a folder, too.

    Args:
        folder: made where it is missing.
        goes_on: the log of the earlier part of the run is continued; otherwise it becomes ``log.previous.txt``.

    Raises:
        OSError: the file cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG_NAME
    if path.is_file() and not goes_on:
        path.replace(path.with_name("log.previous.txt"))
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(_Tee(sys.stdout, file)))
        stack.enter_context(contextlib.redirect_stderr(_Tee(sys.stderr, file)))
        try:
            yield
        except CRNNError as error:  # printed by the program, when the log is closed
            with contextlib.suppress(OSError, ValueError):
                file.write(f"error: {error}\n")
            raise


class Metrics:
    """Writes ``metrics.csv``, a line at every printed loss and at every evaluation, and draws ``curves.png``.

    The same numbers go to TensorBoard's events, with sample readings at every evaluation. A file that cannot be written
    is a warning, once.

    Args:
        folder: where they go.
        every: steps between two lines; the end of an epoch always has one.
        batch_size: images of a step, all devices together.
        goes_on: lines of the earlier part of the run stay, up to its step.
        start: steps that were done before.
        events: TensorBoard's; False: none.

    Attributes:
        sample_sheet: gives the picture of sample readings of the last evaluation; None where there is none.
    """

    def __init__(self, folder: Path, every: int, batch_size: int, goes_on: bool = False, start: int = 0,
                 events: bool = False) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.sample_sheet: Callable[[], np.ndarray | None] | None = None
        self._events: Events | None = None
        if events:
            try:
                self._events = Events(folder, goes_on, start)
            except OSError as error:
                self._warn_of_events(error)
        self.rows: list[dict[str, str]] = []
        self._failed = False
        self._losses: list[float] = []
        self._since, self._steps, self._skipped = time.monotonic(), 0, 0
        path = folder / METRICS_NAME
        if goes_on and path.is_file():
            with open(path, encoding="utf-8", newline="") as file:
                self.rows = [row for row in csv.DictReader(file)
                             if (row.get("step") or "").isdecimal() and int(row["step"]) <= start]

    def __enter__(self) -> Self:
        self._write(self.rows, "w")
        return self

    def __exit__(self, *error: object) -> None:
        self._draw()
        self._to_events(lambda events: events.__exit__())

    def where(self) -> str:
        """A line about what there is to look at."""
        watch = f"; to look at its curves: tensorboard --logdir={self.folder / EVENTS_NAME}" if self._events else ""
        return f"the run is in {self.folder}: {LOG_NAME}, {METRICS_NAME}, {CURVES_NAME}{watch}"

    def note_step(self, done: int, epoch: int, is_last: bool, loss: float, rate: float, norm: float,
                  skipped: bool) -> None:
        """Takes note of a step.

        Args:
            done: steps done, this one included.
            epoch: counted from 1.
            is_last: it ends its epoch.
            loss: of the step; does not count where it was skipped.
            rate: its learning rate.
            norm: norm of its gradient.
            skipped: whether its gradient was not finite.
        """
        self._steps += 1
        self._skipped += skipped
        if not skipped:
            self._losses.append(loss)
        if done % self.every and not is_last:
            return
        seconds = max(time.monotonic() - self._since, 1e-9)
        mean = f"{sum(self._losses) / len(self._losses):.6f}" if self._losses else ""
        self._add({"step": str(done), "epoch": str(epoch), "images": str(done * self.batch_size), "loss": mean,
                   "learning_rate": f"{rate:.6g}", "gradient_norm": f"{norm:.6g}",
                   "images_per_second": f"{self._steps * self.batch_size / seconds:.1f}",
                   "skipped_steps": str(self._skipped), "accuracy": "", "cer": ""})
        self._losses.clear()
        self._since, self._steps = time.monotonic(), 0

    def note_evaluation(self, done: int, epoch: int, result: EvalResult) -> None:
        """Takes note of an evaluation after some steps, and draws the curves anew."""
        self._add({**dict.fromkeys(COLUMNS, ""), "step": str(done), "epoch": str(epoch),
                   "images": str(done * self.batch_size), "accuracy": f"{result.accuracy:.6f}",
                   "cer": f"{result.cer:.6f}"})
        self._draw()
        sheet = self.sample_sheet() if self.sample_sheet is not None and self._events is not None else None
        if sheet is not None:
            self._to_events(lambda events: events.add_picture(done, sheet))
        self._since = time.monotonic()

    def _add(self, row: dict[str, str]) -> None:
        self.rows.append(row)
        self._write([row], "a")
        self._to_events(lambda events: events.add_row(row))

    def _to_events(self, write: Callable[[Events], None]) -> None:
        """Writes events, where there are any; after a fault no more."""
        if self._events is None:
            return
        try:
            write(self._events)
        except (OSError, ValueError) as error:  # ValueError: closed after a fault
            self._events = None
            self._warn_of_events(error)

    def _warn_of_events(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        print(f"warning: {self.folder / EVENTS_NAME} cannot be written ({reason}); training goes on without it",
              file=sys.stderr, flush=True)

    def _write(self, rows: list[dict[str, str]], mode: str) -> None:
        if self._failed:
            return
        try:
            with open(self.folder / METRICS_NAME, mode, encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="")
                if mode == "w":
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            self._warn(METRICS_NAME, error)

    def _draw(self) -> None:
        if self._failed:
            return
        points = [(int(row["images"]), float(row["loss"])) for row in self.rows if row["loss"]]
        found = [(int(row["images"]), float(row["accuracy"])) for row in self.rows if row["accuracy"]]
        try:
            draw_curves(self.folder / CURVES_NAME, points, found)
        except OSError as error:
            self._warn(CURVES_NAME, error)

    def _warn(self, name: str, error: OSError) -> None:
        self._failed = True
        print(f"warning: {self.folder / name} cannot be written ({error.strerror or error}); training goes on without "
              "it", file=sys.stderr, flush=True)
