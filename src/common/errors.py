"""Errors a user can cause, and the one place where they turn into a message and an exit code."""
import io
import sys
from collections.abc import Callable
from typing import NoReturn


class CRNNError(Exception):
    """A mistake in the input: the message is one sentence that names the file, key or line and says what to do."""


class ConfigError(CRNNError):
    """A configuration key, value or command line that cannot be used."""


class DataError(CRNNError):
    """A data set, annotation, label or image that cannot be used."""


class CheckpointError(CRNNError):
    """A checkpoint that cannot be read or belongs to another network."""


def run_main(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Runs an entry point and ends the process with its exit code.

    What the encoding of the terminal cannot show is printed as an escape.

    A :class:`CRNNError`, or an ``OSError`` that names a file, becomes ``error: ...`` on standard error and exit code 2;
    Ctrl-C becomes exit code 130; a reader that closed the pipe (``| head``) ends the program quietly. Anything else is
    a bug of ours and keeps its traceback.

    Args:
        main: called with ``None`` (it reads ``sys.argv``); returns an exit code, ``None`` for success.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(None) or 0
        sys.stdout.flush()
    except CRNNError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
