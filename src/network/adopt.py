"""Lets the configuration take over what a file was made with."""
import os
import sys
from collections.abc import Mapping

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.data.preprocess import InputSpec
from src.model_utils.config import Config, configured
from src.network.description import FACTS


def adopt(config: Config, path: str, needed: Mapping[str, object], preferred: Mapping[str, object] | None = None,
          made: str = "trained", other: str = "checkpoint") -> None:
    """Sets options to what a file was made with.

    Args:
        config: the options, changed in place.
        path: of the file, for messages.
        needed: values by key that the file cannot be used without.
        preferred: values by key that the user may overrule; a note says so.
        made: how the file came to be, for messages.
        other: what to give instead, for messages.

    Raises:
        CheckpointError: the user asked for another value than one that is needed, or one cannot be.
    """
    preferred = preferred or {}
    for key, value in {**needed, **preferred}.items():
        current = getattr(config, key)
        if key == "label_dict":
            current = Charset.from_config(current).characters
        if current == value:
            continue
        if not config.is_given(key):
            _set(config, key, value, path)
        elif key in preferred:
            print(f"note: {path} was {made} with {key} {value}, now it is {current}", file=sys.stderr)
        else:
            raise CheckpointError(f"{path} was {made} with {key} {value!r}, but the {config.origin(key)} says "
                                  f"{getattr(config, key)!r}; leave {key} out, or give another {other}")


def _set(config: Config, key: str, value: object, path: str) -> None:
    """Sets one option to what a file says; CheckpointError where that cannot be its value."""
    try:
        if key == "label_dict" and isinstance(value, str):
            Charset(value)  # in the configuration it could be the path of a file, which a network's file cannot name
            if os.path.isfile(value):
                raise ConfigError(f"a file of the name {value!r} lies here, which the option would read; start the "
                                  "program in another folder")
        setattr(config, key, value)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its {key} cannot be used "
                              f"({str(error).removeprefix('program: ')}); make the file anew") from error


def check_facts(facts: Mapping[str, object], path: str) -> None:
    """Makes sure that the facts beside a network's weights can be used.

    Args:
        facts: by name; of those that are not told nothing is asked.
        path: the file, for messages.

    Raises:
        CheckpointError: one cannot be the value of its option.
    """
    config = configured()
    for name in (*FACTS, "temperature"):
        if name in facts:
            _set(config, name, facts[name], path)
    try:
        InputSpec.from_config(config)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def adopt_long_width(config: Config, value: object, path: str) -> None:
    """Sets the width of long images to a file's, unless the user gave one, 0 included, or an input it does not go with.

    Args:
        config: the options; it has taken over ``image_width`` and ``keep_ratio``.
        value: what the file says.
        path: the file, for messages.

    Raises:
        CheckpointError: it is no whole number, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"{path}: its long_width is {value!r}, but must be a whole number, 0 or more; make the "
                              "file anew")
    if not config.is_given("long_width") and not config.keep_ratio and value > config.image_width:
        _set(config, "long_width", value, path)
