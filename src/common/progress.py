"""A progress display: a bar redrawn in place on a terminal, a plain line about every ten seconds elsewhere.

It is our own, not tqdm, because logs of training are part of what users were promised: tqdm writes carriage returns and
no line breaks into a file, and its bar cannot be wiped for a line of the log to stand in its place.
"""
import shutil
import sys
import time
from typing import TextIO


def format_seconds(seconds: float) -> str:
    """Returns a duration as ``42s``, ``3m05s`` or ``2h07m``."""
    whole = max(0, int(seconds + 0.5))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Progress:
    """Shows how far a loop of known length has come, its rate and the time left.

    Use it as a context manager, or call :meth:`close` yourself. Output goes to standard error, so that a program's
    results on standard output stay clean.

    Args:
        total: number of units at 100 %; 0 or less shows the count and rate only.
        label: what is going on, e.g. ``"drawing train"``.
        unit: name of one unit, shown behind the rate.
        stream: where to write; standard error when ``None``.
        enabled: ``False`` shows nothing; ``None`` means ``True``.
        interval: seconds between two plain lines where the stream is no terminal.
    """

    def __init__(self, total: int, label: str, unit: str = "img", stream: TextIO | None = None,
                 enabled: bool | None = None, interval: float = 10.0):
        self.total = total
        self.label = label
        self.unit = unit
        self.done = 0
        self._stream = stream if stream is not None else sys.stderr
        self._enabled = enabled is not False
        self._live = bool(getattr(self._stream, "isatty", lambda: False)())
        self._interval = 0.1 if self._live else interval
        self._start = time.monotonic()
        self._shown = self._start if not self._live else 0.0
        self._first = 0
        self._closed = False
        self._note = ""

    def skip(self, count: int) -> None:
        """Counts units that were done before (a resumed run), leaving them out of the rate."""
        self.done += count
        self._first += count

    def update(self, count: int = 1, note: str = "") -> None:
        """Counts finished units and redraws when it is time to.

        Args:
            count: units finished since the last call.
            note: short text shown behind the numbers, e.g. ``"loss 1.23"``; empty keeps the last one.
        """
        self.done += count
        self._note = note or self._note
        now = time.monotonic()
        if self._enabled and not self._closed and now - self._shown >= self._interval:
            self._shown = now
            self._draw(now)

    def clear(self) -> None:
        """Wipes the bar from the terminal's line, so that something else can be printed there."""
        if self._enabled and self._live and not self._closed:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = 0.0

    def close(self) -> None:
        """Draws the final state once; later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        if self._enabled:
            self._draw(time.monotonic(), last=True)

    def _text(self, now: float, last: bool) -> str:
        elapsed = max(now - self._start, 1e-9)
        rate = (self.done - self._first) / elapsed
        shown_rate = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        parts = [f"{self.label}:"]
        if self.total > 0:
            parts.append(f"{100 * self.done / self.total:3.0f}% {self.done}/{self.total}")
        else:
            parts.append(f"{self.done}")
        parts.append(f"{shown_rate} {self.unit}/s")
        if last:
            parts.append(f"in {format_seconds(elapsed)}")
        elif self.total > 0 and rate > 0:
            parts.append(f"ETA {format_seconds((self.total - self.done) / rate)}")
        if self._note:
            parts.append(self._note)
        return " ".join(parts)

    def _draw(self, now: float, last: bool = False) -> None:
        text = self._text(now, last)
        if self._live:
            width = shutil.get_terminal_size((100, 24)).columns - 1
            if self.total > 0 and width - len(text) > 12:
                cells = min(30, width - len(text) - 3)
                full = min(cells, cells * self.done // self.total)
                text = f"{text} [{'#' * full}{'.' * (cells - full)}]"
            text = text[:max(width, 1)]
            self._stream.write(f"\r{text}\x1b[K" + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None or self._live:
            self.close()
