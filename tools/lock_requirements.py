"""Writes requirements-hashes.txt: every package that requirements.txt leads to, with the hashes of its files."""
import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CRNNError, run_main
from src.common.files import write_text

ROOT = Path(__file__).resolve().parent.parent
PYTHONS, MACHINES = ("3.11", "3.12"), ("x86_64", "aarch64")
_GLIBC = (28, 27, 24, 17, 12, 5)  # manylinux_2_X, newest first
_DESCRIPTION = f"""Writes requirements-hashes.txt, for `pip install --require-hashes -r requirements-hashes.txt`: all
packages that requirements.txt leads to, with their versions and the SHA-256 of their wheels for Linux, for Python
{' and '.join(PYTHONS)} and {' and '.join(MACHINES)}. pip itself finds them, in a dry run; nothing is installed. With
--check it writes nothing, and says whether every pin of requirements.txt stands there with the same version."""


def resolve(python: str, machine: str) -> dict[str, tuple[str, str]]:
    """Version and SHA-256 of every package, by name, as pip would install it.

    Raises:
        CRNNError: pip finds no set of wheels.
    """
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [f"manylinux2014_{machine}"]
    if machine == "x86_64":
        platforms += ["manylinux2010_x86_64", "manylinux1_x86_64"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", f"--report={report}",
             f"--python-version={python}", "--implementation=cp", "--only-binary=:all:", f"--target={folder}/none",
             *(f"--platform={name}" for name in (*platforms, f"linux_{machine}")),
             "-r", str(ROOT / "requirements.txt")], check=False, capture_output=True, text=True)
        if done.returncode:
            raise CRNNError(f"pip finds no wheels for Python {python} on {machine}: {done.stderr.strip()[-500:]}")
        return read_report(json.loads(report.read_text()))


def read_report(report: Mapping) -> dict[str, tuple[str, str]]:
    """Version and SHA-256 by name, of a report of pip."""
    return {item["metadata"]["name"].lower().replace("_", "-"):
            (item["metadata"]["version"], item["download_info"]["archive_info"]["hashes"]["sha256"])
            for item in report["install"]}


def to_text(found: Iterable[Mapping[str, tuple[str, str]]]) -> str:
    """The lines of the file.

    Raises:
        CRNNError: a package has another version on another Python or machine.
    """
    versions: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    for packages in found:
        for name, (version, digest) in packages.items():
            if versions.setdefault(name, version) != version:
                raise CRNNError(f"{name} would be {versions[name]} on one Python or machine and {version} on another; "
                                "pin it in requirements.txt")
            hashes.setdefault(name, set()).add(digest)
    lines = ["# Written by tools/lock_requirements.py from requirements.txt, for Linux; do not edit.",
             "#   pip install --require-hashes -r requirements-hashes.txt"]
    for name in sorted(versions):
        lines.append(" \\\n".join([f"{name}=={versions[name]}",
                                  *(f"    --hash=sha256:{digest}" for digest in sorted(hashes[name]))]))
    return "\n".join(lines) + "\n"


def missing_pins(requirements: str, locked: str) -> list[str]:
    """The pins of requirements.txt that do not stand in the file with hashes."""
    def pins(text: str) -> dict[tuple[str, tuple[int | str, ...]], str]:
        lines = (line.partition("#")[0].partition(";")[0].rstrip(" \\") for line in text.splitlines())
        return {_key(line): line for line in lines if "==" in line}

    there = pins(locked)
    return [pin for key, pin in pins(requirements).items() if key not in there]


def _key(pin: str) -> tuple[str, tuple[int | str, ...]]:
    """Name and version, written in one way: 3.002 is 3.2, and 2.000 is 2."""
    name, _, version = pin.partition("==")
    parts = [int(part) if part.isdecimal() else part for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return name.lower().replace("_", "-"), tuple(parts)


def main(argv: list[str] | None = None) -> int:
    """Writes the file, or checks it."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("--check", action="store_true", help="only compare the two files")
    args = parser.parse_args(argv)
    target = ROOT / "requirements-hashes.txt"
    if not args.check:
        write_text(target, to_text(resolve(python, machine) for machine in MACHINES for python in PYTHONS))
    missing = missing_pins((ROOT / "requirements.txt").read_text(), target.read_text())
    for pin in missing:
        print(f"{target.name} lacks {pin}: run python tools/lock_requirements.py")
    return int(bool(missing))


if __name__ == "__main__":
    run_main(main)
