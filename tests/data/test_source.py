"""MJSynth layout and image lists: what is read, and what is said about files that cannot be."""
import random
import sys

import numpy as np
import pytest

import src.data.synth_source as synth_dataset
from src.common.errors import ConfigError, DataError
from src.common.files import path_fault
from src.data.synth_source import SynthSource
from src.dataset import create_dataset, open_source
from src.iiit5k_dataset import IIIT5KSource
from tests.word_sets import config


def synth(folder, annotation, lexicon="zero\none\ntwo\n", split="train"):
    folder.mkdir(exist_ok=True)
    for name, content in ((f"annotation_{split}.txt", annotation), ("lexicon.txt", lexicon)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def listed(folder, annotation):
    folder.mkdir(exist_ok=True)
    (folder / "annotation.txt").write_bytes(annotation if isinstance(annotation, bytes) else annotation.encode())
    return folder


def content(source):
    return [(source.reference(i), source.text(i)) for i in range(len(source))]


def test_synth_reads_the_genuine_form(tmp_path):
    folder = synth(tmp_path / "d", "./3000/7/182_slinking_2.jpg 2\n./1/1/1_Zero_0.jpg 0\n./1/1/2_two_2.jpg 2\n")
    (folder / "1" / "1").mkdir(parents=True)
    (folder / "1" / "1" / "1_Zero_0.jpg").write_bytes(b"bytes")
    source = SynthSource(str(folder), "train")
    assert source.name == "synth" and list(source.texts) == ["Zero", "two"]
    assert source.text_index.tolist() == [1, 0, 1] and source.contradicted == 1
    assert content(source) == [("./3000/7/182_slinking_2.jpg", "two"), ("./1/1/1_Zero_0.jpg", "Zero"),
                               ("./1/1/2_two_2.jpg", "two")]
    assert source.read(1) == b"bytes"
    assert source.location(1) == str(folder / "1/1/1_Zero_0.jpg")
    with pytest.raises(DataError, match=r"d/3000/7/182_slinking_2.jpg: cannot be read: No such file"):
        source.read(0)


def test_synth_line_ends_blank_lines_spaces_and_byte_order_mark(tmp_path):
    annotation = "\ufeff\r\n./a b.jpg 1\r\n\r\n   \n./ä.jpg \t 0 \t\r\n./last.jpg 2"
    source = SynthSource(str(synth(tmp_path / "d", annotation, "\ufeffzero\r\none\r\ntwo")), "train")
    assert content(source) == [("./a b.jpg", "one"), ("./ä.jpg", "zero"), ("./last.jpg", "two")]


@pytest.mark.parametrize("block", [1, 7, 64, 1000, 1 << 24])
def test_synth_blocks_equal_a_plain_parser(tmp_path, monkeypatch, block):
    monkeypatch.setattr(synth_dataset, "_BLOCK", block)
    rng = random.Random(block)
    lines = [rng.choice(["", " ", f"./{rng.randrange(10**6)}/x{'y' * rng.randrange(30)}.jpg {rng.randrange(3)}"])
             for _ in range(300)]
    expected = [(line.rsplit(" ", 1)[0], ("zero", "one", "two")[int(line.rsplit(" ", 1)[1])])
                for line in lines if line.strip()]
    assert content(SynthSource(str(synth(tmp_path / "d", "\n".join(lines))), "train")) == expected


@pytest.mark.parametrize("line, reason", [
    ("./a.jpg", "expected image path, space and row"),
    ("./a.jpg x1", "expected image path"),
    ("./a.jpg -1", "expected image path"),
    ("./a.jpg 1.5", "expected image path"),
    ("./a.jpg 12345678901234567890", "expected image path"),
    ("7", "expected image path"),
    (" 1", "path of the image is empty"),
    ("./a.jpg 3", "rows 0 to 2, not 3"),
    ("/etc/passwd 1", "relative to the folder"),
    ("C:\\a.jpg 1", "relative to the folder"),
    ("./a/../../b.jpg 1", "climbs out"),
    (".. 1", "climbs out"),
    ("a\\..\\b.jpg 1", "climbs out"),
    ("./a\0.jpg 1", "zero byte"),
])
@pytest.mark.parametrize("block", [24, 1 << 24])
def test_synth_bad_line_is_named(tmp_path, monkeypatch, line, reason, block):
    monkeypatch.setattr(synth_dataset, "_BLOCK", block)
    folder = synth(tmp_path / "d", f"./good..name.jpg 1\n\n./b.jpg 0\n{line}\n./c.jpg 2\n/late 1\n")
    with pytest.raises(DataError, match=r"annotation_train.txt, line 4: ") as caught:
        SynthSource(str(folder), "train")
    assert reason in str(caught.value) and repr(line.strip("\r")) in str(caught.value)


def test_synth_row_that_is_blank(tmp_path):
    folder = synth(tmp_path / "d", "./a.jpg 0\n./b.jpg 1\n", "zero\n\ntwo\n")
    assert content(SynthSource(str(folder), "train")) == [("./a.jpg", "zero"), ("./b.jpg", "")]


def test_an_unfinished_conversion_is_not_read(tmp_path):
    for folder, kind in ((synth(tmp_path / "a", "./a.jpg 0\n"), SynthSource), (listed(tmp_path / "b", "a.png,x\n"),
                                                                               IIIT5KSource)):
        assert len(kind(str(folder), "train")) == 1
        (folder / "unfinished.txt").touch()
        with pytest.raises(DataError, match="holds an unfinished conversion: run its converter again"):
            kind(str(folder), "train")


def test_synth_missing_parts(tmp_path):
    with pytest.raises(DataError, match=r"gone does not exist: expected a folder with annotation_test.txt and lexicon"):
        SynthSource(str(tmp_path / "gone"), "test")
    with pytest.raises(DataError, match="no path given"):
        SynthSource("", "train")
    folder = synth(tmp_path / "d", "./a.jpg 0\n", None, split="val")
    with pytest.raises(DataError, match=r"no annotation_test.txt; text files there: annotation_val.txt"):
        SynthSource(str(folder), "test")
    with pytest.raises(DataError, match="holds no lexicon.txt"):
        SynthSource(str(folder), "val")
    with pytest.raises(DataError, match="is not a folder"):
        SynthSource(str(folder / "annotation_val.txt"), "val")
    (tmp_path / "top" / "mnt" / "ramdisk" / "max" / "90kDICT32px").mkdir(parents=True)
    with pytest.raises(DataError, match=r"did you mean .*90kDICT32px\?"):
        SynthSource(str(tmp_path / "top"), "train")
    with pytest.raises(ConfigError, match="train, val, test"):
        SynthSource(str(folder), "dev")


@pytest.mark.parametrize("annotation, lexicon, message", [
    ("", "a\n", "annotation_train.txt holds no words"), ("\n \r\n", "a\n", "annotation_train.txt holds no words"),
    ("./a.jpg 0\n", "", "lexicon.txt holds no words"), ("./a.jpg 0\n", b"\xff\n", "lexicon.txt is not UTF-8")])
def test_synth_empty_files(tmp_path, annotation, lexicon, message):
    with pytest.raises(DataError, match=message):
        SynthSource(str(synth(tmp_path / "d", annotation, lexicon)), "train")


def test_genuine_mjsynth_lexicon(tmp_path, shared_data):
    lexicon = (shared_data / "mjsynth" / "lexicon.txt").read_bytes()
    names = [line.split("\t")[0] for line in (shared_data / "mjsynth/samples/labels.tsv").read_text().splitlines()]
    lines = [f"./{name} {name[:-len('.jpg')].rsplit('_', 1)[1]}" for name in names]
    source = SynthSource(str(synth(tmp_path / "d", "\n".join(lines), lexicon)), "train")
    assert source.contradicted == source.spelling_unknown == 0
    for i, name in enumerate(names):
        assert source.text(i) == name.split("_")[1]


def test_list_reads_commas_tabs_and_spaces(tmp_path):
    folder = listed(tmp_path / "d", "\ufefftest/1_1.png,PRIVATE\r\ntest/2.png,1,000 km\n\n"
                                    "a,b.png\tone, two\nsub dir/ä.png,Ünï cødé\nx.png , y \nagain.png,PRIVATE")
    source = IIIT5KSource(str(folder), "test")
    assert source.name == "iiit5k"
    assert content(source) == [
        ("test/1_1.png", "PRIVATE"), ("test/2.png", "1,000 km"), ("a,b.png", "one, two"),
        ("sub dir/ä.png", "Ünï cødé"), ("x.png", "y"), ("again.png", "PRIVATE")]
    assert len(source.texts) == 5 and source.text_index[0] == source.text_index[5]
    (folder / "sub dir").mkdir()
    (folder / "sub dir" / "ä.png").write_bytes(b"1")
    assert source.read(3) == b"1"


def test_list_under_another_name(tmp_path):
    folder = listed(tmp_path / "d", "a.png,one\n")
    (folder / "annotation_train.txt").write_text("b.png,two\n")
    assert content(IIIT5KSource(str(folder / "annotation_train.txt"))) == [("b.png", "two")]
    assert IIIT5KSource(str(folder / "annotation_train.txt")).location(0) == str(folder / "b.png")


@pytest.mark.parametrize("line, reason", [("onlypath.png", "expected path, comma and word .*as 1 of its 2 lines"),
                                          (",word", "path of the image is empty"), ("/a.png,x", "relative"),
                                          ("../a.png,x", "climbs out"), ("a/../../b.png\tx", "climbs out"),
                                          ("a.png\tx\ty", "expected path, comma and word")])
def test_list_bad_line_is_named(tmp_path, line, reason):
    with pytest.raises(DataError, match=f"annotation.txt, line 3: .*{reason}") as caught:
        IIIT5KSource(str(listed(tmp_path / "d", f"a.png,x\n\n{line}\n")))
    assert repr(line) in str(caught.value)


def test_list_missing_parts(tmp_path):
    with pytest.raises(DataError, match=r"gone does not exist: expected a folder with annotation.txt \(convert_iiit5k"):
        IIIT5KSource(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="holds no annotation.txt"):
        IIIT5KSource(str(tmp_path))
    with pytest.raises(DataError, match="holds no words"):
        IIIT5KSource(str(listed(tmp_path / "d", "\n\n")))
    with pytest.raises(DataError, match="line 2: not UTF-8 text .byte 0xff"):
        IIIT5KSource(str(listed(tmp_path / "d", b"a.png,x\nb.png,\xff\n")))


def test_images_in_another_place(tmp_path):
    source = IIIT5KSource(str(listed(tmp_path / "d", "".join(f"{i}.png,x\n" for i in range(100)))))
    with pytest.raises(DataError, match=r"none of 32 looked for exists, for example .*/d/0.png"):
        source.check()
    (tmp_path / "d" / "99.png").write_bytes(b"")
    source.check()


def test_registry(tmp_path):
    with pytest.raises(ConfigError, match="unknown data set 'sinth': expected one of .*synth"):
        open_source("sinth", str(tmp_path), "train")
    assert len(open_source("iiit5k", str(listed(tmp_path / "d", "a.png,x\n")), "test")) == 1


@pytest.mark.parametrize("path", ["a.jpg", "./a/b.jpg", "a..b.jpg", "...", "x/..y/z", "a:b.png"])
def test_ordinary_paths(path):
    assert path_fault(path) == ""


def test_many_lines_are_parsed_without_a_python_loop(tmp_path):
    # A loop over a million lines would be over 500,000 function calls; the parser's count does not grow with the lines.
    folder = synth(tmp_path / "d", b"".join(b"./%d/1/2_word_1.jpg 1\n" % i for i in range(200_000)))
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1
    sys.setprofile(count)
    try:
        source = SynthSource(str(folder), "train")
    finally:
        sys.setprofile(None)
    assert len(source) == 200_000 and calls < 5000
    assert source.reference(199_999) == "./199999/1/2_word_1.jpg"
    assert (source.text_index == 0).all() and source.contradicted == 200_000
    assert source.text_index.dtype in (np.int32, np.int64)


def test_a_large_annotation_shows_progress(tmp_path, monkeypatch, capsys):
    folder = str(synth(tmp_path / "d", "./a.jpg 0\n" * 300_000))
    open_source("synth", folder, "train")
    assert capsys.readouterr().err == "", "a small one takes no time"
    monkeypatch.setattr(synth_dataset, "_SHOW_PROGRESS_FROM", 1 << 20)
    monkeypatch.setattr(synth_dataset, "_BLOCK", 1 << 20)
    open_source("synth", folder, "train")
    err = capsys.readouterr().err
    assert err.startswith("indexing annotation_train.txt: 100% 2/2 ") and "300000 images" in err
    open_source("synth", folder, "train", show_progress=False)
    (tmp_path / "d/a.jpg").touch()
    create_dataset("synth", folder, config=config(show_progress="never"))
    assert capsys.readouterr().err == ""
