"""A file of all predictions: path, truth, prediction and confidence of every word, separated by tabs."""
import os
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from src.common.errors import ConfigError
from src.common.files import writing
from src.reading.reading import Reading

COLUMNS = ("path", "truth", "prediction", "confidence")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PredictionFile:
    r"""Writes readings as they come; the file appears when all are written.

    A header, then a line for each image. Tabs, line breaks and backslashes inside a field are written as ``\t``,
    ``\n``, ``\r`` and ``\\``. Truth and prediction stand as annotated and as read, not normalised.

    Args:
        path: of the file; its folder is made where it is missing.

    Raises:
        ConfigError: the path is a folder, or a file that is no earlier table of predictions and would be lost.
        OSError: it cannot be written.
    """

    def __init__(self, path: str):
        if os.path.isdir(path):
            raise ConfigError(f"save_predictions {path} is a folder; name a file in it")
        if os.path.isfile(path) and not _is_table(path):
            raise ConfigError(f"save_predictions {path} exists and is no table of predictions, which alone would be "
                              "replaced; give another name, or delete it first")
        self.path = path
        self._stack = ExitStack()
        self._file = self._stack.enter_context(writing(path))
        self._row(COLUMNS)

    def add(self, paths: Iterable[str], truths: Iterable[str], readings: Iterable[Reading]) -> None:
        """Writes some words."""
        for path, truth, reading in zip(paths, truths, readings, strict=True):
            self._row((path, truth, reading.text, f"{reading.confidence:.6f}"))

    def _row(self, fields: Iterable[str]) -> None:
        self._file.write("\t".join(field.translate(_ESCAPES) for field in fields) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)


def _is_table(path: str) -> bool:
    """Whether a file begins as a table of predictions does, or is empty."""
    header = "\t".join(COLUMNS).encode() + b"\n"
    with open(path, "rb") as file:
        return file.read(len(header)) in (header, b"")
