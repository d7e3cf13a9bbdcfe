"""What the convert_*.py programs share: a report of the items left out, and the annotation."""
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from src.common.charset import shows_nothing
from src.common.errors import DataError
from src.common.files import read_lines, write_lines
from src.data.source import UNFINISHED, companion

EXIT_LEFT_OUT = 3  # converted, but some items are missing from the result


class WordsWouldBeLost(DataError):
    """An annotation holds words that the new one does not have."""


class ConversionReport:
    """Items a conversion had to leave out, and why.

    Args:
        strict: stop at the first one.
    """

    def __init__(self, strict: bool = False):
        self.strict = strict
        self.problems: list[tuple[str, str]] = []

    def add(self, item: str, reason: str) -> None:
        """Notes one item.

        Raises:
            DataError: in strict mode.
        """
        if self.strict:
            raise DataError(f"{item}: {reason}")
        self.problems.append((item, reason))

    def nothing_left(self, message: str) -> DataError:
        """The error of a conversion without any result, with the first reason."""
        first = f"; the first: {': '.join(self.problems[0])}" if self.problems else ""
        return DataError(f"{message}{first}")

    def finish(self, path: str) -> int:
        """Writes the report to a file and to standard error; removes the file of an earlier run when all went well.

        Args:
            path: of the report: one item a line, a tab, the reason.

        Returns:
            The exit code of the program: 0, or 3 where something was left out.
        """
        if not self.problems:
            if os.path.exists(path):
                os.remove(path)
            return 0
        write_lines(path, (f"{item}\t{reason}" for item, reason in self.problems))
        item, reason = self.problems[0]
        print(f"warning: {len(self.problems)} left out, the first: {item}: {reason} (all of them: {path})",
              file=sys.stderr)
        return EXIT_LEFT_OUT


@dataclass
class Conversion:
    """What became of a conversion.

    Attributes:
        report: what was left out.
        lines: what was written, a line for people each.
    """

    report: ConversionReport
    lines: list[str]


@contextlib.contextmanager
def unfinished(folder: str) -> Iterator[None]:
    """Marks a folder as unfinished until the block ends without an error, or refuses to replace what is there."""
    marker = os.path.join(folder, UNFINISHED)
    there = os.path.exists(marker)
    write_lines(marker, ["The conversion into this folder has not come to its end: run it again."])
    try:
        yield
    except WordsWouldBeLost:
        if not there:
            os.remove(marker)
        raise
    os.remove(marker)


def annotation_path(output_dir: str, given: str) -> str:
    """Where ``-a/--output_annotation`` is: a name is one in the output folder, a path is a path."""
    return given if os.path.dirname(given) else os.path.join(output_dir, given)


def word_fault(image: str, word: str) -> str:
    """Why a path and a word cannot become a line of an annotation; '' if they can."""
    if shows_nothing(word):
        return "the word is empty"
    return "image name or word holds a tab or a line break" if set(image + word) & set("\t\r\n") else ""


def write_annotation(annotation: str, words: dict[str, str], overwrite: bool) -> None:
    """Writes path and word, a line each, in the form users' own scripts know: ``path,WORD``.

    The first comma ends the path, and the model zoo put another behind the word; so where either holds a comma, a tab
    stands between them.

    Args:
        annotation: path of the file.
        words: image path -> word.
        overwrite: replace an annotation that holds other words.

    Raises:
        WordsWouldBeLost: it holds words that the new one does not have, such as those of the other split.
    """
    if not overwrite:
        _refuse_to_lose(annotation, words)
    write_lines(annotation, (f"{image}{chr(9) if ',' in image + word else ','}{word}" for image, word in words.items()))


def _refuse_to_lose(annotation: str, words: dict[str, str]) -> None:
    if not os.path.exists(annotation):
        return
    for _, line in read_lines(annotation):
        image, _, word = line.partition("\t" if "\t" in line else ",")
        if words.get(image.strip()) != word.strip():
            raise WordsWouldBeLost(f"{annotation} already holds other words (such as {line!r}): give another "
                            "-a/--output_annotation or -o/--output_dir, or --overwrite")


def how_to_use(dataset: str, output_dir: str, annotation: str) -> str:
    """The line a converter ends with."""
    if os.path.abspath(os.path.dirname(annotation)) != os.path.abspath(output_dir):
        return f"note: the images are in {output_dir}: move the annotation there to use the folder as a data set"
    usable = output_dir if os.path.basename(annotation) == "annotation.txt" else annotation
    return f"use it with: --eval_dataset {dataset} --eval_dataset_path {usable}"


def finish(conversion: Conversion, dataset: str, output_dir: str, annotation: str) -> int:
    """Writes the report and says what was converted; returns the exit code of the program."""
    *before, last = conversion.lines
    print(*before, sep="\n", end="\n" if before else "")
    code = conversion.report.finish(companion(annotation, "report"))
    print(last)
    print(how_to_use(dataset, output_dir, annotation))
    return code
