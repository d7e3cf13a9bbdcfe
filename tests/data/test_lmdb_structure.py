"""The look through an LMDB file before the lmdb library maps it."""
import ctypes
import mmap
import os
import random
import struct
import time

import lmdb
import numpy as np
import pytest

import src.data.lmdb_source
from src.common.errors import DataError
from src.data import lmdb_structure
from src.data.lmdb_source import Database, LmdbSource
from src.data.lmdb_structure import LmdbFileError, check_structure

PAGE = 4096


def write(folder, count: int, size: int, rounds: int = 1):
    """A database of images and labels; later rounds replace and delete."""
    folder.mkdir()
    environment = lmdb.open(str(folder), map_size=1 << 25, max_dbs=2)
    for number in range(rounds):
        with environment.begin(write=True) as transaction:
            for i in range(1, count + 1):
                transaction.put(b"image-%09d" % i, bytes(size + number))
                transaction.put(b"label-%09d" % i, b"w%d" % (i % 9))
            transaction.put(b"num-samples", b"%d" % count)
            transaction.put(b"zz", b"") and number and transaction.delete(b"zz")
    environment.close()
    return folder / "data.mdb"


@pytest.mark.parametrize("count, size, rounds", [(0, 0, 1), (1, 5, 1), (5, 30, 5), (400, 1500, 3), (60, 9000, 2),
                                                 (3000, 3, 2)])
@pytest.mark.parametrize("with_leaves", [True, False])
def test_sound_files(tmp_path, monkeypatch, count, size, rounds, with_leaves):
    monkeypatch.setattr(lmdb_structure, "LEAVES_UP_TO", 1 << 26 if with_leaves else 0)
    path = write(tmp_path / "d", count, size, rounds)
    check_structure(path)
    if count:
        source = LmdbSource(str(path.parent))
        assert len(source) == count and source.read(count - 1) == bytes(size + rounds - 1)
        source.close()


def test_an_empty_one_and_one_with_named_databases(tmp_path):
    environment = lmdb.open(str(tmp_path / "empty"), map_size=1 << 20)
    environment.close()
    check_structure(tmp_path / "empty" / "data.mdb")
    environment = lmdb.open(str(tmp_path / "named"), map_size=1 << 20, max_dbs=2)
    inner = environment.open_db(b"inner")
    with environment.begin(write=True) as transaction:
        transaction.put(b"a", b"b", db=inner)
    environment.close()
    check_structure(tmp_path / "named" / "data.mdb")


def root_of(data: bytes) -> tuple[int, int]:
    """Meta page in use and the root of its tree, read here by the layout's numbers."""
    meta = max((0, PAGE), key=lambda start: struct.unpack_from("<Q", data, start + 144)[0])
    return meta, struct.unpack_from("<Q", data, meta + 128)[0]


@pytest.mark.parametrize("change", [
    "magic", "version", "page size", "flags", "root", "root of itself", "number", "kind", "lower", "upper", "offset",
    "odd offset", "key", "value", "big", "duplicates"])
