"""The command line: `--key=value`, `--key value`, `--config_path`, and the text of `--help`."""
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from src.common.errors import ConfigError
from src.common.options import FALSE, TRUE, Option, nearest

FILE_KEYS = ("config_path", "_config_path")  # ModelArts passes the second form
_KIND_NAMES = {bool: "True|False", int: "INTEGER", float: "NUMBER", str: "TEXT"}
_HELP_COLUMN = 32


@dataclass
class CommandLine:
    """What the words after a program's name say."""

    files: list[str] = field(default_factory=list)  # of --config_path, in order
    values: list[tuple[str, str]] = field(default_factory=list)  # key and text, in order
    arguments: list[str] = field(default_factory=list)  # words that belong to no key, such as image files
    help: bool = False


def parse(
    argv: Sequence[str], options: Mapping[str, Option], extra_keys: Sequence[str] = (), positional: str = ""
) -> CommandLine:
    """Takes a command line apart; values are not checked here.

    Args:
        argv: the words after the program's name.
        options: the known options by name.
        extra_keys: further keys to accept.
        positional: what words outside of keys stand for, such as ``IMAGE``; empty when there are none.

    Raises:
        ConfigError: a key is unknown or lacks its value, or a word belongs to no key.
    """
    result = CommandLine()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help"):
            return CommandLine(help=True)
        if word == "--":
            result.arguments += words
            break
        if not word.startswith("--"):
            result.arguments.append(word)
            continue
        key, has_value, text = word[2:].partition("=")
        if key not in options and key not in FILE_KEYS and key not in extra_keys:
            shown = key if key.isprintable() else ascii(key)
            raise ConfigError(f"command line: unknown key {shown}{nearest(key, [*options, FILE_KEYS[0]])}")
        if not has_value:
            is_switch = key in options and options[key].kind is bool
            # Where words may belong to no key, as in `--find_words photo.jpg`, a switch takes True or False alone.
            if words and not words[0].startswith("--") and not (
                    is_switch and positional and words[0].lower() not in (*TRUE, *FALSE)):
                text = words.pop(0)
            elif is_switch:
                text = "True"
            else:
                raise ConfigError(f"command line: --{key} lacks its value; write --{key}=VALUE")
        if key in FILE_KEYS:
            result.files += _split_files(text)
        else:
            result.values.append((key, text))
    if result.arguments and not positional:
        raise ConfigError(f"command line: {result.arguments[0]!r} belongs to no key; write --key=value")
    return result


def _split_files(text: str) -> list[str]:
    """The files of one ``--config_path``; a comma separates them unless it is part of a file's name."""
    files = [text] if os.path.exists(text) else text.split(",")
    if not all(files):
        raise ConfigError(f"command line: --config_path={text} holds an empty file name")
    return files


def help_text(options: Mapping[str, Option], description: str, positional: str = "") -> str:
    """The text of ``--help``: all options in their groups, with default and accepted values."""
    width = max(60, min(120, shutil.get_terminal_size((110, 24)).columns))
    usage = f"usage: {os.path.basename(sys.argv[0])} [--key=value ...]"
    lines = [f"{usage} {positional}" if positional else usage, ""]
    if description:
        lines += [*textwrap.wrap(description, width), ""]
    lines += ["Files:"]
    lines += _option_lines(
        "--config_path FILE",
        "YAML file with the keys that differ from default_config.yaml. May be given several times, or with commas: "
        "later files win, and the command line wins over all.",
        width,
    )
    group = ""
    for option in options.values():
        if option.group != group:
            group = option.group
            lines += ["", f"{group}:"]
        limits = f"Choices: {', '.join(option.choices)}." if option.choices else option.limits()
        if limits and not option.choices:
            limits = f"Range: {limits}."
        default = f"Default: {option.default if option.default != '' else 'empty'}."
        text = " ".join(filter(None, (option.help, limits, default)))
        lines += _option_lines(f"--{option.name} {_KIND_NAMES[option.kind]}", text, width)
    return "\n".join(lines) + "\n"


def _option_lines(head: str, text: str, width: int) -> list[str]:
    """One option of the help text, its explanation in the second column."""
    body = textwrap.wrap(text, width - _HELP_COLUMN, break_on_hyphens=False)
    head = f"  {head}"
    if len(head) + 2 > _HELP_COLUMN:
        return [head] + [" " * _HELP_COLUMN + line for line in body]
    return [head.ljust(_HELP_COLUMN) + body[0]] + [" " * _HELP_COLUMN + line for line in body[1:]]
