"""Compares the pinned packages with a copy of the public advisories of PyPI; needs no network."""
import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from packaging.version import Version

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, DataError, run_main

ROOT = Path(__file__).resolve().parent.parent
_DESCRIPTION = """For every package pinned in the requirements files: the known weaknesses of that version, from a
checkout of https://github.com/pypa/advisory-database (the data that pip-audit asks the index for). Exit code 1 where
there are some. The last line says how old the newest entry of the checkout is: what was found later is not in it."""


def pins(text: str) -> dict[str, str]:
    """Versions by name (small letters, "-" for "_" and ".") in the text of a requirements file."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version
            for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE)}


def is_affected(version: str, affected: dict) -> bool:
    """Whether a version is among those that an advisory (in the OSV format) lists or has between two events."""
    if version in affected.get("versions", ()):
        return True
    mine, inside = Version(version), False
    for span in affected.get("ranges", ()):
        if span["type"] != "ECOSYSTEM":  # commits
            continue
        for event in span["events"]:
            if "introduced" in event and mine >= Version(event["introduced"]):
                inside = True
            elif "fixed" in event and mine >= Version(event["fixed"]) or \
                    "last_affected" in event and mine > Version(event["last_affected"]):
                inside = False
        if inside:
            return True
    return False


def advisories(database: Path, name: str) -> Iterator[tuple[Path, dict]]:
    """The advisories of a package that have not been withdrawn, each with its file.

    Raises:
        DataError: one is no YAML, or no advisory.
    """
    for path in sorted((database / "vulns" / name).glob("*.yaml")):
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is no YAML file; update the checkout") from error
        if not isinstance(found, dict) or not isinstance(found.get("affected", []), list):
            raise DataError(f"{path} is no advisory (OSV format); update the checkout")
        if "withdrawn" not in found:
            yield path, found


def main(argv: list[str] | None = None) -> int:
    """Prints what is known; returns 1 where something is."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("database", type=Path, help="checkout of the advisories")
    parser.add_argument("--requirements", type=Path, nargs="+", default=sorted(ROOT.glob("requirements*.txt")),
                        metavar="FILE")
    options = parser.parse_args(argv)
    if not (options.database / "vulns").is_dir():
        raise ConfigError(f"{options.database} has no folder vulns; give a checkout of the advisory database")
    wanted = sorted({pin for path in options.requirements for pin in pins(path.read_text(encoding="utf-8")).items()})
    looked_at, count, newest = 0, 0, ""
    for name, version in wanted:
        for path, advisory in advisories(options.database, name):
            looked_at, newest = looked_at + 1, max(newest, str(advisory.get("modified", "")))
            try:
                affected = any(is_affected(version, part) for part in advisory.get("affected", [])
                               if re.sub(r"[-_.]+", "-", part["package"]["name"]).lower() == name)
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                raise DataError(f"{path} is no advisory (OSV format); update the checkout") from error
            if affected:
                count += 1
                words = " ".join(advisory.get("details", "").split())[:100]
                print(f"{name} {version}: {advisory['id']} ({', '.join(advisory.get('aliases', ()))}): {words}")
    print(f"{len(wanted)} pins, {looked_at} advisories of these packages, {count} of the pinned versions; the newest "
          f"entry looked at is of {newest[:10] or 'no date'}")
    return int(count > 0)


if __name__ == "__main__":
    run_main(main)
