"""The protocol buffer that a MindSpore checkpoint is, looked through before MindSpore reads it.

MindSpore copies the bytes of a tensor by the shape that stands beside them. Where the two do not agree it writes past
the end of its memory, and the process ends some time later.

    Checkpoint { repeated Value value = 1 }    Value { string tag = 1; TensorProto tensor = 2 }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }
"""
import math
from collections.abc import Iterator
from itertools import groupby

_SIZES = {"Int8": 1, "UInt8": 1, "Bool": 1, "Int16": 2, "UInt16": 2, "Float16": 2, "BFloat16": 2, "Int32": 4,
          "UInt32": 4, "Float32": 4, "Int64": 8, "UInt64": 8, "Float64": 8}
_NUMBER, _BYTES = 0, 2  # wire types
_CRC = b"crc_num"  # MindSpore's crc_check appends it and ten bytes


def check_structure(data: bytes) -> None:
    """Checks that every tensor has as many bytes as its shape says.

    Args:
        data: the whole file.

    Raises:
        ValueError: it is no such protocol buffer, is cut off, holds what no CRNN has, or shape and bytes do not agree.
    """
    view = memoryview(data)
    if data[-17:-10] == _CRC:
        view = view[:-17]
    entries = [_entry(_bytes_of(value)) for _, value in _fields(view, {1})]
    for name, parts in groupby(entries, key=lambda entry: entry[0]):
        several = list(parts)  # a large tensor has its bytes in several entries
        _, kind, shape, _ = several[-1]
        held = sum(size for *_, size in several)
        if kind == "str":
            fits = held % 4 == 0
        else:
            fits = kind in _SIZES and held == _SIZES[kind] * (1 if shape == [0] else math.prod(shape))
        if not fits:
            raise ValueError(f"{name!r} has {held} bytes, which is not a {kind} of shape {shape}")


def _entry(view: memoryview) -> tuple[bytes, str, list[int], int]:
    """Name, type, shape and number of bytes of one entry."""
    value = {number: _bytes_of(part) for number, part in _fields(view, {1, 2})}
    if value.keys() != {1, 2}:
        raise ValueError("an entry without a name or a tensor")
    kind, shape, size = "", [], 0
    for number, part in _fields(value[2], {1, 2, 3}):
        if number == 1:
            shape += [part] if isinstance(part, int) else list(_numbers(part))
        elif number == 2:
            kind = bytes(_bytes_of(part)).decode()
        else:
            size = len(_bytes_of(part))
    return bytes(value[1]), kind, shape, size


def _fields(view: memoryview, known: set[int]) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of the fields of a message."""
    place = 0
    while place < len(view):
        key, place = _number(view, place)
        if key >> 3 not in known or key & 7 not in (_NUMBER, _BYTES):
            raise ValueError(f"a field {key >> 3} of wire type {key & 7}")
        value, place = _number(view, place)
        if key & 7 == _NUMBER:
            yield key >> 3, value
            continue
        if value > len(view) - place:
            raise ValueError("it is cut off")
        yield key >> 3, view[place:place + value]
        place += value


def _numbers(view: memoryview) -> Iterator[int]:
    place = 0
    while place < len(view):
        value, place = _number(view, place)
        yield value


def _number(view: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place behind it; 64 bits at most."""
    value = 0
    for shift in range(0, 70, 7):
        if place == len(view):
            raise ValueError("it is cut off")
        byte = view[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 63:  # negative, or too large for anything here
                break
            return value, place
    raise ValueError("a number that is too large")


def _bytes_of(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value