def test_lmdb_gets_no_damaged_file(tmp_path, monkeypatch, change):
    path = write(tmp_path / "d", 30, 6000)
    data = bytearray(path.read_bytes())
    meta, root = root_of(data)
    at = PAGE * root
    kind, lower = struct.unpack_from("<2xH", data, at + 8)[0], struct.unpack_from("<H", data, at + 12)[0]
    assert kind == 2 and lower > 100, "the root of this one is a leaf"
    node = at + struct.unpack_from("<H", data, at + 16)[0]
    where, form, value = {
        "magic": (meta + 16, "<I", 1), "version": (meta + 20, "<I", 9), "page size": (meta + 40, "<I", 0),
        "flags": (meta + 92, "<H", 4), "root": (meta + 128, "<Q", 10**6), "root of itself": (meta + 128, "<Q", 1),
        "number": (at, "<Q", root + 1), "kind": (at + 10, "<H", 4), "lower": (at + 12, "<H", 5000),
        "upper": (at + 14, "<H", 5000), "offset": (at + 16, "<H", 4094), "odd offset": (at + 16, "<H", 4001),
        "key": (node + 6, "<H", 512), "value": (node, "<H", 65535), "big": (node + 8 + 15, "<Q", 10**9),
        "duplicates": (node + 4, "<H", 4)}[change]
    if change == "value":  # of the first node whose value lies in the page
        node = next(at + place for place in struct.unpack_from(f"<{(lower - 16) // 2}H", data, at + 16)
                    if not struct.unpack_from("<H", data, at + place + 4)[0])
        where = node
    struct.pack_into(form, data, where, value)
    path.write_bytes(data)
    with pytest.raises(LmdbFileError):
        check_structure(path)
    monkeypatch.setattr(src.data.lmdb_source.lmdb, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(DataError, match="data.mdb is no LMDB file, or a broken one"):
        Database(str(path.parent)).environment()


def verdict(path) -> str | None:
    try:
        check_structure(path)
    except LmdbFileError as error:
        return str(error)
    return None


@pytest.mark.parametrize("size", [300, 1500, 6000])
def test_few_nodes_are_judged_as_many(tmp_path, monkeypatch, size):
    """Leaves of a few nodes are checked in plain Python, others by NumPy: the same files must be refused."""
    path = write(tmp_path / "d", 12, size)
    sound, rng = path.read_bytes(), random.Random(size)
    pages = list(leaves_of(sound))
    refused = 0
    for _ in range(1500):
        data = bytearray(sound)
        at = PAGE * rng.choice(pages)
        lower = struct.unpack_from("<H", data, at + 12)[0]
        node = at + rng.choice(struct.unpack_from(f"<{(lower - 16) // 2}H", data, at + 16))
        # Somewhere in the head, the table, or one of the nodes with the page that its value begins at.
        place = rng.choice([rng.randrange(at, at + lower), rng.randrange(node, min(node + 31, at + PAGE))])
        data[place] = rng.choice([0, 1, 2, 7, 255, rng.randrange(256), data[place] ^ 1 << rng.randrange(8)])
        path.write_bytes(data)
        found = []
        for few in (0, 1000):
            monkeypatch.setattr(lmdb_structure, "_FEW", few)
            found.append(verdict(path))
        assert (found[0] is None) == (found[1] is None), (place, data[place], found)
        refused += found[0] is not None
    assert 300 < refused < 1450


def test_a_branch_that_leads_to_itself(tmp_path):
    path = write(tmp_path / "d", 400, 10)
    data = bytearray(path.read_bytes())
    _, root = root_of(data)
    assert struct.unpack_from("<H", data, PAGE * root + 10)[0] == 1, "the root of this one is a branch"
    node = PAGE * root + struct.unpack_from("<H", data, PAGE * root + 18)[0]
    struct.pack_into("<I", data, node, root)
    path.write_bytes(data)
    with pytest.raises(LmdbFileError):
        check_structure(path)


def leaves_of(data: bytes) -> dict[int, list[bytes]]:
    """Every leaf of the tree and its keys, read here by the layout's numbers."""
    found, waiting = {}, [root_of(data)[1]]
    while waiting:
        at = PAGE * waiting.pop()
        kind, lower = struct.unpack_from("<HH", data, at + 10)
        nodes = [at + place for place in struct.unpack_from(f"<{(lower - 16) // 2}H", data, at + 16)]
        if kind == 1:
            waiting += [struct.unpack_from("<I", data, node)[0] for node in nodes]
        else:
            lengths = [struct.unpack_from("<H", data, node + 6)[0] for node in nodes]
            found[at // PAGE] = [data[node + 8:node + 8 + length] for node, length in zip(nodes, lengths, strict=True)]
    return found


def test_a_damaged_leaf_of_a_large_file_is_noticed_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_structure, "LEAVES_UP_TO", 0)
    path = write(tmp_path / "d", 3000, 40)
    environment = lmdb.open(str(tmp_path / "d"), map_size=1 << 25)
    with environment.begin(write=True) as transaction:
        for i in range(300):
            transaction.put(b"lexicon-1k-%09d" % i, b"one two")  # longer keys
    environment.close()
    data = path.read_bytes()
    leaves = leaves_of(data)
    pages = sorted(leaves, key=lambda page: leaves[page][0])
    assert len(pages) > 50
    for page in (pages[0], pages[1], pages[len(pages) // 3], pages[-1]):
        damaged = bytearray(data)
        struct.pack_into("<H", damaged, PAGE * page + 16, 4094)
        path.write_bytes(damaged)
        database = Database(str(tmp_path / "d"))
        for other in pages:
            for key in (leaves[other][0], leaves[other][-1], leaves[other][0] + b"0"):
                if other == page:
                    with pytest.raises(DataError, match=f"d/data.mdb is a broken LMDB file: page {page} is damaged"):
                        database.get(key)
                else:
                    assert (database.get(key) is None) == (key not in leaves[other])
        database.close()
    path.write_bytes(data)
    with_labels = next(page for page in pages if b"label-000001500" in leaves[page])
    damaged = bytearray(data)
    struct.pack_into("<H", damaged, PAGE * with_labels + 10, 1)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=f"page {with_labels} is damaged"):
        LmdbSource(str(tmp_path / "d"))
    Database(str(tmp_path / "d")).close()


@pytest.mark.parametrize("key, message", [(b"zz", "keys that do not rise"), (b"image-\0", "a key with a zero byte")])
def test_branches_by_which_no_leaf_can_be_told(tmp_path, monkeypatch, key, message):
    monkeypatch.setattr(lmdb_structure, "LEAVES_UP_TO", 0)
    path = write(tmp_path / "d", 400, 10)
    data = bytearray(path.read_bytes())
    at = PAGE * root_of(data)[1]
    node = at + struct.unpack_from("<H", data, at + 18)[0]
    struct.pack_into("<H", data, node + 6, len(key))
    data[node + 8:node + 8 + len(key)] = key
    path.write_bytes(data)
    with pytest.raises(LmdbFileError, match=message):
        check_structure(path)


def resident(path, pages) -> list[bool]:
    """Which pages of a file are in memory, as the system says."""
    size = path.stat().st_size
    found = np.zeros(-(-size // PAGE), np.uint8)
    with open(path, "rb") as file:  # not touched, so it brings nothing in
        view = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    mincore = ctypes.CDLL(None).mincore
    assert not mincore(ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(size), ctypes.c_void_p(found.ctypes.data))
    return [bool(found[page] & 1) for page in pages]


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no such hints")
def test_labels_are_fetched_together(tmp_path, monkeypatch):
    """The leaves of a range come into memory before the first is looked at; the leaves of images stay on the disk."""
    monkeypatch.setattr(lmdb_structure, "LEAVES_UP_TO", 0)
    path = write(tmp_path / "d", 3000, 1200)
    leaves = leaves_of(path.read_bytes())
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    labels = [page for page, keys in leaves.items() if keys[0].startswith(b"label")]
    images = [page for page, keys in leaves.items() if keys[-1].startswith(b"image")]
    if any(resident(path, labels)):
        pytest.skip("this file system keeps its files in memory")
    found = check_structure(path)
    monkeypatch.setattr(lmdb_structure, "_check_page", lambda *_: None)  # looks at no page
    found.check(b"label-000000001", b"label-000003001")
    for _ in range(100):
        if all(resident(path, labels)):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the leaves were not fetched")
    assert sum(resident(path, images)) < len(images) / 2
