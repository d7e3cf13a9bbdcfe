"""The pages of an LMDB file, looked through before the lmdb library maps them.

LMDB trusts its file: a page number or an offset that is wrong makes it read where nothing is, and the process ends. So
the meta page, all branch pages and, in files of up to ``LEAVES_UP_TO`` bytes, all leaf pages are checked here, as laid
out by LMDB 0.9 on 64-bit systems, little end first. The leaves of larger files are most of the file: each is checked
before LMDB first goes there (:class:`Leaves`).
"""
import mmap
import os
import struct
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

LEAVES_UP_TO = 1 << 26
_AT_ONCE = 1 << 17  # bytes: of a longer piece Linux may fetch the beginning alone
_CAN_ANNOUNCE = hasattr(mmap, "MADV_WILLNEED")  # not on Windows
_HEAD = 16  # bytes of a page before its table of nodes
_META = struct.Struct("<IIQQ")  # magic, version, address, size of the map; then two trees, last page, transaction
_TREE = struct.Struct("<IHHQQQQQ")  # page size, flags, depth, branch, leaf and overflow pages, entries, root
_TAIL = struct.Struct("<QQ")
_MAGIC, _VERSION, _NO_PAGE = 0xBEEFC0DE, 1, 2**64 - 1
_BRANCH, _LEAF = 1, 2
_BIG, _DUPLICATES = 1, 4
_NODE, _LONGEST_KEY, _DEEPEST = 8, 511, 32
_LEAF_NODE = struct.Struct("<IHH")  # size of the value, flags, size of the key
_FEW = 16  # nodes of a page, up to which plain Python is faster than NumPy


class LmdbFileError(ValueError):
    """The file is no LMDB file, is cut off, or holds what is not read here."""


@dataclass(frozen=True)
class _Meta:
    """What a meta page says."""

    page_size: int
    flags: int
    root: int
    last_page: int
    transaction: int


class Leaves:
    """The leaf pages of a large file; each is checked before a key in it is looked up for the first time.

    Args:
        data: the file.
        meta: what its meta page says.
        pages: ``(N,)`` numbers of the leaves, in the order of their keys.
        first: ``(N,)`` bytes: the keys from which on a key is in that leaf; the first is empty.
    """

    def __init__(self, data: mmap.mmap, meta: _Meta, pages: np.ndarray, first: np.ndarray):
        self._data, self._meta, self._pages, self._first = data, meta, pages, first
        self._checked = bytearray(len(pages))

    def check(self, key: bytes, last: bytes | None = None) -> None:
        """Checks the leaf in which LMDB looks for a key, or all that it passes from there to another and the next.

        Raises:
            LmdbFileError: one is damaged.
        """
        begin = bisect_right(self._first, key) - 1  # numpy's own would copy them all for a longer key
        end = begin + 1 if last is None else min(bisect_right(self._first, last) + 1, len(self._pages))
        if last is not None:
            _announce(self._data, self._meta, self._pages[begin:end])
        for place in range(begin, end):
            if not self._checked[place]:
                _check_page(self._data, self._meta, int(self._pages[place]), _LEAF)
                self._checked[place] = 1


def check_structure(path: str | os.PathLike) -> Leaves | None:
    """Checks the tree of the last transaction.

    Args:
        path: of data.mdb.

    Returns:
        For files of more than ``LEAVES_UP_TO`` bytes the leaves, which are still to be checked; else None.

    Raises:
        LmdbFileError: it cannot be read safely; the message says why.
        OSError: it cannot be opened.
    """
    size = os.path.getsize(path)
    if size < 2 * 512:
        raise LmdbFileError(f"it has {size} bytes")
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if _CAN_ANNOUNCE and size > LEAVES_UP_TO:
        # Or Linux reads megabytes around each of the first hundred pages.
        data.madvise(mmap.MADV_RANDOM)
    first = _meta(data, 0)
    second = _meta(data, first.page_size)
    meta = second if second.transaction > first.transaction else first
    wanted = (meta.last_page + 1) * meta.page_size
    if second.page_size != first.page_size or meta.flags:
        raise LmdbFileError("its meta pages contradict each other, or are those of another kind of database")
    if size < wanted:
        raise LmdbFileError(f"truncated: {size} bytes of {wanted}")
    return None if meta.root == _NO_PAGE else _check_tree(data, meta, size <= LEAVES_UP_TO)


