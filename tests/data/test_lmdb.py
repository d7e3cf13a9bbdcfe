"""LMDB: what is read, what is written, and what happens to broken and interrupted ones."""
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import lmdb
import numpy as np
import pytest

import src.convert.lmdb_writer
from convert_lmdb import main
from src.common.errors import ConfigError, DataError
from src.convert.lmdb_set import write_samples
from src.convert.lmdb_writer import LmdbWriter
from src.data.lmdb_source import Database, LmdbSource
from src.dataset import create_dataset, open_source
from tests.word_sets import config, indices, make_set


def database(folder, words, samples=None, without=(), **more):
    """Writes an LMDB in the layout, by the lmdb module alone."""
    folder.mkdir(parents=True)
    environment = lmdb.open(str(folder), map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for i, word in enumerate(words, 1):
            transaction.put(b"image-%09d" % i, b"bytes of %d" % i)
            transaction.put(b"label-%09d" % i, word if isinstance(word, bytes) else word.encode())
        if samples != "":
            transaction.put(b"num-samples", str(len(words) if samples is None else samples).encode())
        for key in without:
            transaction.delete(key.encode())
        for key, value in more.items():
            transaction.put(key.encode(), value)
    environment.close()
    return folder


def content(folder):
    source = LmdbSource(str(folder))
    found = [(source.text(i), source.read(i)) for i in range(len(source))]
    source.close()
    return found


def keys(folder):
    environment = lmdb.open(str(folder), readonly=True, lock=False)
    with environment.begin() as transaction:
        found = dict(transaction.cursor())
    environment.close()
    return found


def run(folder, out, *more):
    return main(["-d", "iiit5k", "-p", str(folder), "-o", str(out), *more])


def test_reads_the_layout(tmp_path):
    source = LmdbSource(str(database(tmp_path / "d", ["Word", "zwei wörter", "", "Word"])))
    assert len(source) == 4 and source.name == "lmdb" and list(source.texts) == ["Word", "zwei wörter", ""]
    assert [source.text(i) for i in range(4)] == ["Word", "zwei wörter", "", "Word"]
    assert [source.read(i) for i in range(4)] == [b"bytes of %d" % i for i in range(1, 5)]
    assert source.reference(1) == "d:image-000000002"
    assert source.location(1) == f"{tmp_path / 'd'} image-000000002"
    assert source.lexicon_names() == () and source.parts == [("d", 0, 4)]
    assert len(LmdbSource(str(tmp_path / "d" / "data.mdb"))) == 4


def test_a_tree_of_several(tmp_path):
    database(tmp_path / "all/ST", ["s1"])
    database(tmp_path / "all/MJ/MJ_train", ["m1", "m2"])
    database(tmp_path / "else", ["e1", "m1"])
    (tmp_path / "all/a_link").symlink_to(tmp_path / "else")
    (tmp_path / "all/MJ/loop").symlink_to(tmp_path / "all")
    source = open_source("lmdb", str(tmp_path / "all"), "train")
    source.check()
    assert source.parts == [("MJ/MJ_train", 0, 2), ("ST", 2, 3), ("a_link", 3, 5)]
    assert [source.text(i) for i in range(5)] == ["m1", "m2", "s1", "e1", "m1"]
    assert [source.read(i) for i in range(5)] == [b"bytes of %d" % i for i in (1, 2, 1, 1, 2)]
    assert source.reference(2) == "ST:image-000000001" and source.reference(4) == "a_link:image-000000002"


@pytest.mark.parametrize("keywords, message", [
    ({"samples": ""}, "no key num-samples: an unfinished"), ({"samples": "many"}, "num-samples is no number: b'many'"),
    ({"samples": 4}, "num-samples is 4, but label-000000004 is missing"),
    ({"samples": 2}, "num-samples is 2, but there is label-000000003 too"),
    ({"without": ["label-000000001"]}, "num-samples is 3, but label-000000001 is missing"),
    ({"without": ["label-000000002"]}, "num-samples is 3, but label-000000002 is missing"),
    ({"without": ["label-000000003"]}, "num-samples is 3, but label-000000003 is missing"),
    ({"samples": 0, "without": ["label-000000001"]}, "holds no words")])
def test_wrong_counts_and_missing_labels(tmp_path, keywords, message):
    with pytest.raises(DataError, match=message) as caught:
        LmdbSource(str(database(tmp_path / "d", ["a", "b", "c"], **keywords)))
    assert str(tmp_path / "d") in str(caught.value)


def test_many_labels_show_progress(tmp_path, monkeypatch, capsys):
    folder = str(database(tmp_path / "d", ["a", "b"]))
    open_source("lmdb", folder, "train").close()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("src.data.lmdb_source._SHOW_PROGRESS_FROM", 2)
    open_source("lmdb", folder, "train", show_progress=False).close()
    assert capsys.readouterr().err == ""
    open_source("lmdb", folder, "train").close()
    assert "reading labels" in capsys.readouterr().err


def test_keys_of_other_tools_do_no_harm(tmp_path):
    more = {"lexicon-000000001": b"a b", "zebra": b"1", "label": b"x", "aaa": b"y"}
    assert content(database(tmp_path / "d", ["a", "b"], **more)) == [("a", b"bytes of 1"), ("b", b"bytes of 2")]


def test_missing_images_and_wrong_text(tmp_path):
    source = LmdbSource(str(database(tmp_path / "d", ["a", "b", "c"], without=["image-000000002"])))
    source.check()
    assert source.read(2) == b"bytes of 3"
    with pytest.raises(DataError, match="d image-000000002: there is no such key"):
        source.read(1)
    none = database(tmp_path / "none", ["a"], without=["image-000000001"])
    with pytest.raises(DataError, match="none of the images looked for is there"):
        LmdbSource(str(none)).check()
    with pytest.raises(DataError, match="text label-000000002 is not UTF-8 text: b'.xff'"):
        LmdbSource(str(database(tmp_path / "text", ["a", b"\xff", "c"])))


def test_what_is_no_lmdb(tmp_path):
    with pytest.raises(DataError, match="there is no data.mdb in .* or below"):
        LmdbSource(str(tmp_path))
    with pytest.raises(DataError, match="gone does not exist: expected a folder with data.mdb"):
        LmdbSource(str(tmp_path / "gone"))
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(DataError, match="file.txt is not a folder with data.mdb"):
        LmdbSource(str(tmp_path / "file.txt"))
    for data in (b"", b"no lmdb" * 2000):
        (tmp_path / "data.mdb").write_bytes(data)
        with pytest.raises(DataError, match="data.mdb is no LMDB file, or a broken one"):
            LmdbSource(str(tmp_path))
    whole = database(tmp_path / "whole", [f"word{i}" for i in range(3000)])
    data = (whole / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").unlink()
    for i, size in enumerate((9000, len(data) // 2, len(data) - 4096)):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "data.mdb").write_bytes(data[:size])
        with pytest.raises(DataError, match=f"data.mdb is no LMDB file, or a broken one: truncated: {size} bytes of"):
            LmdbSource(str(tmp_path / f"{i}"))


def test_threads_processes_and_pickles(tmp_path):
    folder = database(tmp_path / "d", [f"w{i}" for i in range(500)])
    source, twin = LmdbSource(str(folder)), LmdbSource(str(folder))
    expected = [b"bytes of %d" % i for i in range(1, 501)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, range(500))) == expected
        assert list(pool.map(pickle.loads(pickle.dumps(source)).read, range(500))) == expected
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        good = not Database._open  # what the parent opened is not used here
        good = good and [source.read(i) for i in range(500)] == expected and twin.read(4) == expected[4]
        os.write(writer, b"y" if good else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    assert twin.read(0) == expected[0]
    source.close()
    assert source.read(1) == expected[1]


def test_nothing_is_open_before_it_is_needed(tmp_path):
    code = ("import sys; import src.data.lmdb_source, convert_lmdb; assert 'mindspore' not in sys.modules\n"
            f"s = src.data.lmdb_source.Database({str(tmp_path)!r})\nprint('ok')")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert result.stdout == "ok\n", result.stderr


def test_written_with_the_original_bytes(tmp_path, capsys):
    folder = make_set(tmp_path / "set", words=["one", "Zwei", "drei, vier", "naïve"] * 5)
    assert run(folder, tmp_path / "out") == 0
    source = open_source("iiit5k", folder, "train")
    found = keys(tmp_path / "out")
    assert len(found) == 41 and found[b"num-samples"] == b"20"
    for i in range(20):
        assert found[b"image-%09d" % (i + 1)] == source.read(i)
        assert found[b"label-%09d" % (i + 1)].decode() == source.text(i)
    files, packed = (create_dataset(name, str(path), 6, is_training=False) for name, path in
                     (("iiit5k", folder), ("lmdb", tmp_path / "out")))
    for a, b in zip(files, packed, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.text == b.text
    printed = capsys.readouterr()
    assert "out: 20 words" in printed.out and "--train_dataset lmdb" in printed.out and "writing: 100%" in printed.err
    with pytest.raises(DataError, match="already holds a finished LMDB of 20 samples.*--overwrite"):
        run(folder, tmp_path / "out")
    assert run(make_set(tmp_path / "two", 2), tmp_path / "out", "--overwrite") == 0 and len(keys(tmp_path / "out")) == 5


def test_broken_images_are_left_out_and_reported(tmp_path):
    folder = make_set(tmp_path / "set", 12, broken=[2, 5, 7, 11])
    assert run(folder, tmp_path / "out") == 3
    expected = [i for i in range(12) if i not in (2, 5, 7, 11)]
    assert [word for word, _ in content(tmp_path / "out")] == [f"word{i}" for i in expected]
    report = (tmp_path / "out/report.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in report] == ["2/2.png", "2/5.jpg", "1/7.jpg", "2/11.jpg"]
    assert all(len(line.split("\t")) == 2 and "set/" in line.split("\t")[1] for line in report)
    with pytest.raises(DataError, match="set/2/2.png"):
        run(folder, tmp_path / "strict", "--strict")
    # Without a look at the pixels only the missing file shows.
    assert run(folder, tmp_path / "fast", "--no_check") == 3 and len(content(tmp_path / "fast")) == 11


def test_an_interrupted_run_is_recognised_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(src.convert.lmdb_writer, "_BATCH_SAMPLES", 4)
    folder = make_set(tmp_path / "set", 30, broken=[1, 9, 20])
    commit, count = LmdbWriter.commit, 0

    def interrupted(self):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        commit(self)
    monkeypatch.setattr(LmdbWriter, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out")
    with pytest.raises(DataError, match="no key num-samples: an unfinished LMDB"):
        LmdbSource(str(tmp_path / "out"))
    with pytest.raises(DataError, match="holds the unfinished conversion of iiit5k .*set .*30 of 30 words.*, not of"):
        run(make_set(tmp_path / "other", 30), tmp_path / "out")
    with pytest.raises(DataError, match="unchecked"):
        run(folder, tmp_path / "out", "--no_check")
    monkeypatch.setattr(LmdbWriter, "commit", commit)
    read = []
    source_read = src.data.source.FileSource.read
    monkeypatch.setattr(src.data.source.FileSource, "read", lambda self, i: (read.append(i), source_read(self, i))[1])
    monkeypatch.setattr("src.convert.lmdb_set._expected_bytes", lambda *_: 0)
    assert run(folder, tmp_path / "out") == 3
    assert "going on after" in capsys.readouterr().out and 0 < min(read) < 30 and max(read) == 29
    monkeypatch.undo()
    assert run(folder, tmp_path / "whole") == 3
    assert keys(tmp_path / "out") == keys(tmp_path / "whole") and len(keys(tmp_path / "out")) == 55
    assert (tmp_path / "out/report.txt").read_text() == (tmp_path / "whole/report.txt").read_text()


def test_killed_at_any_moment(tmp_path, repo):
    """The process ends without any chance to tidy up."""
    folder = make_set(tmp_path / "set", 40)
    for commits in (1, 4):
        out = tmp_path / f"out{commits}"
        code = (f"import os, src.convert.lmdb_writer as w; w._BATCH_SAMPLES = 4\n"
                "real = w.LmdbWriter._write\nseen = []\n"
                f"def write(self, *a):\n    if len(seen) == {commits}: os._exit(9)\n"
                "    seen.append(1); real(self, *a)\n"
                "w.LmdbWriter._write = write\nimport convert_lmdb, sys\nconvert_lmdb.main(sys.argv[1:])")
        killed = subprocess.run([sys.executable, "-c", code, "-d", "iiit5k", "-p", folder, "-o", str(out)], cwd=repo,
                                capture_output=True, timeout=180)
        assert killed.returncode == 9, killed.stderr
        assert run(folder, out) == 0
        assert [word for word, _ in content(out)] == [f"word{i}" for i in range(40)]


def test_the_map_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(src.convert.lmdb_writer, "_SMALLEST_MAP", 1 << 16)
    monkeypatch.setattr(src.convert.lmdb_writer, "_BATCH_BYTES", 1 << 17)
    writer = LmdbWriter(str(tmp_path / "out"), "test")
    data = np.random.default_rng(0).bytes(30_000)
    for i in range(100):
        writer.add(i, data[:20_000 + i], f"w{i}")
    assert writer.finish() == []
    found = content(tmp_path / "out")
    assert [len(image) for _, image in found] == list(range(20_000, 20_100)) and found[99] == ("w99", data[:20_099])


def test_full_disk_in_the_middle(tmp_path, repo):
    """A limit on the file size stands for the disk."""
    folder = make_set(tmp_path / "set", 60)
    code = ("import resource, sys, src.convert.lmdb_writer as w; w._BATCH_SAMPLES = 4\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "import convert_lmdb; from src.common.errors import run_main; run_main(convert_lmdb.main)")
    full = subprocess.run([sys.executable, "-c", code, "-d", "iiit5k", "-p", folder, "-o", str(tmp_path / "out")],
                          cwd=repo, capture_output=True, text=True, timeout=180)
    assert full.returncode == 2 and "data.mdb cannot be written" in full.stderr and "Traceback" not in full.stderr
    assert "items are safe, run again to go on" in full.stderr
    assert run(folder, tmp_path / "out") == 0 and len(content(tmp_path / "out")) == 60


def test_foreign_files_are_not_touched(tmp_path):
    folder = make_set(tmp_path / "set", 3)
    foreign = database(tmp_path / "foreign", ["a"], samples="")
    with pytest.raises(DataError, match="holds an LMDB that this program did not begin"):
        run(folder, foreign)
    done = database(tmp_path / "done", ["a", "b"])
    with pytest.raises(ConfigError, match="done is the LMDB to be read"):
        main(["-d", "lmdb", "-p", str(done), "-o", str(done), "--overwrite"])
    assert len(content(done)) == 2
    (tmp_path / "text").mkdir()
    (tmp_path / "text/data.mdb").write_text("not an lmdb" * 999)
    with pytest.raises(DataError, match="data.mdb cannot be opened"):
        run(folder, tmp_path / "text")


def test_protocol_and_merging(tmp_path):
    folder = make_set(tmp_path / "set", words=["Door", "it's", "of", "three"])
    assert main(["-d", "ic13", "-p", folder, "-o", str(tmp_path / "t/857"), "--eval_protocol", "857"]) == 0
    assert main(["-d", "ic13", "-p", folder, "-o", str(tmp_path / "t/all")]) == 0
    assert main(["-d", "lmdb", "-p", str(tmp_path / "t"), "-o", str(tmp_path / "one")]) == 0
    assert [word for word, _ in content(tmp_path / "one")] == ["Door", "three", "Door", "it's", "of", "three"]
    dataset = create_dataset("lmdb", str(tmp_path / "one"), 9, is_training=False, config=config(eval_protocol="1015"))
    assert indices(dataset) == [[0, 1, 2, 4, 5]]


def test_convert_keeps_the_order_with_many_threads(tmp_path):
    source = open_source("iiit5k", make_set(tmp_path / "set", 300), "train")
    writer = LmdbWriter(str(tmp_path / "out"), "test")
    assert write_samples(source, np.arange(300)[::-1], writer, workers=7, show_progress=False) == []
    assert [word for word, _ in content(tmp_path / "out")] == [f"word{i}" for i in range(299, -1, -1)]


def test_two_writers_at_a_time_are_refused(tmp_path, repo):
    folder = make_set(tmp_path / "set", 5)
    first = LmdbWriter(str(tmp_path / "out"), "first")
    first.add(0, b"x", "word")
    arguments = [sys.executable, str(repo / "convert_lmdb.py"), "-d", "iiit5k", "-p", folder, "-o",
                 str(tmp_path / "out"), "--overwrite"]
    second = subprocess.run(arguments, capture_output=True, text=True, timeout=180)
    assert second.returncode == 2 and second.stderr == (
        f"error: {tmp_path / 'out'}: another program is writing this LMDB; wait for it, or give another "
        "-o/--output_dir\n")
    with pytest.raises(DataError, match="another program is writing"):
        LmdbWriter(str(tmp_path / "out"), "first")
    first.finish()
    assert content(tmp_path / "out") == [("word", b"x")] and not (tmp_path / "out/writing.lock").exists()
    (tmp_path / "out/writing.lock").touch()  # as a killed program leaves it
    assert run(folder, tmp_path / "out", "--overwrite") == 0 and len(content(tmp_path / "out")) == 5


def set_with_lexicons(folder, words, spaced=False, **files):
    path = make_set(folder, words=words)
    names = [line.split(",")[0] for line in (folder / "annotation.txt").read_text().splitlines()]
    other = "two words" if spaced else "OTHER"
    files = {"50": [f"{name}\t{word}\t{other}" for name, word in zip(names, words, strict=True)],
             "1k": [f"{name}\t{word}\t" + "\t".join(f"w{i}" for i in range(50)) for name, word in
                    zip(names, words, strict=True)], "full": [*words, other], **files}
    for name, lines in files.items():
        if lines:
            (folder / f"lexicon_{name}.txt").write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("spaced", [False, True])
def test_lexicons_are_kept(tmp_path, spaced, capsys):
    words = ["One", "Zwei", "naïve", "four"]
    folder = set_with_lexicons(tmp_path / "set", words, spaced)
    assert run(folder, tmp_path / "out") == 0
    assert "out: 4 words, with the lexicons 50, 1k, full" in capsys.readouterr().out
    files, packed = open_source("iiit5k", folder, "test"), open_source("lmdb", str(tmp_path / "out"), "test")
    assert packed.lexicon_names() == files.lexicon_names() == ("50", "1k", "full")
    for name in files.lexicon_names():
        assert packed.shared_lexicon(name) == files.shared_lexicon(name)
        assert [packed.lexicon(name, i) for i in range(4)] == [files.lexicon(name, i) for i in range(4)]
    packed.close()
    found = keys(tmp_path / "out")
    assert found[b"num-samples"] == b"4" and len(found) == 1 + 4 * 4 + 1
    # As the tools write it whose lexicons are words with spaces between them.
    assert found[b"lexicon-000000003"].decode() == ("naïve\ttwo words\t" if spaced else "naïve OTHER")
    assert main(["-d", "lmdb", "-p", str(tmp_path / "out"), "-o", str(tmp_path / "again")]) == 0
    assert keys(tmp_path / "again") == found


def test_lexicons_of_some_images_and_some_parts(tmp_path, capsys):
    one = set_with_lexicons(tmp_path / "one", ["a", "b", "c"], **{"1k": None})
    lines = (tmp_path / "one/lexicon_50.txt").read_text().splitlines()
    (tmp_path / "one/lexicon_50.txt").write_text("\n".join(lines[:2]) + "\n")
    assert run(one, tmp_path / "tree/one") == 3
    assert (tmp_path / "tree/one/report.txt").read_text() == (
        f"2/2.png lexicon 50\t{tmp_path}/one/lexicon_50.txt has no lexicon for 2/2.png\n")
    source = LmdbSource(str(tmp_path / "tree"))
    assert len(source) == 3 and source.lexicon_names() == ("50", "full")
    with pytest.raises(DataError, match="one has no lexicon-000000003"):
        source.lexicon("50", 2)
    with pytest.raises(DataError, match="no lexicon for 2/2.png"):
        run(one, tmp_path / "strict", "--strict")
    with pytest.raises(DataError, match="there is no '1k' lexicon in .*one; lexicons there: 50, full$"):
        source.lexicon("1k", 0)
    source.close()
    assert run(set_with_lexicons(tmp_path / "two", ["x", "y"]), tmp_path / "tree/two") == 0
    source = LmdbSource(str(tmp_path / "tree"))
    assert source.lexicon_names() == ("50",) and source.lexicon("50", 3) == ["x", "OTHER"]
    with pytest.raises(DataError, match="no 'full' lexicon in .*one or in others of its tree; lexicons there: 50$"):
        source.shared_lexicon("full")


def test_interrupted_with_lexicons(tmp_path, monkeypatch):
    monkeypatch.setattr(src.convert.lmdb_writer, "_BATCH_SAMPLES", 2)
    words = [f"word{i}" for i in range(9)]
    folder = set_with_lexicons(tmp_path / "set", words)
    assert run(folder, tmp_path / "whole") == 0
    write, count = LmdbWriter._write, 0

    def interrupted(self, *rest):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        write(self, *rest)
    monkeypatch.setattr(LmdbWriter, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out")
    monkeypatch.setattr(LmdbWriter, "_write", write)
    assert run(folder, tmp_path / "out") == 0 and keys(tmp_path / "out") == keys(tmp_path / "whole")


def test_evaluation_with_the_lexicon_of_an_lmdb(tmp_path, monkeypatch, capsys):
    import eval as eval_program
    from tests.stub_network import install, write_image
    install(monkeypatch, ["hause", "tree"])
    for number in (0, 1):
        write_image(tmp_path / "set" / f"{number}.png", number)
    (tmp_path / "set/annotation.txt").write_text("0.png,House\n1.png,tree\n")
    (tmp_path / "set/lexicon_50.txt").write_text("0.png\tHOUSE\tmouse\n1.png\ttree\tthree\n")
    assert run(tmp_path / "set", tmp_path / "out") == 0
    assert eval_program.main(["--eval_dataset=lmdb", f"--eval_dataset_path={tmp_path / 'out'}", "--lexicon=50"]) == 0
    out = capsys.readouterr().out
    assert "correct num: 2 , total num: 2" in out and "lexicon decoder, '50' lexicon, one for each image" in out


@pytest.mark.parametrize(("samples", "message"), [
    ("9" * 5000, "num-samples is no number: b'9999"), ("99999999999", "label-000000002 is missing"),
    ("-1", "num-samples is no number"), ("²", "num-samples is no number"), ("1\n", "num-samples is no number")])
def test_odd_numbers_of_samples(tmp_path, samples, message):
    with pytest.raises(DataError, match=message):
        LmdbSource(str(database(tmp_path / "l", ["a"], samples)))


def test_lexicons_that_are_no_text(tmp_path):
    source = LmdbSource(str(database(tmp_path / "l", ["a"], **{
        "lexicon-000000001": b"caf\xe9 bar", "lexicon-1k-000000001": b"a b", "lexicon-full": b"a\tcaf\xe9"})))
    assert source.lexicon("1k", 0) == ["a", "b"]
    with pytest.raises(DataError, match=r"l lexicon-000000001 is not UTF-8 text \(byte 0xe9\)"):
        source.lexicon("50", 0)
    with pytest.raises(DataError, match="l lexicon-full is not UTF-8 text"):
        source.shared_lexicon("full")
    source.close()
    empty = LmdbSource(str(database(tmp_path / "m", ["a"], **{"lexicon-full": b""})))
    assert empty.lexicon_names() == ()
    empty.close()


@pytest.mark.parametrize("state", [
    "{", "[]", "5", "{}", '{"origin": "o"}', '{"origin": "o", "next": "1", "count": 0, "problems": 0}',
    '{"origin": "o", "next": 0, "count": [], "problems": 0}', '{"origin": "o", "next": -1, "count": 0, "problems": 0}',
    '{"origin": "o", "next": true, "count": 0, "problems": 0}', "\xff", "[" * 100_000,
    '{"origin": "o", "next": %s, "count": 0, "problems": 0}' % ("9" * 5000)])
def test_damaged_notes_of_an_unfinished_conversion(tmp_path, state):
    database(tmp_path / "l", ["a"], "", **{src.convert.lmdb_writer._STATE.decode(): state.encode("latin-1")})
    with pytest.raises(DataError, match="l holds an unfinished conversion whose notes are damaged: .*--overwrite"):
        LmdbWriter(str(tmp_path / "l"), "o", 1000)
    LmdbWriter(str(tmp_path / "l"), "o", 1000, overwrite=True).close()


@pytest.mark.parametrize("problem", [{}, {"1": b"5"}, {"1": b"{"}])
def test_damaged_notes_of_what_was_left_out(tmp_path, problem):
    writer, more = src.convert.lmdb_writer, {}
    more[writer._STATE.decode()] = b'{"origin": "o", "next": 1, "count": 0, "problems": 1}'
    more |= {(writer._PROBLEM % int(number)).decode(): text for number, text in problem.items()}
    database(tmp_path / "l", [], "", **more)
    with pytest.raises(DataError, match="notes are damaged"):
        LmdbWriter(str(tmp_path / "l"), "o", 1000).finish()
