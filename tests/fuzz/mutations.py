"""Damage to files: from a flipped bit to numbers that no file should hold."""
import random
from collections.abc import Sequence

_NUMBERS = (b"0", b"-1", b"1e308", b"nan", b"inf", b"-0.0", b"9" * 400, b"9" * 5000, b"2147483648", b"0x10", b"1_0",
            "٣".encode(), b"")
_TEXTS = (b"\0", b"\r", b"\n", b"\t", b",", b'"', b"'", b"[", b"{", b"]", b"}", b"&x;", b"<!DOCTYPE x>", b"..",
          b"/etc/", b"\\", b"\xff", b"\xef\xbb\xbf", "\u2028".encode(), b"\xed\xa0\x80", b"\n---\n", b"*a", b"&a ",
          b"!!python/object/apply:os.getcwd []", b"null", b"%TAG ! x:", b"--", b"=", b"[" * 2000, b'{"a":' * 2000,
          b"- " * 500)
_WHOLE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000, 1 << 30)


def mutate(samples: Sequence[bytes], rng: random.Random) -> bytes:
    """A damaged copy of one of some files."""
    data = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_WAYS)(data, samples, rng)
    return bytes(data)


def _flip(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _head(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    """A byte among the first, where sizes and kinds stand."""
    if data:
        data[rng.randrange(min(len(data), 64))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _cut(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1):]


def _remove(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start:start + rng.choice((1, 2, 8, 64, 1024))]


def _insert(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.choice((rng.randbytes(rng.randrange(1, 40)), rng.choice(_TEXTS), rng.choice(_NUMBERS)))


def _number(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    """A number of 1 to 8 bytes, little or big end first."""
    size = rng.choice((1, 2, 4, 8))
    if len(data) >= size:
        start = rng.randrange(len(data) - size + 1)
        start -= start % size if rng.random() < 0.7 else 0
        data[start:start + size] = (rng.choice(_WHOLE) % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))


def _digits(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    """A written number becomes another."""
    places = [i for i, byte in enumerate(data) if 48 <= byte < 58]
    if places:
        start = rng.choice(places)
        end = start
        while end < len(data) and 48 <= data[end] < 58:
            end += 1
        data[start:end] = rng.choice(_NUMBERS)


def _mix(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    """A piece of another file."""
    other = rng.choice(samples)
    start, place = rng.randrange(len(other) + 1), rng.randrange(len(data) + 1)
    piece = other[start:start + rng.choice((4, 16, 256, 5000))]
    data[place:place + rng.choice((0, len(piece)))] = piece


def _repeat(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    """A piece of it many times."""
    start = rng.randrange(len(data) + 1)
    piece = bytes(data[start:start + rng.choice((1, 3, 20))])
    data[start:start] = piece * rng.choice((2, 50, 5000))


def _fill(data: bytearray, samples: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((2, 16, 512, 4096)))
    data[start:end] = bytes([rng.choice((0, 255, 32, rng.randrange(256)))]) * (end - start)


_WAYS = (_flip, _flip, _head, _cut, _remove, _insert, _number, _number, _digits, _mix, _repeat, _fill)
