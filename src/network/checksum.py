"""Checksums of everything a checkpoint holds, kept in the file itself. They find a single flipped bit.

MindSpore's own files have none unless they are asked for, and with a flipped bit they load without a word.
"""
import hashlib
import json
from collections.abc import Mapping

import numpy as np

from src.common.files import parse_json

KEY = "checksums"
"""Entry of a checkpoint that holds them: JSON, a checksum by name."""
METHOD_KEY = "checksum_method"
"""A second entry, so that a file whose first one is damaged is not taken for one that never had any."""
METHOD = "blake2b, 16 bytes, of type, shape and content"


def checksum(value: np.ndarray | str) -> str:
    """The checksum of one entry, 32 hexadecimal digits."""
    if isinstance(value, str):
        kind, content = b"str", memoryview(value.encode("utf-8", "surrogateescape"))
    else:
        kind, content = f"{value.dtype} {value.shape}".encode(), np.ascontiguousarray(value).data
    state = hashlib.blake2b(digest_size=16)
    state.update(kind)
    state.update(content)
    return state.hexdigest()


def checksum_entries(content: Mapping[str, np.ndarray | str]) -> dict[str, str]:
    """The two entries to add to a checkpoint with this content."""
    whole = {**content, METHOD_KEY: METHOD}
    return {METHOD_KEY: METHOD, KEY: json.dumps({name: checksum(value) for name, value in whole.items()})}


def has_checksums(content: Mapping[str, np.ndarray | str]) -> bool:
    """Whether a file was written with checksums, even if it has lost them since."""
    return KEY in content or METHOD_KEY in content


def find_fault(content: Mapping[str, np.ndarray | str]) -> str:
    """What is wrong with a file that :func:`has_checksums`, in words; '' where nothing is."""
    try:
        expected = parse_json(str(content[KEY]))
    except (KeyError, ValueError):
        expected = None
    if not isinstance(expected, dict):
        return "its list of checksums is missing or damaged"
    there = set(content) - {KEY}
    if there != set(expected):
        return f"its entries are not those it was written with ({', '.join(sorted(there ^ set(expected))[:3])})"
    return next((f"{name} is not what was written" for name in sorted(there)
                 if checksum(content[name]) != expected[name]), "")
