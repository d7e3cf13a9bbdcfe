"""The configuration: default_config.yaml, files laid over it, and the command line on top."""
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from src.common.command_line import CommandLine, help_text, parse
from src.common.errors import ConfigError
from src.common.options import Entry, Option, Value, nearest, read_options, read_yaml
from src.network.description import FEATURES, HEIGHT, num_steps

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_CONFIG = ROOT / "default_config.yaml"

# Keys of the model zoo's files that are accepted without effect.
RETIRED_KEYS = {"model": "has no effect: whether upper and lower case differ follows from label_dict"}

# What ModelArts adds to the command line of every job by itself; ranks are told by its environment.
MODELARTS_KEYS = ("num_gpus", "init_method", "rank", "world_size")

_NEEDED = ("label_dict", "image_width", "image_height", "class_num", "blank", "num_step", "input_size")

# Changes what is read: a program that does not have it says so for a file's value as well.
_TURNS_IMAGES = "rotate_tall"

# Where a value comes from, when it is not the path of a file.
_DEFAULT = "default"
_DERIVED = "derived"
_PROGRAM = "program"
_COMMAND_LINE = "command line"
_CALL = "call"


class Config:
    """All options as attributes: ``config.batch_size``.

    Assigning checks the value as if it stood in a file, and keeps the derived keys (class_num, blank, num_step) right.
    An attribute that is no option is an error.

    Attributes:
        arguments: words of the command line that belong to no key (image files of predict.py).
        notes: remarks for the user, one line each.
        used_fallback: whether the overlay for a start without arguments was used.
    """

    arguments: tuple[str, ...]
    notes: tuple[str, ...]
    used_fallback: bool

    def __init__(self, options: Mapping[str, Option]):
        fields = self.__dict__  # past __setattr__, which knows options only
        fields["_options"] = dict(options)
        fields["_values"] = {name: option.default for name, option in options.items()}
        fields["_origins"] = dict.fromkeys(options, _DEFAULT)
        fields["arguments"] = fields["notes"] = ()
        fields["used_fallback"] = False

    def __getattr__(self, name: str) -> Any:  # a Value; which of its types an option has stands in the YAML file
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"the configuration has no key {name}{nearest(name, values)}")

    def __setattr__(self, name: str, value: Any) -> None:
        self._set(name, value, _PROGRAM)

    def give(self, name: str, value: Any) -> None:
        """Sets a key as the user's wish: no file of a network overrules it.

        Raises:
            AttributeError: there is no such key.
            ConfigError: the value is not accepted.
        """
        self._set(name, value, _CALL)

    def _set(self, name: str, value: Any, origin: str) -> None:
        if name not in self._values:
            raise AttributeError(f"the configuration has no key {name}{nearest(name, self._values)}")
        is_text = isinstance(value, str | os.PathLike | None)
        if self._options[name].kind is str and not is_text:
            raise ConfigError(f"{origin}: {name}: expected text, got {value!r}")
        text = "" if value is None else os.fspath(value) if is_text else str(value)
        self._overlay([Entry(name, text, 0)], origin)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Config) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def to_dict(self) -> dict[str, Value]:
        """All keys and values, in the order of default_config.yaml."""
        return dict(self._values)

    def origin(self, name: str) -> str:
        """Where a value comes from: ``default``, ``derived``, a file's path, ``command line`` or ``program``."""
        return self._origins[name]

    def is_given(self, name: str) -> bool:
        """Whether the user set a key, in a file or on the command line; what a program sets does not count."""
        return self._origins[name] not in (_DEFAULT, _DERIVED, _PROGRAM)

    def is_on_command_line(self, name: str) -> bool:
        """Whether the user set a key on the command line, or in Python by :meth:`give`; no file changes it then."""
        return self._origins[name] in (_COMMAND_LINE, _CALL)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a YAML file with what differs from the defaults; ``--config_path`` reads back an equal configuration.

        Derived keys follow from the others and are left out.
        """
        lines = ["# The configuration of a run, as far as it differs from default_config.yaml; use it again with "
                 "--config_path."]
        for group, names in self._groups():
            names = [name for name in names if self._values[name] != self._options[name].default
                     and self._origins[name] != _DERIVED]
            lines += ["", f"# ==== {group} ===="] if names else []
            for name in names:
                value = self._values[name]
                style = '"' if isinstance(value, str) else None
                text = yaml.safe_dump(value, default_style=style, width=sys.maxsize, allow_unicode=True)
                lines.append(f"{name}: {text.removesuffix('...' + chr(10)).strip()}")
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def describe(self, changed_only: bool = False) -> str:
        """The configuration in effect, grouped; what differs from the defaults has a star and says where it is from.

        Args:
            changed_only: leave out the keys that have their default value.
        """
        lines = ["Configuration (* differs from default_config.yaml)"]
        for group, names in self._groups():
            if changed_only:
                names = [name for name in names if self._values[name] != self._options[name].default]
            lines += [f"{group}:"] if names else []
            for name in names:
                value, default = self._values[name], self._options[name].default
                shown = repr(value) if isinstance(value, str) else str(value)
                if value == default:
                    lines.append(f"    {name}: {shown}")
                else:
                    lines.append(f"  * {name}: {shown}  ({self._origins[name]}; default {default!r})")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def _groups(self) -> Iterable[tuple[str, list[str]]]:
        groups: dict[str, list[str]] = {}
        for option in self._options.values():
            groups.setdefault(option.group, []).append(option.name)
        return groups.items()

    def _overlay(self, entries: Sequence[Entry], origin: str) -> None:
        """Lays one file or command line over what is there; nothing changes when a value is wrong."""
        values, origins, notes = dict(self._values), dict(self._origins), list(self.notes)
        places = {}
        for entry in entries:
            place = f"{origin}, line {entry.line}" if entry.line else origin
            if entry.key in RETIRED_KEYS:
                notes.append(f"{place}: {entry.key} {RETIRED_KEYS[entry.key]}")
                continue
            if entry.key not in values:
                raise ConfigError(f"{place}: unknown key {entry.key}{nearest(entry.key, values)}")
            option = self._options[entry.key]
            if not entry.is_scalar:
                raise ConfigError(f"{place}: {entry.key}: expected {option.expected()}, got {entry.text}")
            try:
                values[entry.key] = option.convert(entry.text)
            except ValueError as error:
                raise ConfigError(f"{place}: {entry.key}: {error}") from error
            origins[entry.key] = origin
            places[entry.key] = place
        _derive(values, origins, places)
        self.__dict__.update(_values=values, _origins=origins, notes=tuple(notes))


def configured(**values: Any) -> Config:
    """The configuration of somebody who uses a program's parts from Python: the defaults, and the keys that are given.

    Raises:
        AttributeError: there is no such key.
        ConfigError: a value is not accepted.
    """
    config = Config(read_options(DEFAULT_CONFIG))
    for name, value in values.items():
        config.give(name, value)
    return config


def _derive(values: dict[str, Any], origins: dict[str, str], places: Mapping[str, str]) -> None:
    """Sets the derived keys, in place.

    One that was set in this layer (it is in ``places``) must be right; one that was not simply follows.
    """
    from src.common.charset import Charset  # only here, so that --help stays quick

    if values["image_height"] != HEIGHT:
        place = places.get("image_height", "default_config.yaml")
        raise ConfigError(
            f"{place}: image_height must be {HEIGHT}, the only height of which the network's poolings leave one row"
        )
    try:
        charset = Charset.from_config(values["label_dict"])
    except ConfigError as error:
        raise ConfigError(f"{places.get('label_dict', 'default_config.yaml')}: {error}") from error
    rules = {
        "class_num": (charset.class_num, f"the {len(charset.characters)} characters of label_dict and the blank"),
        "blank": (charset.blank, "the class after the last character of label_dict"),
        "num_step": (num_steps(values["image_width"]), f"from image_width {values['image_width']}"),
        "input_size": (FEATURES, "fixed by the network"),
    }
    for name, (value, reason) in rules.items():
        if name in places and values[name] != value:
            raise ConfigError(f"{places[name]}: {name} must be {value} ({reason}), not {values[name]}")
        if values[name] != value:
            values[name], origins[name] = value, _DERIVED


def _leave_out_modelarts(line: CommandLine, options: Mapping[str, Option]) -> list[str]:
    """Takes what ModelArts adds to a job's command line out of it; notes for the user."""
    added = [key for key, _ in line.values if key in MODELARTS_KEYS]
    if added and dict(line.values).get("enable_modelarts", "").lower() != "true":
        raise ConfigError(f"command line: unknown key {added[0]}{nearest(added[0], options)}")
    line.values = [(key, text) for key, text in line.values if key not in MODELARTS_KEYS]
    return [f"{', '.join(added)} come from ModelArts and have no effect"] if added else []


