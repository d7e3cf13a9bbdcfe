"""Errors a user can cause, and the one place where they turn into a message and an exit code."""
import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = 0.02  # seconds until a Ctrl-C that came while modules were loaded is looked at again


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def in_one_line(text: str) -> str:
    """Text from a file or a name as it can be printed within a line: control characters become escapes."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class CRNNError(Exception):
    """A mistake in the input: the message is one sentence that names the file, key or line and says what to do.

    Control characters of what it quotes, such as a name with a line break in a damaged file, are shown as escapes.
    """

    def __str__(self) -> str:
        return in_one_line(super().__str__())


class ConfigError(CRNNError):
    """A configuration key, value or command line that cannot be used."""


class DataError(CRNNError):
    """A data set, annotation, label or image that cannot be used."""


class CheckpointError(CRNNError):
    """A checkpoint that cannot be read or belongs to another network."""


def run_main(main: Callable[[list[str] | None], int | None], at_once: bool = False) -> NoReturn:
    """Runs an entry point and ends the process with its exit code.

    What the encoding of the terminal cannot show is printed as an escape.

    A :class:`CRNNError`, an ``OSError`` that names a file, or a full disk behind standard output becomes ``error: ...``
    on standard error and exit code 2. An output that was closed (``>&-``) takes everything and shows nothing. Ctrl-C
    becomes exit code 130; a reader that closed the pipe (``| head``) ends the program quietly. Anything else is a bug
    of ours and keeps its traceback.

    Args:
        main: called with ``None`` (it reads ``sys.argv``); returns an exit code, ``None`` for success.
        at_once: once the work is done and printed, the process ends without taking everything apart, which a program
            that lasts a quarter of a second feels. Not where MindSpore is loaded, which has threads and devices to
            close, or under a profiler or a debugger.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _hold_ctrl_c_while_loading()
    try:
        code = main(None) or 0
        sys.stdout.flush()
        if at_once and "mindspore" not in sys.modules and not sys.getprofile() and not sys.gettrace():
            sys.stderr.flush()
            os._exit(code)
    except CRNNError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        sys.stderr.close()
        code = 141
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        print(in_one_line(f"error: {error.filename or 'the output'}: {error.strerror}"), file=sys.stderr)
        if error.filename is None:  # what is left of the output goes nowhere, or Python tries and complains at its end
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _hold_ctrl_c_while_loading() -> None:
    """From now on Ctrl-C waits until the modules that are being imported are there; it raises KeyboardInterrupt then.

    Extension modules turn it into an ImportError that tells nothing of its cause, or lose it. Where Ctrl-C does
    something else already, or is ignored, nothing changes.
    """
    def stop(number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not run_main.__code__:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
                again.daemon = True
                again.start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
