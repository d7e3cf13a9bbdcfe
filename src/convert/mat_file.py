"""The structure of a MATLAB 5 file, looked through before scipy reads it.

scipy trusts the numbers in such a file: a type that it does not know, or a count that does not fit, can end the
process. So whatever it gets has been checked here: kinds, sizes and counts of all elements, and that they lie inside
each other exactly. The format is MathWorks's, "MAT-File Format", level 5.
"""
import math
import mmap
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

_HEAD = 128
_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # of numbers, by type
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_TEXT = {1: 1, 2: 1, 4: 2, 17: 2, 18: 4}  # bytes of a character, by type; UTF-8 has no fixed number
_UTF8 = 16
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)
_COMPLEX = 0x0800
_MOST_NESTED, _MOST_DIMENSIONS = 16, 8
_MOST_BYTES = 1 << 30  # of one variable, unpacked


class MatFileError(ValueError):
    """The file is no MATLAB 5 file, is damaged, or holds what is not read here."""


@dataclass
class _Element:
    """One element: its type, and where its data are."""

    kind: int
    start: int
    end: int
    next: int


def sound_variables(path: str, wanted: Collection[str] = ()) -> list[str]:
    """The names of the variables that scipy can read: cells, structs, text and numbers, checked to the last element.

    Args:
        path: of the file.
        wanted: look at these alone; empty: at all.

    Raises:
        MatFileError: no MATLAB 5 file, or a variable that is looked at is damaged or needs more than 1 GiB.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if len(head) < _HEAD or order is None or struct.unpack(f"{order}H", head[124:126])[0] != 0x0100:
            raise MatFileError("it does not begin as one")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Walk(order).variables(data, wanted)


class _Walk:
    """Goes through the elements of a file.

    Args:
        order: of the bytes, as ``struct`` has it.
    """

    def __init__(self, order: str):
        self._two = struct.Struct(f"{order}II")
        self._order = order

    def variables(self, data: mmap.mmap, wanted: Collection[str]) -> list[str]:
        """Names of the variables that are sound and of a known class."""
        sound: dict[str, bool] = {}
        place = _HEAD
        while place < len(data):
            kind, size = self._tag(data, place, len(data))
            end = place + 8 + size
            if end > len(data):
                raise MatFileError("it is cut off")
            if kind == _COMPRESSED:
                name, is_read = self._variable(_unpacked(data[place + 8:end], 1 << 12, whole=False), 0, wanted, True)
                if is_read:
                    self._variable(_unpacked(data[place + 8:end], _MOST_BYTES, whole=True), 0, wanted)
            else:
                name, is_read = self._variable(data, place, wanted)
            if name in sound:
                raise MatFileError(f"two variables of the name {name!r}")
            sound[name] = is_read
            place = end
        return [name for name, is_read in sound.items() if is_read]

    def _variable(self, data: bytes | mmap.mmap, place: int, wanted: Collection[str],
                  only_head: bool = False) -> tuple[str, bool]:
        """The name of the variable at a place, and whether it is wanted and of a class that is read."""
        kind, size = self._tag(data, place, len(data))
        if kind != _MATRIX or not size:
            raise MatFileError(f"an element of type {kind} where a variable belongs")
        end = place + 8 + size
        number, _, _, name, _ = self._matrix_head(data, place + 8, end if only_head else min(end, len(data)))
        is_read = (not wanted or name in wanted) and number in (_CELL, _STRUCT, _CHAR, *_NUMERIC)
        if is_read and not only_head:
            self._matrix(data, place + 8, end, 0)
        return name, is_read

    def _matrix(self, data: bytes | mmap.mmap, place: int, end: int, depth: int) -> None:
        """Checks the inside of a matrix element."""
        if place == end:  # an empty one
            return
        if depth > _MOST_NESTED:
            raise MatFileError("it is nested too deep")
        number, flags, count, _, place = self._matrix_head(data, place, end)
        if number in _NUMERIC:
            for _ in range(2 if flags & _COMPLEX else 1):
                part = self._element(data, place, end)
                if part.kind not in _BYTES or part.end - part.start != count * _BYTES[part.kind]:
                    raise MatFileError(f"{part.end - part.start} bytes of type {part.kind} for {count} numbers")
                place = part.next
        elif number == _CHAR:
            part = self._element(data, place, end)
            size = part.end - part.start
            if part.kind != _UTF8 and (part.kind not in _TEXT or size != count * _TEXT[part.kind]):
                raise MatFileError(f"{size} bytes of type {part.kind} for {count} characters")
            place = part.next
        elif number in (_CELL, _STRUCT):
            fields = 1
            if number == _STRUCT:
                fields, place = self._field_count(data, place, end)
            for _ in range(count * fields):
                part = self._element(data, place, end)
                if part.kind != _MATRIX:
                    raise MatFileError(f"an element of type {part.kind} inside a cell or struct")
                self._matrix(data, part.start, part.end, depth + 1)
                place = part.next
        else:
            raise MatFileError(f"a matrix of class {number} inside another")
        if not 0 <= end - place < 8:
            raise MatFileError("an element that is longer than what it holds")

    def _matrix_head(self, data: bytes | mmap.mmap, place: int, end: int) -> tuple[int, int, int, str, int]:
        """Class, flags, number of elements, name, and the place behind them."""
        part = self._element(data, place, end)
        if part.kind != _UINT32 or part.end - part.start != 8:
            raise MatFileError("a matrix without its flags")
        flags = self._tag(data, part.start, part.end)[0]
        part = self._element(data, part.next, end)
        dimensions, rest = divmod(part.end - part.start, 4)
        if part.kind != _INT32 or rest or not 2 <= dimensions <= _MOST_DIMENSIONS:
            raise MatFileError("a matrix without its dimensions")
        sizes = struct.unpack(f"{self._order}{dimensions}i", _slice(data, part.start, part.end))
        if min(sizes) < 0 or any(size > _MOST_BYTES for size in sizes):
            raise MatFileError(f"a matrix of size {sizes}")
        part = self._element(data, part.next, end)
        if part.kind != _INT8:
            raise MatFileError("a matrix without its name")
        name = bytes(_slice(data, part.start, part.end)).decode("latin-1")
        count = math.prod(sizes)
        # Whatever they are, elements need room: so a count can ask for no more memory than the file has bytes.
        if count > end - part.next:
            raise MatFileError(f"a matrix of {count} elements in {end - part.next} bytes")
        return flags & 255, flags, count, name, part.next

    def _field_count(self, data: bytes | mmap.mmap, place: int, end: int) -> tuple[int, int]:
        """How many fields a struct has, and the place behind their names."""
        part = self._element(data, place, end)
        if part.kind != _INT32 or part.end - part.start != 4:
            raise MatFileError("a struct without the length of its names")
        length = struct.unpack(f"{self._order}i", _slice(data, part.start, part.end))[0]
        part = self._element(data, part.next, end)
        if part.kind != _INT8 or not 0 < length <= 64 or part.start == part.end or (part.end - part.start) % length:
            raise MatFileError("a struct without names")
        return (part.end - part.start) // length, part.next

    def _element(self, data: bytes | mmap.mmap, place: int, end: int) -> _Element:
        """The element at a place; it must end before ``end``."""
        kind, size = self._tag(data, place, end)
        if kind >> 16:  # short: its data stand in the second half
            size, kind = kind >> 16, kind & 0xFFFF
            if size > 4:
                raise MatFileError("a short element of more than four bytes")
            return _Element(kind, place + 4, place + 4 + size, place + 8)
        start = place + 8
        if size > end - start:
            raise MatFileError("an element that reaches beyond what it lies in")
        padding = 0 if kind == _MATRIX else -size % 8
        return _Element(kind, start, start + size, min(start + size + padding, end))

    def _tag(self, data: bytes | mmap.mmap, place: int, end: int) -> tuple[int, int]:
        """The eight bytes that an element begins with, as two numbers."""
        if end - place < 8:
            raise MatFileError("it is cut off")
        return self._two.unpack(_slice(data, place, place + 8))


def _slice(data: bytes | mmap.mmap, start: int, end: int) -> bytes:
    """Some bytes, never fewer than asked for."""
    found = data[start:end]
    if len(found) != end - start:
        raise MatFileError("it is cut off")
    return found


def _unpacked(data: bytes, most: int, whole: bool) -> bytes:
    """The content of a compressed element: its beginning, or all of it."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, most)
    except zlib.error as error:
        raise MatFileError(f"its compression is damaged ({error})") from error
    if whole and not stream.eof:
        raise MatFileError("it is cut off" if len(found) < most else f"a variable of more than {most >> 20} MiB")
    return found