def _name_others(line: CommandLine, unused: Sequence[str], refuse: bool) -> list[str]:
    """Names the options of other programs that a command line gives; notes for the user."""
    others = list(dict.fromkeys(key for key, _ in line.values if key in unused))
    if others and refuse:
        raise ConfigError(f"command line: {others[0]} has no effect in this program; leave it out (--help lists the "
                          "options it has)")
    return [f"command line: {', '.join(others)} {'has' if len(others) == 1 else 'have'} no effect in this program; "
            "--help lists the options it has"] if others else []


def load_config(
    argv: Sequence[str] | None = None,
    *,
    description: str = "",
    positional: str = "",
    uses: Sequence[str] = (),
    refuses_others: bool = False,
    fallback_overlay: str | os.PathLike | None = None,
    fallback_unless: Sequence[str] = ("train_dataset_path",),
) -> Config:
    """Builds the configuration of a program: defaults, then files, then the command line.

    ``--help`` prints the options and raises ``SystemExit(0)``. Notes for the user go to standard error.

    Args:
        argv: the words after the program's name; ``None`` takes those of the process.
        description: what the program does, for ``--help``.
        positional: what words outside of keys stand for, such as ``IMAGE|FOLDER ...``; empty when there are none.
            They end up in ``config.arguments``.
        uses: the groups and keys the program uses, in the order of its ``--help``. Another key on the command line is
            named in a note, because scripts made for the model zoo may give it; files may hold all keys, as they are
            shared by several programs. Empty: all.
        refuses_others: another key on the command line is an error.
        fallback_overlay: file to lay over the defaults (relative to the repository) for a start that says nothing
            about data: without ``--config_path`` and without a value for any key of ``fallback_unless``.
        fallback_unless: the keys that keep the fallback away.

    Raises:
        ConfigError: an unknown key, a value that is not accepted, a file that cannot be used.
    """
    options = read_options(DEFAULT_CONFIG)
    missing = [name for name in _NEEDED if name not in options]
    if missing:
        raise ConfigError(f"{DEFAULT_CONFIG}: key {missing[0]} is missing; put it back")
    line = parse(sys.argv[1:] if argv is None else argv, options, [*RETIRED_KEYS, *MODELARTS_KEYS], positional)
    notes = _leave_out_modelarts(line, options)
    used = {name: option for word in uses or {option.group: None for option in options.values()}
            for name, option in options.items() if word in (name, option.group)}
    if line.help:
        print(help_text(used, description, positional), end="", flush=True)
        raise SystemExit(0)
    notes += _name_others(line, [key for key in options if key not in used], refuses_others)
    config = Config(options)
    # The defaults themselves are a layer too: someone may have edited a derived key, or its source, right there.
    config._overlay(read_yaml(DEFAULT_CONFIG), os.path.relpath(DEFAULT_CONFIG))
    config.__dict__.update(_origins=dict.fromkeys(options, _DEFAULT), arguments=tuple(line.arguments))
    files = list(line.files)
    if fallback_overlay and not files and not any(text for key, text in line.values if key in fallback_unless):
        files = [os.path.relpath(ROOT / fallback_overlay)]
        notes.append(f"no {fallback_unless[0]} given: using the embedded synthetic words with {files[0]}")
        config.__dict__["used_fallback"] = True
    for file in files:
        config._overlay(read_yaml(file), str(file))
    config._overlay([Entry(key, text, 0) for key, text in line.values], _COMMAND_LINE)
    if config._values[_TURNS_IMAGES] and _TURNS_IMAGES not in used and not config.is_on_command_line(_TURNS_IMAGES):
        notes.append(f"{config.origin(_TURNS_IMAGES)}: {_TURNS_IMAGES} has no effect in this program; images are read "
                     "as they are")
    config.__dict__["notes"] = (*notes, *config.notes)
    for note in config.notes:
        print(f"note: {note}", file=sys.stderr)
    return config
