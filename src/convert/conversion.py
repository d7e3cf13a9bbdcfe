"""What the convert_*.py programs share: a report of the items left out, and files that are whole or not there."""
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator

from src.common.errors import DataError
from src.data.source import UNFINISHED, read_lines

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


def write_whole(path: str, data: bytes) -> None:
    """Writes a file so that it is there complete or not at all, whatever interrupts the program.

    Raises:
        OSError: with the name of the file, for example when the disk is full.
    """
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".part-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are the user's alone
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path
        raise


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Writes a UTF-8 text file, one line each, complete or not at all."""
    write_whole(path, "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))


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
    if not word:
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
