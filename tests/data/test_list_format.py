"""Lists of images and words as people have them: what is read, what is said, and what is refused with its line."""
import json
import os
import re

import cv2
import numpy as np
import pytest

from convert_lmdb import main as convert_lmdb
from src.common.errors import ConfigError, DataError
from src.dataset import create_dataset, open_source
from tests.word_sets import config


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder)


def read(path, kind="list", split="train", **options):
    source = open_source(kind, str(path), split, **options)
    return [(source.reference(i), source.text(i)) for i in range(len(source))]


FORMS = {
    "tab": ("gt.txt", "a.jpg\tNew\nb c.jpg\ttwo, words\n", [("a.jpg", "New"), ("b c.jpg", "two, words")]),
    "comma": ("gt.txt", "a.jpg,New\nb.jpg,1,000\n", [("a.jpg", "New"), ("b.jpg", "1,000")]),
    "comma, and a tab where either holds one": ("gt.txt", "a.jpg,New\nb,c.jpg\tx, y\n",
                                                [("a.jpg", "New"), ("b,c.jpg", "x, y")]),
    "blank (TRDG)": ("labels.txt", "0.jpg New York\n1.jpg WALK\n", [("0.jpg", "New York"), ("1.jpg", "WALK")]),
    "blank before a comma": ("gt.txt", "a.jpg ,and so\nb.jpg , 50\nc.jpg .cn/bbn7/s\n",
                             [("a.jpg", ",and so"), ("b.jpg", ", 50"), ("c.jpg", ".cn/bbn7/s")]),
    "ICDAR": ("gt.txt", '\ufeffa.jpg, "New"\r\nb.jpg, "\\"a\\\\b\\", c"\r\nc.jpg, "it"s"\r\n',
              [("a.jpg", "New"), ("b.jpg", '"a\\b", c'), ("c.jpg", 'it"s')]),
    "quotes doubled": ("gt.txt", 'a.jpg,"New"\nb.jpg,"say ""x"", y"\n', [("a.jpg", "New"), ("b.jpg", 'say "x", y')]),
    "quotes that are part of a word": ("gt.txt", 'a.jpg,New\nb.jpg,"JOY"\nc.jpg,x\n',
                                       [("a.jpg", "New"), ("b.jpg", '"JOY"'), ("c.jpg", "x")]),
    "CSV": ("labels.csv", 'a.jpg,New\nb.jpg,"WALK, now"\nc.jpg,it\'s\n',
            [("a.jpg", "New"), ("b.jpg", "WALK, now"), ("c.jpg", "it's")]),
    "CSV whose quotes are not its own": ("labels.csv", 'a.jpg,"x" y\nb.jpg,"z"\n',
                                         [("a.jpg", '"x" y'), ("b.jpg", '"z"')]),
    "CSV with a head (EasyOCR)": ("labels.csv", "filename,words\na.jpg,New\nb.jpg,1,5\n",
                                  [("a.jpg", "New"), ("b.jpg", "1,5")]),
    "CSV with more columns": ("labels.csv", 'id,Text,lang,Image Path\n1,"a, b",en,x/a.jpg\n2,c,de,b.jpg\n',
                              [("x/a.jpg", "a, b"), ("b.jpg", "c")]),
    "table with tabs": ("gt.txt", "image\tlabel\tscore\na.jpg\tNew\t1\nb.jpg\tx y\t2\n",
                        [("a.jpg", "New"), ("b.jpg", "x y")]),
    "CUTE80": ("annotation.txt", "timage/001.jpg NEW 1 NEW\ntimage/2.jpg WALK 12 walk\n",
               [("timage/001.jpg", "NEW"), ("timage/2.jpg", "WALK")]),
    "several images (PaddleOCR)": ("rec_gt_train.txt", '["a.jpg", "b.jpg"]\tNew\nc.jpg\tx\n["d.jpg"]\t[y]\n',
                                   [("a.jpg", "New"), ("b.jpg", "New"), ("c.jpg", "x"), ("d.jpg", "[y]")]),
    "JSON (docTR)": ("labels.json", json.dumps({"a.jpg": "New", "b.jpg": "x, \"y\""}),
                     [("a.jpg", "New"), ("b.jpg", 'x, "y"')]),
    "JSON (MMOCR 1)": ("textrecog_train.json", json.dumps(
        {"metainfo": {}, "data_list": [{"img_path": "a.jpg", "instances": [{"text": "New"}]},
                                       {"img_path": "b.jpg", "instances": [{"text": "é"}]}]}, indent=1),
        [("a.jpg", "New"), ("b.jpg", "é")]),
    "JSON list": ("labels.json", json.dumps([{"file": "a.jpg", "label": "New", "x": 1}]), [("a.jpg", "New")]),
    "JSON lines (MMOCR 0)": ("label.jsonl", '{"filename": "a.jpg", "text": "New"}\n\n'
                             '{"filename": "b.jpg", "text": "x"}\n',
                             [("a.jpg", "New"), ("b.jpg", "x")]),
    "JSON lines (Hugging Face)": ("metadata.jsonl", '{"file_name": "a.jpg", "text": "New"}\n', [("a.jpg", "New")]),
    "PPOCRLabel": ("rec_gt.txt", "crop_img/a.jpg\tNew\n", [("crop_img/a.jpg", "New")]),
    "MindOCR": ("train_gt.txt", "a.jpg\tNew\n", [("a.jpg", "New")]),
    "words without text": ("gt.txt", "a.jpg\tNew\nb.jpg\t\n", [("a.jpg", "New"), ("b.jpg", "")]),
    "semicolon": ("gt.txt", "a.jpg;New\nb c.jpg;x, y; z\n", [("a.jpg", "New"), ("b c.jpg", "x, y; z")]),
    "CSV with semicolons": ("labels.csv", "a.jpg;New\nb.jpg;1,5\n", [("a.jpg", "New"), ("b.jpg", "1,5")]),
    "CSV with semicolons and a head": ("labels.csv", '\ufefffilename;words\r\na.jpg;New\r\nb.jpg;"x; y"\r\n\r\n',
                                       [("a.jpg", "New"), ("b.jpg", "x; y")]),
    "a column of confidences with a head": ("gt.csv", "filename,words,confidence\na.jpg,New,0.98\nb.jpg,x,1.0\n",
                                            [("a.jpg", "New"), ("b.jpg", "x")]),
    "words that are prices": ("gt.txt", "a.jpg,1,50\nb.jpg,2,99\n", [("a.jpg", "1,50"), ("b.jpg", "2,99")]),
    "words that begin with #": ("gt.txt", "a.jpg\t# 1\n#b.jpg\t#x\n", [("a.jpg", "# 1"), ("#b.jpg", "#x")]),
    "separators that Unicode has": ("gt.txt", "a.jpg\tx\u2028y\u0085z\n", [("a.jpg", "x\u2028y\u0085z")]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", ["folder", "file"])
def test_forms(tmp_path, capsys, form, given):
    name, text, expected = FORMS[form]
    folder = put(tmp_path / "d", **{name.replace(".", "__"): text})
    path = folder if given == "folder" else os.path.join(folder, name)
    assert read(path) == expected
    said = capsys.readouterr().err
    assert said.startswith(f"note: {os.path.join(folder, name)} is read as ")
    assert f"such as {expected[0][0]!r}: {expected[0][1]!r}\n" in said
    assert ("is passed over" in said) == ("head" in form or "columns" in form or "table" in form)
    if form != "CUTE80":
        for kind in ("iiit5k", "svtp", "ic13"):
            assert read(os.path.join(folder, name), kind) == expected, "one reader for all kinds"


REFUSED = {
    "a line without a word": ("gt.txt", "a.jpg\tx\nb.jpg\n",
                              "line 2: expected path, tab and word, as 1 of its 2 lines"),
    "two forms": ("gt.txt", "a.jpg\tx\nb.jpg y\nc.jpg\tz\n",
                  "line 2: expected path, tab and word, as 2 of its 3 lines"),
    "a tab that was lost": ("gt.txt", "a.jpg\tx\nb.jpg y, z\nc.jpg\tz\n", "line 2: expected path, tab"),
    "three columns": ("gt.txt", "a.jpg\tx\nb.jpg\ty\t0.9\n", "line 2: expected path, tab and word"),
    "quotes on most": ("gt.txt", 'a.jpg, "x"\nb.jpg, "y"\nc.jpg, z\n',
                       "line 3: expected path, comma and word in quotes"),
    "quote not closed": ("gt.txt", 'a.jpg, "x"\nb.jpg, "y\n', "line 2: expected path, comma and word in quotes"),
    "scripts (MLT)": ("gt.txt", "a.jpg,Latin,x\nb.jpg,Korean,y\n",
                      "column of scripts .*'a.jpg,Latin,x': read it as mlt"),
    **{f"data_list with {bad}": ("labels.json", json.dumps(
        {"data_list": [{"img_path": "a.jpg", "instances": [{"text": "x"}]}, bad]}),
        "entry 2: expected an image and its")
       for bad in ("b.jpg", 7, None, [], {"img_path": "b.jpg"}, {"img_path": "b.jpg", "instances": []},
                   {"img_path": "b.jpg", "instances": {"text": "x"}}, {"img_path": "b.jpg", "instances": ["x"]},
                   {"img_path": "b.jpg", "instances": [{}]}, {"img_path": 7, "instances": [{"text": "x"}]})},
    "data_list with an image twice": ("labels.json", '{"data_list": [{"img_path": "a.jpg", "img_path": "b.jpg", '
                                      '"instances": [{"text": "x"}]}]}', "entry 1: expected an image and its"),
    "MJSynth": ("annotation.txt", "./1/1_Word_71.jpg 71\n./1/2_a_5.jpg 5\n", "rows of lexicon.txt, not words; .*synth"),
    "boxes (PPOCRLabel)": ("gt.txt", 'a.jpg\t[{"transcription": "x", "points": [[0, 0]]}]\n', "boxes .*rec_gt.txt"),
    "an unknown head": ("gt.txt", "bild,wort\na.jpg,x\nb.jpg,y\n", "line 1: looks like the head of a table"),
    "only a head": ("labels.csv", "filename,words\n", "holds no words, only the head"),
    "a row too short": ("labels.csv", "id,file,text\n1,a.jpg,x\n2,b.jpg\n", "line 3: expected 3 columns"),
    "only images": ("gt.txt", "a.jpg\nb.jpg\n", "line 1: expected path, tab"),
    "no list": ("gt.txt", "Hello\nWorld\n", "line 1: expected path, tab"),
    "JSON without words": ("labels.json", '{"a.jpg": {"polygons": []}}', "entry 1: expected an image and its word"),
    "JSON with a number": ("labels.json", '[{"file": "a.jpg", "text": 50}]', "entry 1: expected an image and its word"),
    "half a character": ("labels.json", '{"a.jpg": "\\ud800x"}', r"entry 1: an escape such as \\ud800 stands"),
    "half a character as a path": ("label.jsonl", '{"file": "a.jpg", "text": "x"}\n{"file": "\\udc00", "text": "x"}',
                                   "line 2: .*an escape such as"),
    "JSON that breaks off": ("labels.jsonl", '{"file": "a.jpg", "text": "x"}\n{"file": "b.jp', "line 2: not a JSON"),
    "not UTF-8": ("gt.txt", "a.jpg\tx\nb.jpg\té\n".encode("latin-1"), "line 2: not UTF-8 text"),
    "UTF-16": ("gt.txt", "a.jpg\tx\n".encode("utf-16"), "is text in UTF-16; save it as UTF-8"),
    "confidences": ("gt.txt", "a.jpg,New,0.98\nb.jpg,x,1\n", "line 1: a number of 0 to 1 .*filename,words,confidence"),
    "confidences in CSV": ("labels.csv", "a.jpg,New,.98\nb.jpg,x,0.7\n", "line 1: a number of 0 to 1"),
    "words first": ("gt.txt", "New\ta.jpg\nx\tb.jpg\n", "line 1: the word stands before the path"),
    "NaN": ("labels.json", '[{"file": "a.jpg", "text": NaN}]', "entry 1: expected an image and its word as texts"),
    "empty": ("gt.txt", "\n \n", "holds no words"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    name, text, message = REFUSED[case]
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        read(put(tmp_path, **{name.replace(".", "__"): text}))


def test_a_column_that_may_be_none_of_the_word(tmp_path, capsys):
    put(tmp_path, gt__txt="".join(f"{i}.jpg,{'sign' if i % 3 else 'shop'},word{i}\n" for i in range(30)))
    assert read(tmp_path)[1] == ("1.jpg", "sign,word1")
    assert "warning: all words begin with one of 2 texts and a comma" in capsys.readouterr().err


def test_comments(tmp_path, capsys):
    put(tmp_path, gt__txt="# by hand, 2026\r\na.jpg\tNew\r\n#\r\nb.jpg\tx\r\n\r\n\r\n")
    assert read(tmp_path) == [("a.jpg", "New"), ("b.jpg", "x")]
    assert "2 lines that begin with # are passed over, the first is line 1" in capsys.readouterr().err


def test_an_image_that_is_listed_again_counts_once(tmp_path, capsys):
    put(tmp_path, gt__txt="a.jpg\tNew\nb.jpg\tx\n./a.jpg\tNew\nd/e.jpg\te\u0301\nd\\e.jpg\té\n")
    assert read(tmp_path) == [("a.jpg", "New"), ("b.jpg", "x"), ("d/e.jpg", "e\u0301")]
    assert ("note: " in (said := capsys.readouterr().err) and "2 lines repeat an image with the same word and do not "
            "count again, such as './a.jpg' in line 3, first in line 1" in said)
    put(tmp_path, gt__txt='["a.jpg", "a.jpg"]\tNew\n')
    assert read(tmp_path) == [("a.jpg", "New")]


def test_an_image_with_two_words_is_left_out(tmp_path, capsys):
    """Which one the picture shows nobody knows; the sets of the benchmarks as well as lists."""
    put(tmp_path, annotation__txt="c.jpg,y\na.jpg,New\nb.jpg,x\na.jpg,Now\nb.jpg,x\na.jpg,New\n")
    for kind in ("list", "ic13", "iiit5k"):
        assert read(tmp_path, kind) == [("c.jpg", "y"), ("b.jpg", "x")]
        said = capsys.readouterr().err
        assert ("warning: 1 images are listed with different words and left out, 3 lines in all, such as 'a.jpg': "
                "'New' in line 2, 'Now' in line 4") in said
        assert "1 lines repeat an image with the same word and do not count again, such as 'b.jpg' in line 5" in said
    put(tmp_path, annotation__txt="a.jpg,New\na.jpg,Now\n")
    with pytest.raises(DataError, match="holds no words; warning: 1 images .* 'Now' in line 2"):
        read(tmp_path)
    put(tmp_path, annotation__txt=json.dumps([{"file": "a.jpg", "text": "x"}, {"file": "a.jpg", "text": "y"},
                                              {"file": "b.jpg", "text": "z"}]))
    assert read(tmp_path) == [("b.jpg", "z")] and "'y' in entry 2" in capsys.readouterr().err
    put(tmp_path, annotation__txt='{"a.jpg": "New", "a.jpg": "Now", "b.jpg": "x", "b.jpg": "x"}')  # Python keeps one
    assert read(tmp_path) == [("b.jpg", "x")]
    assert "left out, 2 entries in all" in (said := capsys.readouterr().err) and "1 entries repeat" in said


MLT = "w1.jpg,Latin,New\nw2.jpg,Arabic,\u0634\nw3.jpg,Latin,a, b\nw4.jpg,None,###\n"


def test_mlt(tmp_path, capsys):
    put(tmp_path, gt__txt=MLT)
    assert read(tmp_path, "mlt") == [("w1.jpg", "New"), ("w2.jpg", "\u0634"), ("w3.jpg", "a, b"), ("w4.jpg", "###")]
    assert "scripts: Latin 2, Arabic 1, None 1\n" in capsys.readouterr().err
    assert read(tmp_path, "mlt", scripts="latin") == [("w1.jpg", "New"), ("w3.jpg", "a, b")]
    assert "2 words in Latin are read" in capsys.readouterr().err
    with pytest.raises(DataError, match="no word in Korean; it has: Latin 2"):
        read(tmp_path, "mlt", scripts="Korean")
    with pytest.raises(ConfigError, match="mlt_scripts: 'Greek' is none of Arabic, Latin"):
        read(tmp_path, "mlt", scripts="Latin,Greek")
    put(tmp_path / "x", gt__txt="a.jpg\tx\n")
    with pytest.raises(DataError, match="no list of MLT, path, tab and word was found: read it as list"):
        read(tmp_path / "x", "mlt")


PLACES = {  # where the list is, its path of the image, where the image is, what is said
    "beside": ("l/gt.txt", "a/w.jpg", "l/a/w.jpg", None),
    "in images": ("l/gt.txt", "w.jpg", "l/images/w.jpg", "relative to .*/l/images"),
    "from the root of the data (PaddleOCR)": ("train_data/rec/gt.txt", "train_data/rec/t/w.jpg",
                                              "train_data/rec/t/w.jpg", "relative to .*"),
    "above": ("d/lists/gt.txt", "img/w.jpg", "d/img/w.jpg", "relative to .*/d"),
    "backslashes": ("l/gt.txt", "a\\w.jpg", "l/a/w.jpg", "backslashes in them separate folders"),
    "absolute, from another machine": ("l/gt.txt", "/home/me/data/l/a/w.jpg", "l/a/w.jpg", "first 4 folders"),
    "absolute, of Windows": ("l/gt.txt", "D:\\data\\a\\w.jpg", "l/a/w.jpg", "first 2 folders .* and backslashes"),
    "another root": ("l/gt.txt", "rec/v2/a/w.jpg", "l/a/w.jpg", "the first 2 folders of each path do not count"),
    "another root, in images": ("l/gt.txt", "v2/w.jpg", "l/images/w.jpg", "relative to .*/images and the first 1"),
}


@pytest.mark.parametrize("case", PLACES)
def test_places_of_the_images(tmp_path, capsys, case):
    where, path, image, said = PLACES[case]
    put((tmp_path / image).parent, w__jpg="bytes")
    put((tmp_path / where).parent, gt__txt=f"{path}\tNew\n{path.replace('w.jpg', 'gone.jpg')}\tx\n")
    source = open_source("list", str((tmp_path / where).parent), "train")
    source.check()
    assert source.read(0) == b"bytes" and source.location(0) == str(tmp_path / image)
    assert source.reference(0) == path.replace("\\", "/").lstrip("/"), "what a table of predictions calls it"
    notes = [line for line in capsys.readouterr().err.splitlines() if "the images are found where" in line]
    assert len(notes) == (said is not None)
    if said:
        assert re.search(said, notes[0])


def test_folder_of_the_images_by_name(tmp_path, capsys):
    put(tmp_path / "far" / "away", w__jpg="bytes")
    put(tmp_path / "l", gt__txt="w.jpg\tNew\n", w__jpg="another")
    options = {"image_folder": str(tmp_path / "far" / "away")}
    source = open_source("list", str(tmp_path / "l"), "train", **options)
    assert source.read(0) == b"bytes" and "relative to" in capsys.readouterr().err
    (tmp_path / "far" / "away" / "w.jpg").unlink()
    assert open_source("list", str(tmp_path / "l"), "train", **options).read(0) == b"another"
    put(tmp_path / "l", gt__txt="/x/away/w.jpg\tNew\n")
    put(tmp_path / "far" / "away", w__jpg="bytes")
    assert open_source("list", str(tmp_path / "l"), "train", image_folder=str(tmp_path / "far")).read(0) == b"bytes"


def test_images_that_are_nowhere(tmp_path):
    put(tmp_path, gt__txt="in_no_folder_above.jpg\tNew\n")
    with pytest.raises(DataError, match="images are not below .*--image_folder"):
        open_source("list", str(tmp_path), "train").check()
    put(tmp_path, gt__txt="a.jpg\tx\n/etc/hostname\tNew\n")
    with pytest.raises(DataError, match="line 2: the path of the image must be relative .*--image_folder"):
        open_source("list", str(tmp_path), "train")
    for path in ("../w.jpg", "a/../../w.jpg", "..\\w.jpg", "/../w.jpg", "C:\\..\\w.jpg"):
        put(tmp_path, gt__txt=f"{path}\tNew\n")
        with pytest.raises(DataError, match="line 1: the path of the image climbs out of the folder"):
            open_source("list", str(tmp_path), "train")


def test_the_genuine_file_wins(tmp_path, capsys):
    """Somebody's annotation.txt beside the ground truth of the authors is not read, and that is said."""
    for kind, name in (("ic13", "Challenge2_Test_Task3_GT.txt"), ("ic15", "Challenge4_Test_Task3_GT.txt")):
        put(tmp_path / kind, annotation__txt="word_1.png,own\n", **{name.replace(".", "__"): 'word_1.png, "Genuine"\n'})
        assert read(tmp_path / kind, kind, "test") == [("word_1.png", "Genuine")]
        assert f"{name} of the set's authors is read, not annotation.txt beside it" in capsys.readouterr().err
        assert read(tmp_path / kind / "annotation.txt", kind, "test") == [("word_1.png", "own")]
        put(tmp_path / kind, gt__txt='word_1.png, "Training"\n')
        assert read(tmp_path / kind, kind, "train") == [("word_1.png", "Training")]


@pytest.mark.parametrize("name", ["challenge2_test_task3_gt.txt", "Challenge2_Test_Task3_GT (1).txt",
                                  "Challenge2_Test_Task3_GT.txt.txt"])
def test_the_genuine_file_wins_as_downloads_call_it(tmp_path, capsys, name):
    put(tmp_path, annotation__txt="word_1.png,own\n")
    (tmp_path / name).write_text('word_1.png, "Genuine"\n')
    assert read(tmp_path, "ic13", "test") == [("word_1.png", "Genuine")]
    assert f"{name} of the set's authors is read, not annotation.txt" in capsys.readouterr().err


def test_options_reach_the_list(tmp_path):
    """The keys of the configuration, and the options of convert_lmdb.py."""
    images, lists = tmp_path / "far" / "images", tmp_path / "near" / "er"
    images.mkdir(parents=True)
    for number in range(1, 5):
        cv2.imwrite(str(images / f"w{number}.jpg"), np.full((20, 60, 3), 40 * number, np.uint8))
    put(lists, gt__txt=MLT)
    keys = {"image_folder": str(images), "mlt_scripts": "Latin", "label_dict": "abcdefghijklmnopqrstuvwxyz, "}
    dataset = create_dataset("mlt", str(lists), 1, config=config(**keys))
    assert sorted(sum((batch.text for batch in dataset.epoch()), [])) == ["New", "a, b"]
    assert convert_lmdb(["-d", "mlt", "-p", str(lists), "-o", str(tmp_path / "out"), "--image_folder", str(images),
                         "--mlt_scripts", "Latin,None"]) == 0
    assert [word for _, word in read(tmp_path / "out", "lmdb")] == ["New", "a, b", "###"]


def test_an_empty_word_does_not_become_part_of_an_lmdb(tmp_path):
    for name in "abcde":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((20, 60, 3), 99, np.uint8))
    put(tmp_path, gt__txt="a.png\tNew\nb.png\t\nc.png\tx\nd.png\t\u200b\ne.png\t\u3000\u200e\n")
    assert convert_lmdb(["-d", "list", "-p", str(tmp_path), "-o", str(tmp_path / "out")]) == 3
    assert [word for _, word in read(tmp_path / "out", "lmdb")] == ["New", "x"]
    assert (tmp_path / "out" / "report.txt").read_text().count("the word is empty") == 3