def _meta(data: mmap.mmap, start: int) -> _Meta:
    place = start + _HEAD
    if len(data) < place + _META.size + 2 * _TREE.size + _TAIL.size:
        raise LmdbFileError("it is cut off")
    magic, version, _, _ = _META.unpack_from(data, place)
    free = _TREE.unpack_from(data, place + _META.size)
    main = _TREE.unpack_from(data, place + _META.size + _TREE.size)
    last, transaction = _TAIL.unpack_from(data, place + _META.size + 2 * _TREE.size)
    if magic != _MAGIC or version != _VERSION:
        raise LmdbFileError("its head is another one")
    if free[0] not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536) or last >= 1 << 48:
        raise LmdbFileError(f"pages of {free[0]} bytes, the last one {last}")
    return _Meta(free[0], main[1], main[7], last, transaction)


def _check_tree(data: mmap.mmap, meta: _Meta, with_leaves: bool) -> Leaves | None:
    """Goes through the tree level by level; leaves are all on the last one, and are returned if they are not checked.

    Without the leaves the keys of the branches are compared as well: only where they rise is it certain which leaf LMDB
    takes for a key.
    """
    level, seen = np.array([meta.root], np.uint64), 0
    keys = np.array([b""])
    for _ in range(_DEEPEST):
        if int(level.max()) > meta.last_page or int(level.min()) < 2:
            raise LmdbFileError("a page number beyond its end")
        seen += len(level)
        if len(np.unique(level)) != len(level) or seen > meta.last_page:
            raise LmdbFileError("a page that is used twice")
        kind = _head(data, meta, int(level[0]))[0]
        if kind == _BRANCH or with_leaves:
            _announce(data, meta, level)
        if kind == _LEAF and not with_leaves:
            return Leaves(data, meta, level, keys)
        below = [_check_page(data, meta, page, kind) for page in level.tolist()]
        if kind == _LEAF:
            return None
        if not with_leaves:
            # The first key of a branch is not used: its first child begins where the branch does.
            keys = np.concatenate([part for page, own in zip(level.tolist(), keys, strict=True)
                                   for part in ([own], _keys_of_branch(data, meta, page)[1:])])
            if (keys[1:] <= keys[:-1]).any():
                raise LmdbFileError("keys that do not rise")
        level = np.concatenate(below)
    raise LmdbFileError("it is nested too deep")


def _announce(data: mmap.mmap, meta: _Meta, pages: np.ndarray) -> None:
    """Has the system fetch pages from the disk, all at once and neighbours together, before they are looked at."""
    if not _CAN_ANNOUNCE or not len(pages):
        return
    pages = np.unique(pages.astype(np.int64))
    ends = np.flatnonzero(np.diff(pages, append=-2) != 1)
    begins = np.concatenate([[0], ends[:-1] + 1])
    for first, last in zip(pages[begins].tolist(), pages[ends].tolist(), strict=True):
        start, end = first * meta.page_size, (last + 1) * meta.page_size
        if end > len(data):  # a page number that is wrong: whoever looks at the page says so
            return
        for piece in range(start - start % mmap.PAGESIZE, end, _AT_ONCE):
            data.madvise(mmap.MADV_WILLNEED, piece, min(_AT_ONCE, end - piece))


def _head(data: mmap.mmap, meta: _Meta, page: int) -> tuple[int, int, int]:
    """Kind of a page, and the places where its table of nodes ends and its nodes begin."""
    number, _, kind, lower, upper = struct.unpack_from("<QHHHH", data, page * meta.page_size)
    if number != page or kind not in (_BRANCH, _LEAF) or lower % 2 or not _HEAD < lower <= upper <= meta.page_size:
        raise LmdbFileError(f"page {page} is damaged")
    return kind, lower, upper


