"""Numbers that others published, to stand beside ours; each with its source."""
from dataclasses import dataclass
from pathlib import Path

import yaml

from src.common.errors import DataError
from src.report.benchmarks import AVERAGES, BY_KEY, LEXICON_TITLES

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "published.yaml"
_NEEDED = ("name", "training_data", "source")


@dataclass(frozen=True)
class Published:
    """One published row.

    Attributes:
        name: who or what.
        training_data: what it was trained on.
        source: where the numbers stand.
        numbers: 'IC13_857' or 'IIIT5K/50' -> word accuracy in per cent.
        averages: key of an average -> per cent, as published.
        note: what a reader should know.
    """

    name: str
    training_data: str
    source: str
    numbers: dict[str, float]
    averages: dict[str, float]
    note: str = ""


def read_published(path: str | Path = FILE) -> list[Published]:
    """Reads the file of published numbers.

    Raises:
        DataError: it is missing, not YAML, or has an entry without a source or with an unknown key.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: the published numbers cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected a list of entries with {', '.join(_NEEDED)} and numbers")
    columns = {key if name == "none" else f"{key}/{name}" for key in BY_KEY for name in LEXICON_TITLES}
    rows = []
    for entry in entries:
        for key in _NEEDED:
            if not entry.get(key):
                raise DataError(f"{path}: the entry {entry.get('name', '?')!r} lacks {key}")
            if not isinstance(entry[key], str):
                raise DataError(f"{path}: the entry {entry.get('name', '?')!r}: {key} must be text")
        numbers, averages = entry.get("numbers") or {}, entry.get("averages") or {}
        for part in (numbers, averages):
            if not isinstance(part, dict) or not all(type(value) in (int, float) for value in part.values()):
                raise DataError(f"{path}: the entry {entry['name']!r}: expected columns with numbers, got "
                                f"{str(part)[:80]}")
        unknown = [*(numbers.keys() - columns), *(averages.keys() - {rule.key for rule in AVERAGES})]
        if unknown:
            raise DataError(f"{path}: the entry {entry['name']!r} has the unknown column {unknown[0]}")
        rows.append(Published(entry["name"], entry["training_data"], entry["source"], numbers, averages,
                              entry.get("note", "")))
    return rows
