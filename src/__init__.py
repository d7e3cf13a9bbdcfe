"""The CRNN: networks, data path, training and evaluation."""
import os
import sys
from importlib.util import find_spec
from os.path import abspath, dirname

_NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless", "yaml": "pyyaml"}  # by every program


def _require_packages() -> None:
    """Ends one of our programs with a sentence where a package is missing, before an import would with a traceback.

    Raises:
        SystemExit: exit code 2, after the sentence.
    """
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    if not program or dirname(abspath(program)) != dirname(dirname(abspath(__file__))):
        return
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if sys.version_info < (3, 11):  # noqa: UP036 - said here, because nobody else says it
        said = f"this is Python {sys.version.split()[0]}, but 3.11 or 3.12 is needed"
    elif missing:
        said = f"the package {missing[0]} is not installed for {sys.executable}"
    else:
        return
    print(f"error: {said}: run `bash scripts/quickstart.sh`, then `. .venv/bin/activate`, or see docs/install.md",
          file=sys.stderr)
    raise SystemExit(2)


_require_packages()
# The most pixels that OpenCV decodes; it asks for this when it is loaded. A few bytes can claim to be an image of
# 100,000 x 100,000, and its own limit, 32 times as many, takes 3 GiB. A user's larger limit counts.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 25))
# What it cannot decode ends in a sentence of ours; its own lines about it would stand between ours, without the file.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
