"""Archives that ModelArts copied in: unpacked where they lie, and those that are refused."""
import io
import tarfile
import zipfile

import pytest

from src.common.errors import DataError
from src.modelarts.archives import unpack_archives


def pack_tar(path, *entries):
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(b"data"))


@pytest.mark.parametrize("name", ["../up", "/tmp/up", "a/../../up", "a\\..\\..\\up", "C:\\up"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_that_climb_out(tmp_path, kind, name):
    folder = tmp_path / "in/data"
    folder.mkdir(parents=True)
    if kind == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr("good.png", b"1")
            archive.writestr(zipfile.ZipInfo(name), b"1")
    else:
        pack_tar(folder / "a.tgz", ("good.png", tarfile.REGTYPE, ""), (name, tarfile.REGTYPE, ""))
    with pytest.raises(DataError, match=r"a\.(zip|tgz): entry .*up.*(climbs out|relative).*nothing of it was unpacked"):
        unpack_archives(str(tmp_path))
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


def test_other_bad_archives(tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.mkdir()
    pack_tar(link / "a.tgz", ("out", tarfile.SYMTYPE, "../.."), ("out/x", tarfile.REGTYPE, ""))
    with pytest.raises(DataError, match="a.tgz cannot be unpacked: .*out"):
        unpack_archives(str(link))
    (tmp_path / "fifo").mkdir()
    pack_tar(tmp_path / "fifo/a.tgz", ("pipe", tarfile.FIFOTYPE, ""))
    with pytest.raises(DataError, match="entry 'pipe' is neither a file nor a folder"):
        unpack_archives(str(tmp_path / "fifo"))
    (tmp_path / "cut").mkdir()
    pack_tar(tmp_path / "cut/a.tar.gz", ("x", tarfile.REGTYPE, ""))
    (tmp_path / "cut/a.tar.gz").write_bytes((tmp_path / "cut/a.tar.gz").read_bytes()[:40])
    with pytest.raises(DataError, match="cut/a.tar.gz cannot be unpacked"):
        unpack_archives(str(tmp_path / "cut"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.zip").write_text("no archive")
    with pytest.raises(DataError, match="text/a.zip cannot be unpacked: File is not a zip file"):
        unpack_archives(str(tmp_path / "text"))
    (tmp_path / "bomb").mkdir()
    with zipfile.ZipFile(tmp_path / "bomb/a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 22))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(DataError, match="a.zip holds 4 MiB, but the disk has room for 1 MiB only"):
        unpack_archives(str(tmp_path / "bomb"))
    assert [p.name for p in (tmp_path / "bomb").iterdir()] == ["a.zip"]


@pytest.mark.parametrize(("encoding", "name"), [("gbk", "图片"), ("gbk", "训练集数据"), ("utf-8", "图片"),
                                                ("utf-8", "Zürich"), ("utf-8", "слово")])
def test_names_in_an_archive_without_the_mark_for_utf8(tmp_path, encoding, name):
    """As Windows in Chinese and some tools for macOS write them."""
    raw, data = name.encode(encoding), io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("~" * len(raw) + "1.jpg", b"picture")
    (tmp_path / "a.zip").write_bytes(data.getvalue().replace(b"~" * len(raw), raw))
    unpack_archives(str(tmp_path))
    assert (tmp_path / f"{name}1.jpg").read_bytes() == b"picture"


def test_names_marked_as_utf8_stay(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("Zürich.jpg", b"1")
        archive.writestr("plain.jpg", b"2")
    unpack_archives(str(tmp_path))
    assert {path.name for path in tmp_path.glob("*.jpg")} == {"Zürich.jpg", "plain.jpg"}


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.{'zip' if data[:2] == b'PK' else 'txt'}", data)
    return buffer.getvalue()


def test_archives_in_archives(tmp_path):
    """A set that holds its parts as archives of their own; more than three levels are nobody's set."""
    inner = zipped(deep=b"word")
    (tmp_path / "data.zip").write_bytes(zipped(train=zipped(part=inner), gt=b"a"))
    lines = unpack_archives(str(tmp_path))
    assert (tmp_path / "deep.txt").read_bytes() == b"word" and (tmp_path / "gt.txt").read_bytes() == b"a"
    assert [line.rpartition("/")[2] for line in lines] == ["data.zip: 2 files", "train.zip: 1 files",
                                                           "part.zip: 1 files"]
    (tmp_path / "data.zip").write_bytes(zipped(two=zipped(three=zipped(four=inner))))
    with pytest.raises(DataError, match="four.zip lies in an archive in an archive in an archive"):
        unpack_archives(str(tmp_path))
