"""What was read, printed for people and programs: tab-separated lines, CSV, JSON, a table."""
import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from src.common.errors import in_one_line
from src.common.files import printable
from src.reading.reading import Reading
from src.recogniser import Result

_UNSURE = "unsure"


class ReadingPrinter:
    """Prints the reading of one image after the other in one of the forms of ``--output``.

    Args:
        form: 'tsv', 'csv', 'json', 'jsonl' or 'table'.
        top: readings of each image.
        write: prints a line.
        with_boxes: words of photographs, each with its corners.
    """

    def __init__(self, form: str, top: int = 1, write: Callable[[str], None] = print, with_boxes: bool = False) -> None:
        self._form, self._top, self._write, self._with_boxes = form, top, write, with_boxes
        self._rows: list[list[str]] = []
        self._count = 0
        if form == "csv":
            self._write(_csv_line(self._heading()))

    def _heading(self) -> list[str]:
        return ["path", *(f"{name}{'' if n == 1 else f'_{n}'}" for n in range(1, self._top + 1)
                          for name in ("text", "confidence")), *["box"] * self._with_boxes, _UNSURE]

    def add(self, path: str, result: Result, corners: np.ndarray | None = None) -> None:
        """Prints one image, or one word of a photograph.

        Args:
            path: of the image.
            result: what was read.
            corners: (4, 2) of the word in pixels of the photograph; None for an image that is a word.
        """
        box = [] if corners is None else [[round(float(x)), round(float(y))] for x, y in corners]
        readings = [Reading(result.text, result.confidence)]
        if self._top > 1:
            readings += result.next_best(self._top - 1)
        if self._form in ("json", "jsonl"):
            self._add_object({"path": printable(path), "text": result.text, "confidence": round(result.confidence, 6),
                              "unsure": result.unsure, **({"turned": result.turned} if result.turned else {}),
                              "characters": [{"text": c.text, "steps": list(c.steps),
                                              "columns": [round(x, 1) for x in c.columns]} for c in result.characters],
                              **self._others(readings[1:]), **({"box": box} if self._with_boxes else {})})
            return
        # A name with a line break or a tab would look like further lines or cells.
        cells = [printable(path) if self._form == "csv" else in_one_line(printable(path))]
        for reading in readings:
            cells += [reading.text, f"{reading.confidence:.4f}"]
        cells += [""] * (2 * (self._top - len(readings))) if self._form != "tsv" else []
        if self._with_boxes:
            cells.append(" ".join(f"{x},{y}" for x, y in box))
        # A last cell; lines of tabs have it only where it says something.
        cells += [_UNSURE if result.unsure else ""] if result.unsure or self._form != "tsv" else []
        if self._form == "table":
            self._rows.append(cells)
        else:
            self._write(_csv_line(cells) if self._form == "csv" else "\t".join(cells))

    def add_failure(self, path: str, error: str) -> None:
        """Notes an image that could not be read: an object with ``error`` in JSON, nothing in the other forms."""
        if self._form in ("json", "jsonl"):
            self._add_object({"path": printable(path), "error": error})

    def close(self) -> None:
        """Prints what waits for the last image."""
        if self._form == "json":
            self._write("[]" if not self._count else "]")
        if self._form == "table" and self._rows:
            rows = [self._heading(), *self._rows]
            widths = [max(len(row[n]) for row in rows if n < len(row)) for n in range(max(map(len, rows)))]
            for row in rows:
                self._write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())

    def _others(self, readings: Sequence[Reading]) -> dict[str, Any]:
        if self._top == 1:
            return {}
        return {"next_best": [{"text": reading.text, "confidence": round(reading.confidence, 6)}
                              for reading in readings]}

    def _add_object(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False)
        if self._form == "json":
            line = ("," if self._count else "[") + line
        self._count += 1
        self._write(line)


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)  # its line end tells it which characters need quotes
    return text.getvalue().removesuffix("\r\n")
