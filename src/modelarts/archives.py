"""Unpacking the archives of a data set where they lie, without letting them write anywhere else."""
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib

from src.common.errors import DataError
from src.common.files import path_fault

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_USUAL = (("\0", "\u017f"), ("\u0391", "\u03c9"), ("\u0400", "\u045f"), ("\u2e80", "\U0010ffff"))
_DEEPEST = 3  # archives in archives
_UTF8_MARK = 0x800  # bit of the flags of an entry: its name is UTF-8
# What the readers of archives raise on broken or encrypted ones, and a full disk.
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
           ValueError)


def unpack_archives(folder: str) -> list[str]:
    """Unpacks every archive below a folder into the folder it lies in, and archives inside of it; all of them stay.

    Returns:
        One line for each: its path and what came out of it.

    Raises:
        DataError: an archive cannot be unpacked, holds more than the disk has room for, or has an entry whose path
            climbs out of the folder; the message names archive and entry. For the latter two reasons nothing of the
            archive is written.
    """
    lines: list[str] = []
    done: set[str] = set()
    for _ in range(_DEEPEST):
        found = [path for path in _archives(folder) if path not in done]
        done.update(found)
        lines += [_unpack(path) for path in found]
    left = [path for path in _archives(folder) if path not in done]
    if left:
        raise DataError(f"{left[0]} lies in an archive in an archive in an archive: unpack it yourself")
    return lines


def _archives(folder: str) -> list[str]:
    return sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
                  if name.lower().endswith(ENDINGS))


def _unpack(path: str) -> str:
    unpack = _unpack_zip if path.lower().endswith(".zip") else _unpack_tar
    try:
        count = unpack(path, os.path.dirname(path))
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be unpacked: {reason}") from error
    return f"{path}: {count} files"


def _check(path: str, names: list[str], size: int) -> None:
    """DataError where an entry would be written outside, or all of them together need more room than there is."""
    for name in names:
        fault = path_fault(name)
        if fault:
            raise DataError(f"{path}: entry {name!r}: {fault.replace('the path of the image', 'its path')}; nothing "
                            "of it was unpacked")
    room = shutil.disk_usage(os.path.dirname(path)).free
    if size > room:
        raise DataError(f"{path} holds {size >> 20} MiB, but the disk has room for {room >> 20} MiB only")


def _unpack_zip(path: str, folder: str) -> int:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _set_names_right(entries)
        _check(path, [entry.filename for entry in entries], sum(entry.file_size for entry in entries))
        for entry in entries:
            archive.extract(entry, folder)
        return sum(not entry.is_dir() for entry in entries)


def _set_names_right(entries: list[zipfile.ZipInfo]) -> None:
    """Gives entries their names where Python has read them as cp437: without a mark they are UTF-8 or GBK in practice.

    All of an archive are taken alike. Short names in GBK can be valid UTF-8, too, but of letters that hardly anybody
    writes; so UTF-8 it is only where all of them are of its usual letters.
    """
    unmarked = [entry for entry in entries if not entry.flag_bits & _UTF8_MARK]
    raw = [entry.filename.encode("cp437") for entry in unmarked]
    for encoding in ("utf-8", "gbk"):
        try:
            names = [name.decode(encoding) for name in raw]
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" and not all(_is_usual(letter) for name in names for letter in name):
            continue
        for entry, name in zip(unmarked, names, strict=True):
            entry.filename = name
        return


def _is_usual(letter: str) -> bool:
    """Latin with its accents, Greek, Cyrillic, and everything from the scripts of East Asia on."""
    return any(first <= letter <= last for first, last in _USUAL)


def _unpack_tar(path: str, folder: str) -> int:
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
        _check(path, [entry.name for entry in entries], sum(entry.size for entry in entries))
        safe = hasattr(tarfile, "data_filter")  # it refuses links that lead outside, and devices
        for entry in entries:
            if not (entry.isfile() or entry.isdir() or (safe and (entry.issym() or entry.islnk()))):
                raise DataError(f"{path}: entry {entry.name!r} is neither a file nor a folder; pack it without")
            if safe:
                archive.extract(entry, folder, filter="data")
            else:
                archive.extract(entry, folder)
        return sum(not entry.isdir() for entry in entries)
