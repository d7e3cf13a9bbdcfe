"""A checksum inside an exported file, of everything else in it: a flipped bit is found before the file is used.

The file is written with zeros where the checksum belongs, and the checksum of that takes the place of the zeros.
"""
import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Pieces = Sequence[bytes | memoryview]
METHOD_NAME = "checksum_method"
"""A second entry, so that a file whose checksum entry is damaged is not taken for one that never had any."""


@dataclass(frozen=True)
class Seal:
    """How files of a kind carry their checksum.

    Attributes:
        mark: the bytes before the checksum.
        digits: hexadecimal digits of the checksum.
        method: its name in the file.
        compute: maps the bytes of a file, in pieces, to the digits.
    """

    mark: bytes
    digits: int
    method: str
    compute: Callable[[Pieces], str]

    @property
    def entries(self) -> dict[str, str]:
        """What to write into the file's metadata before :meth:`close`."""
        return {METHOD_NAME: self.method, "checksum": "0" * self.digits}

    def close(self, data: bytes) -> bytes:
        """Puts the checksum in its place."""
        start = data.index(self.mark) + len(self.mark)
        return data[:start] + self.compute([data]).encode() + data[start + self.digits:]

    def find_fault(self, path: str) -> str | None:
        """What is wrong with a file, in a sentence; '' where nothing is, None where it carries no checksum.

        Raises:
            OSError: it cannot be read.
        """
        with open(path, "rb") as file:
            if not file.seek(0, 2):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                fault = self._fault(data)
        return fault and f"{path} was altered since it was written ({fault}); take another copy, or export it again"

    def _fault(self, data: mmap.mmap) -> str | None:
        place = data.rfind(self.mark)  # an ONNX file has it at its end, behind megabytes of weights
        if place < 0:
            return "its checksum is gone" if data.find(METHOD_NAME.encode()) >= 0 else None
        start, end = place + len(self.mark), place + len(self.mark) + self.digits
        with memoryview(data) as view, view[:start] as before, view[end:] as behind:
            right = self.compute([before, b"0" * self.digits, behind]).encode() == data[start:end]
        return "" if right else "its checksum is another"


def _sha256(pieces: Pieces) -> str:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()


def file_crc32(path: str | os.PathLike) -> str:
    """The CRC-32 of a file, eight hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return _crc32(iter(lambda: file.read(1 << 20), b""))


def _crc32(pieces: Iterable[bytes | memoryview]) -> str:
    value = 0
    for piece in pieces:
        value = zlib.crc32(piece, value)
    return f"{value:08x}"


ONNX = Seal(b"\n\x08checksum\x12\x40", 64, "sha256", _sha256)
"""In the metadata of an ONNX file: a protocol buffer with the key, its length before it, and the value."""
JSON = Seal(b'"checksum": "', 8, "crc32", _crc32)
"""In the JSON file beside a MINDIR file; a method that a few lines of C++ can compute."""
