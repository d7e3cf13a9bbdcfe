"""Files that are whole or not there."""
import os
import stat
import subprocess
import sys
import threading

import pytest

from src.common.errors import ConfigError, DataError
from src.common.files import (
    FileLock,
    keep_apart,
    read_lines,
    replacing,
    write_bytes,
    write_lines,
    write_text,
    writing,
)


def test_what_is_written_and_with_which_permissions(tmp_path):
    path = tmp_path / "a" / "b.txt"
    before = os.umask(0o027)
    try:
        write_lines(path, ["é", "café\udcff"])
        assert path.read_bytes() == b"\xc3\xa9\ncaf\xc3\xa9\xff\n"
        write_text(path, "a\r\nb")
        assert path.read_bytes() == b"a\r\nb"
        write_bytes(path, b"\0")
        # A library may give its file permissions of its own.
        with replacing(path) as temporary:
            os.chmod(temporary, 0o400)
        assert path.read_bytes() == b"" and stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)
    assert [one.name for one in path.parent.iterdir()] == ["b.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(28, "No space left on device")])
def test_any_error_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises((KeyboardInterrupt, ValueError, OSError)) as caught, writing(path) as file:
        file.write("new")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert caught.value.filename == str(path)


def test_a_block_that_removes_the_temporary_file_keeps_the_old_one(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.endswith(".ckpt")
        os.remove(temporary)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_errors_name_the_file_that_was_wanted(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "x"):
        with pytest.raises(OSError) as caught:
            write_bytes(path, b"x")
        assert caught.value.filename in (str(path), str(path.parent)) and caught.value.filename2 is None
    assert not list((tmp_path / "folder").iterdir()) and not list(tmp_path.glob(".part*"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, repo):
    """A limit on the size of files stands for the disk."""
    code = ("import resource, sys\nfrom src.common.errors import run_main\nfrom src.common.files import write_bytes\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "run_main(lambda argv: write_bytes(sys.argv[1], bytes(5000)))")
    full = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], cwd=repo, capture_output=True, text=True,
                          timeout=60)
    assert (full.returncode, full.stderr) == (2, f"error: {tmp_path / 'x'}: File too large\n")
    assert not list(tmp_path.iterdir())


def test_read_lines(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffone\r\n\n \ntwo\u2028still two\n".encode())
    assert read_lines(str(path)) == [(1, "one"), (4, "two\u2028still two")]
    path.write_bytes(b"one\n\xff\n")
    with pytest.raises(DataError, match=r"x.txt, line 2: not UTF-8 text \(byte 0xff\)"):
        read_lines(str(path))
    with pytest.raises(DataError, match="cannot read .*nothere: No such file"):
        read_lines(str(tmp_path / "nothere"))


def test_a_lock_is_for_one(tmp_path):
    first, second = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    with first:
        first.write(b"note")
        assert not second.acquire(wait=False) and first.read() == b"note"
    with second:
        assert second.read() == b"note"
    second.acquire()
    second.release(remove=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full, as on Linux")
@pytest.mark.parametrize("output", ["full", "closed", "closed errors"])
@pytest.mark.parametrize("at_once", [False, True])
def test_outputs_that_take_nothing(output, at_once):
    """The disk behind `> FILE` is full, or a service closed the output: a sentence, no traceback."""
    code = ("from src.common.errors import DataError, run_main\nimport sys\n"
            "def main(argv):\n    print('x' * 100_000, flush=True)\n"
            f"    if {output == 'closed errors'}: raise DataError('wrong')\nrun_main(main, {at_once})")
    redirect = {"full": "> /dev/full", "closed": ">&-", "closed errors": "2>&-"}[output]
    done = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, code], capture_output=True,
                          text=True)
    assert done.returncode == (0 if output == "closed" else 2)
    assert done.stderr == ("error: the output: No space left on device\n" if output == "full" else "")


@pytest.mark.parametrize("hook", ["", "sys.setprofile(lambda *_: None)", "sys.settrace(lambda *_: None)",
                                  "sys.modules['mindspore'] = sys"])
def test_ending_at_once_loses_nothing(tmp_path, hook):
    """All that was printed arrives, at a pipe and in a file; who needs the interpreter's own end gets it."""
    code = ("import atexit, sys\nfrom src.common.errors import run_main\n"
            f"atexit.register(lambda: print('taken apart'))\n{hook}\n"
            "def main(argv):\n    print('x' * 100_000)\n    print('end')\n    sys.stderr.write('said')\n    return 3\n"
            "run_main(main, at_once=True)")
    with open(tmp_path / "out", "w+", encoding="utf-8") as file:
        for output in (subprocess.PIPE, file):
            done = subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE, text=True,
                                  env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"})
            assert (done.returncode, done.stderr) == (3, "said")
        file.seek(0)
        assert done.stdout is None
        assert file.read() == "x" * 100_000 + "\nend\n" + "taken apart\n" * bool(hook)


def test_what_is_written_through(tmp_path):
    """Replacing a device or a pipe would take it away from everybody."""
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"through")
    reader.join(10)
    assert got == [b"through"] and pipe.is_fifo()
    before = os.stat("/dev/null").st_rdev
    write_bytes("/dev/null", b"nowhere")
    assert os.stat("/dev/null").st_rdev == before


def test_a_link_stays_one(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_text("old")
    (tmp_path / "link").symlink_to("far/file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "file").read_text() == "new"
    assert os.listdir(tmp_path / "far") == ["file"]


def test_a_result_does_not_take_the_place_of_its_source(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to("a")
    keep_apart(tmp_path / "c", [tmp_path / "a", tmp_path / "d"])
    with pytest.raises(ConfigError, match="b is read and would be overwritten"):
        keep_apart(tmp_path / "b", [tmp_path / "d", tmp_path / "a"])
