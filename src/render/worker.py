"""Body of a process that draws folders: jobs come in on standard input, counts and errors go out on standard output."""
import json
import os
import pickle
import sys
import traceback
from pathlib import Path

import cv2

from src.common.errors import CRNNError
from src.render.pool import draw_folder
from src.render.renderer import WordRenderer


def _receive() -> object | None:
    head = sys.stdin.buffer.read(8)
    return pickle.loads(sys.stdin.buffer.read(int.from_bytes(head, "little"))) if len(head) == 8 else None


def _send(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Draws folder after folder until standard input ends."""
    cv2.setNumThreads(1)
    try:
        setup = _receive()
        if setup is None:
            return
        style, fonts, seed, root = setup
        renderer = WordRenderer(style, fonts, seed)
        while (job := _receive()) is not None:
            draw_folder(renderer, Path(root), job, lambda count: _send({"images": count}) if count else None)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # the parent has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _send({"error": error.strerror, "errno": error.errno, "filename": error.filename, "kind": "OSError"})
    except CRNNError as error:
        _send({"error": str(error), "kind": "DataError"})
    except Exception as error:
        _send({"error": "".join(traceback.format_exception(error)), "kind": "bug"})


if __name__ == "__main__":
    main()
