"""The options: read from default_config.yaml with their help texts and the values they accept."""
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from src.common.errors import ConfigError

# libyaml's, where PyYAML has it: a tenth of a second less for every program.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Value = bool | int | float | str

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
_KIND_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
_RANGE = re.compile(
    r"(?:at least (?P<least>\S+)|above (?P<above>\S+)|(?P<low>\S+) to (?P<high>\S+))"
    r"(?:, or (?P<words>\w+(?: or \w+)*))?"
)


@dataclass(frozen=True)
class Entry:
    """One ``key: value`` line of a YAML file, with the value as it was written."""

    key: str
    text: str
    line: int  # counted from 1
    is_scalar: bool = True


@dataclass(frozen=True)
class Option:
    """One option: its default, its help text and the values it accepts."""

    name: str
    default: Value
    group: str
    help: str
    kind: type
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    low_excluded: bool = False
    words: tuple[str, ...] = ()  # accepted in place of a number, such as "dynamic"

    def limits(self) -> str:
        """The accepted range as text, empty when there is none: ``'at least 1'``."""
        if self.low_excluded:
            text = f"above {self.low:g}"
        elif self.high < math.inf:
            text = f"{self.low:.10g} to {self.high:.10g}"
        else:
            text = f"at least {self.low:g}" if self.low > -math.inf else ""
        return f"{text}, or {' or '.join(self.words)}" if self.words else text

    def expected(self) -> str:
        """What a value has to be, as it stands in an error message: ``'a whole number, at least 1'``."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return ", ".join(filter(None, (_KIND_WORDS[self.kind], self.limits())))

    def convert(self, text: str) -> Value:
        """Turns a value as it was written into one of the option's kind.

        Raises:
            ValueError: the text is not an accepted value; the message says what is expected.
        """
        if self.choices:
            for choice in self.choices:
                if text.strip().lower() == choice.lower():
                    return choice
            raise ValueError(f"expected {self.expected()}, got {text!r}")
        if self.kind is str:
            return text
        plain = text.strip().lower()
        if plain in self.words:
            return plain
        if self.kind is bool and plain in TRUE + FALSE:
            return plain in TRUE
        if self.kind is not bool:
            try:
                value = self.kind(plain)
                finite = math.isfinite(value)
            except (ValueError, OverflowError):
                finite = False
            if finite and (value > self.low if self.low_excluded else value >= self.low) and value <= self.high:
                return value
        raise ValueError(f"expected {self.expected()}, got {text!r}")


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of an "unknown key" message: ``'; did you mean batch_size?'``, or where to look the keys up."""
    plain = name.lower().replace("-", "_")
    match = get_close_matches(plain, list(names), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else "; --help lists all keys"


def read_text(path: str | os.PathLike) -> str:
    """The text of a file.

    Raises:
        ConfigError: there is no such file, it cannot be read or is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: the configuration file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a YAML file: byte {error.start} is not UTF-8 text") from error


def read_yaml(path: str | os.PathLike) -> list[Entry]:
    """The keys of a YAML file, in order and with their lines.

    The model zoo's files had three documents: values, help texts, choices. Help texts and choices live in
    default_config.yaml here, so that only the first document counts.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is not a list of ``key: value`` with each key once.
    """
    try:
        documents = list(yaml.compose_all(read_text(path), Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}"
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{place}: not valid YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if len(documents) > 3:
        raise ConfigError(f"{path}: holds {len(documents)} YAML documents; at most 3 make sense: values, help, choices")
    if not documents or (isinstance(documents[0], yaml.ScalarNode) and documents[0].tag.endswith(":null")):
        return []
    if not isinstance(documents[0], yaml.MappingNode):
        line = documents[0].start_mark.line + 1
        raise ConfigError(f"{path}, line {line}: expected lines of the form `key: value`")
    entries: dict[str, Entry] = {}
    for key_node, value_node in documents[0].value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key, str):
            raise ConfigError(f"{path}, line {line}: expected a line of the form `key: value`")
        if key in entries:
            raise ConfigError(f"{path}, line {line}: {key} stands there twice, first in line {entries[key].line}")
        if isinstance(value_node, yaml.ScalarNode):
            # The text as written, so that `007` or `1e-3` mean what they say; a bare or absent null is an empty text.
            entries[key] = Entry(key, "" if value_node.tag.endswith(":null") else value_node.value, line)
        else:
            kind = "a list" if isinstance(value_node, yaml.SequenceNode) else "a group of keys"
            entries[key] = Entry(key, kind, line, is_scalar=False)
    return list(entries.values())


def read_options(path: str | os.PathLike) -> dict[str, Option]:
    """Reads default_config.yaml: values as YAML, help texts and accepted values from the comment above each key.

    Raises:
        ConfigError: the file cannot be read, or a default does not keep its own rule.
    """
    lines = read_text(path).splitlines()
    resolver = yaml.SafeLoader("")
    options: dict[str, Option] = {}
    for entry in read_yaml(path):
        if not entry.is_scalar:
            raise ConfigError(f"{path}, line {entry.line}: {entry.key}: expected a plain value, got {entry.text}")
        group, help_lines, rules = _comment_above(lines, entry.line)
        quoted = lines[entry.line - 1].partition(":")[2].strip()[:1] in ("'", '"')
        tag = "str" if quoted else resolver.resolve(yaml.ScalarNode, entry.text, (True, False)).rpartition(":")[2]
        kind = {"bool": bool, "int": int, "float": float}.get(tag, str)
        try:
            fields = _read_rules(rules)
            if entry.text in fields.get("words", ()):  # one of the words that stand for a number
                kind = float
            option = Option(entry.key, "", group, " ".join(help_lines), kind, **fields)
            default = option.convert(entry.text)
        except ValueError as error:
            raise ConfigError(f"{path}, line {entry.line}: {entry.key}: {error}") from error
        options[entry.key] = Option(**{**option.__dict__, "default": default})
    return options


def _comment_above(lines: list[str], line: int) -> tuple[str, list[str], dict[str, str]]:
    """The heading a key stands under, the text of the comment above it and its rules by name."""
    help_lines: list[str] = []
    rules: dict[str, str] = {}
    index = line - 2
    while index >= 0 and lines[index].startswith("# "):
        text = lines[index][2:].strip()
        name, found, rest = text.partition(": ")
        if found and name in ("Choices", "Range"):
            rules[name] = rest
        else:
            help_lines.insert(0, text)
        index -= 1
    headings = (match for text in reversed(lines[:line]) if (match := re.fullmatch(r"# ==== (.+) ====", text)))
    heading = next(headings, None)
    return heading.group(1) if heading else "Options", help_lines, rules


def _read_rules(rules: dict[str, str]) -> dict:
    """The fields of :class:`Option` that ``Choices:`` and ``Range:`` lines stand for."""
    fields: dict = {}
    if "Choices" in rules:
        fields["choices"] = tuple(rules["Choices"].split(", "))
    if "Range" in rules:
        match = _RANGE.fullmatch(rules["Range"])
        if match is None:
            raise ValueError(f"cannot read the rule `Range: {rules['Range']}` above it")
        low = match["least"] or match["above"] or match["low"]
        fields.update(low=float(low), low_excluded=match["above"] is not None,
                      words=tuple(match["words"].split(" or ")) if match["words"] else ())
        if match["high"]:
            fields["high"] = float(match["high"])
    return fields
