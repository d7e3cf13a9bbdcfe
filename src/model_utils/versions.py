"""Which versions of MindSpore and numpy go with this project; a wrong one is refused before it is loaded."""
import re
from importlib import metadata

from src.common.errors import ConfigError

OLDEST_MINDSPORE = (2, 8)
"""The oldest that was tried; docs/install.md has the table."""
_ADVICE = "install the versions of requirements.txt (pip install -r requirements.txt)"


def installed(package: str) -> str | None:
    """The version of a package, without importing it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_versions() -> None:
    """Looks at MindSpore and numpy before MindSpore is loaded.

    A MindSpore without a version, built from its source, is taken as it is.

    Raises:
        ConfigError: MindSpore is older than :data:`OLDEST_MINDSPORE`, or numpy is 2 or later: modules of MindSpore's
            wheels are compiled against numpy 1, and numpy warns that they may crash.
    """
    mindspore, numpy = installed("mindspore"), installed("numpy")
    if mindspore and _first_two(mindspore) < OLDEST_MINDSPORE:
        oldest = ".".join(map(str, OLDEST_MINDSPORE))
        raise ConfigError(f"mindspore {mindspore} is installed, but the oldest that works here is {oldest}.0; "
                          f"{_ADVICE}")
    if mindspore and numpy and _first_two(numpy) >= (2, 0):
        raise ConfigError(f"numpy {numpy} is installed, but MindSpore is built for numpy 1; {_ADVICE}")


def _first_two(version: str) -> tuple[int, int]:
    """Its first two numbers; a version that is none counts as new for MindSpore and as old for numpy."""
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else OLDEST_MINDSPORE