def _keys_of_branch(data: mmap.mmap, meta: _Meta, page: int) -> np.ndarray:
    """The keys of a branch page that has been checked, ``(N,)`` bytes."""
    _, lower, _ = _head(data, meta, page)
    content = data[page * meta.page_size:(page + 1) * meta.page_size]
    found = []
    for node in np.frombuffer(content[_HEAD:lower], "<u2").tolist():
        key = content[node + _NODE:node + _NODE + int.from_bytes(content[node + 6:node + 8], "little")]
        if 0 in key:
            raise LmdbFileError(f"page {page} holds a key with a zero byte, which no key of an image or a label has")
        found.append(key)
    return np.array(found)


def _check_page(data: mmap.mmap, meta: _Meta, page: int, kind: int) -> np.ndarray:
    """Checks the nodes of a page; returns the pages that a branch leads to."""
    found, lower, upper = _head(data, meta, page)
    if found == kind == _LEAF and lower <= _HEAD + 2 * _FEW:
        _check_few(data, meta, page, lower, upper)
        return np.empty(0, np.uint64)
    content = np.frombuffer(data[page * meta.page_size:(page + 1) * meta.page_size], np.uint8)
    nodes = content[_HEAD:lower].view("<u2").astype(np.int64)
    if found != kind or (kind == _BRANCH and len(nodes) < 2) or nodes.min() < upper or \
            nodes.max() > meta.page_size - _NODE or (nodes % 2).any():
        raise LmdbFileError(f"page {page} is damaged")
    low, high, flags, key = (content[nodes[:, None] + [at, at + 1]].view("<u2")[:, 0].astype(np.int64)
                             for at in (0, 2, 4, 6))
    behind = nodes + _NODE + key
    if key.max() > _LONGEST_KEY or behind.max() > meta.page_size:
        raise LmdbFileError(f"page {page} holds a key that reaches beyond it")
    if kind == _BRANCH:
        return (low | high << 16 | flags << 32).astype(np.uint64)
    size, is_big = low | high << 16, (flags & _BIG) > 0
    if (flags & _DUPLICATES).any() or (behind + np.where(is_big, 8, size)).max() > meta.page_size:
        raise LmdbFileError(f"page {page} holds a value that reaches beyond it")
    if is_big.any():  # the value has pages of its own, one behind the other
        first = content[behind[is_big][:, None] + np.arange(8)].view("<u8")[:, 0]
        pages = (size[is_big] + _HEAD + meta.page_size - 1) // meta.page_size
        if int(first.max()) > meta.last_page or int(first.min()) < 2 or \
                int((first.astype(np.int64) + pages).max()) > meta.last_page + 1:
            raise LmdbFileError(f"page {page} leads to a value beyond the end of the file")
    return np.empty(0, np.uint64)


def _check_few(data: mmap.mmap, meta: _Meta, page: int, lower: int, upper: int) -> None:
    """As :func:`_check_page`, of a leaf: NumPy's calls take 65 us, and leaves with images hold a node or two."""
    start = page * meta.page_size
    for node in struct.unpack_from(f"<{(lower - _HEAD) // 2}H", data, start + _HEAD):
        if node < upper or node > meta.page_size - _NODE or node % 2:
            raise LmdbFileError(f"page {page} is damaged")
        size, flags, key = _LEAF_NODE.unpack_from(data, start + node)
        behind = node + _NODE + key
        if key > _LONGEST_KEY or behind > meta.page_size:
            raise LmdbFileError(f"page {page} holds a key that reaches beyond it")
        if flags & _DUPLICATES or behind + (8 if flags & _BIG else size) > meta.page_size:
            raise LmdbFileError(f"page {page} holds a value that reaches beyond it")
        if flags & _BIG:
            first = int.from_bytes(data[start + behind:start + behind + 8], "little")
            pages = (size + _HEAD + meta.page_size - 1) // meta.page_size
            if first < 2 or first + pages > meta.last_page + 1:
                raise LmdbFileError(f"page {page} leads to a value beyond the end of the file")
