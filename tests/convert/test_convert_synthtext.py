"""SynthText's gt.mat to word crops, as a folder and as an LMDB."""
import cv2
import numpy as np
import pytest
from scipy.io import savemat

import src.convert.lmdb_writer
from convert_synthtext import main
from src.common.errors import DataError
from src.dataset import create_dataset, open_source
from tests.word_sets import config


def corners(left, top, right, bottom):
    return [[left, right, right, left], [top, top, bottom, bottom]]


def make(folder, scenes, names=None):
    """scenes: name -> (text blocks, list of boxes); writes gt.mat in the genuine form and the pictures."""
    folder.mkdir(exist_ok=True)
    cells = {key: np.empty((1, len(scenes)), object) for key in ("imnames", "wordBB", "txt", "charBB")}
    for i, (name, texts, boxes) in enumerate(scenes):
        bounds = np.array(boxes, np.float32).transpose(1, 2, 0)
        cells["imnames"][0, i] = name
        cells["wordBB"][0, i] = bounds[:, :, 0] if len(boxes) == 1 else bounds  # as MATLAB drops the last axis
        cells["txt"][0, i] = np.array(texts)
        cells["charBB"][0, i] = np.zeros((2, 4, 3))
        if names is None or name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (60, 90, 3), np.uint8))
    savemat(folder / "gt.mat", cells)
    return ["-m", str(folder / "gt.mat"), "-o", str(folder / "out")]


SCENES = [("1/a_0.png", ["Two words\n and a ", "third  "],
           [corners(1, 2, 20, 12), corners(-5, -5, 9, 9), corners(80, 50, 99.5, 70), corners(0.5, 0.5, 3, 3),
            corners(3, 4, 50, 20)]),
          ("2/b_1.png", ["don't"], [[[10, 40, 45, 12], [10, 5, 30, 33]]])]


def test_folder(tmp_path, capsys):
    assert main([*make(tmp_path / "d", SCENES), "-f", "png"]) == 0
    source = open_source("synth", str(tmp_path / "d/out"), "train")
    assert [source.text(i) for i in range(6)] == ["Two", "words", "and", "a", "third", "don't"]
    assert source.reference(5) == "./2/b_1_0_dont.png"
    expected = [(1, 2, 20, 12), (0, 0, 9, 9), (80, 50, 90, 60), (0, 0, 3, 3), (3, 4, 50, 20), (10, 5, 45, 33)]
    for i, (left, top, right, bottom) in enumerate(expected):
        picture = cv2.imread(str(tmp_path / "d" / SCENES[i // 5][0]))
        np.testing.assert_array_equal(cv2.imread(source.location(i)), picture[top:bottom, left:right])
    printed = capsys.readouterr()
    assert "6 of 6 words from 2 scenes; 0 left out" in (out := printed.out)
    assert "reading gt.mat: " in printed.err and "cutting words: 100% 6/6" in printed.err
    assert "2 boxes reached out of the picture and were clamped" in out
    training = create_dataset("synth", str(tmp_path / "d/out"), 2, config=config(label_dict="adehinorstTw'"))
    assert len(list(training)) == 3
    with pytest.raises(DataError, match="annotation_train.txt is already there"):
        main(["-m", str(tmp_path / "d/gt.mat"), "-o", str(tmp_path / "d/out")])
    assert not (tmp_path / "d/out/unfinished.txt").exists()


def test_lmdb_equals_the_folder_also_when_interrupted(tmp_path, monkeypatch):
    scenes = [(f"{i % 3}/s_{i}.png", [f"w{i}a w{i}b", f"w{i}c"],
               [corners(0, 0, 20, 20), corners(5, 5, 5, 9), corners(3, 3, 30, 30)]) for i in range(20)]
    arguments = make(tmp_path / "d", scenes)
    assert main([*arguments, "--workers", "3"]) == 3
    folder = open_source("synth", str(tmp_path / "d/out"), "train")
    arguments[-1] = str(tmp_path / "lmdb")
    monkeypatch.setattr(src.convert.lmdb_writer, "_BATCH_SAMPLES", 4)
    write, count = src.convert.lmdb_writer.LmdbWriter._write, 0

    def interrupted(self, *rest):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        write(self, *rest)
    monkeypatch.setattr(src.convert.lmdb_writer.LmdbWriter, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main([*arguments, "--lmdb"])
    monkeypatch.undo()
    assert main([*arguments, "--lmdb"]) == 3
    packed = open_source("lmdb", str(tmp_path / "lmdb"), "train")
    assert len(packed) == len(folder) == 40
    for i in range(40):
        assert packed.text(i) == folder.text(i) and packed.read(i) == folder.read(i)
    assert (tmp_path / "lmdb/report.txt").read_text() == (tmp_path / "d/out/report.txt").read_text()


def test_bad_items_are_left_out_and_reported(tmp_path, capsys):
    good = corners(0, 0, 9, 9)
    scenes = [("1/a.png", ["ok flat far nan"], [good, corners(3, 3, 3, 9), corners(100, 0, 120, 9),
                                                 corners(float("nan"), 0, 5, 5)]),
              ("../up.png", ["up"], [good]), ("1/gone.png", ["gone"], [good]), ("1/b.png", ["one two"], [good]),
              ("1/a.png", ["again"], [good]), ("1/text.png", ["text"], [good])]
    arguments = make(tmp_path / "d", scenes, names=["1/a.png", "1/b.png", "1/text.png"])
    (tmp_path / "d/1/text.png").write_text("no image")
    assert main(arguments) == 3
    source = open_source("synth", str(tmp_path / "d/out"), "train")
    assert [source.text(i) for i in range(len(source))] == ["ok"]
    lines = (tmp_path / "d/out/report.txt").read_text().splitlines()
    expected = [("1/a.png word 1 'flat'", "box is empty"), ("word 2 'far'", "outside the picture"),
                ("word 3 'nan'", "not finite"), ("../up.png word 0 'up'", "climbs out"), ("gone", "cannot be read"),
                ("1/b.png word 0 'one'", "2 words, but boxes of shape (2, 4, 1)"), ("'two'", "2 words"),
                ("again", "there twice"), ("text", "not a readable image")]
    for line, (item, reason) in zip(lines, expected, strict=True):
        assert item in line.split("\t")[0] and reason in line.split("\t")[1]
    assert "1 of 10 words from 6 scenes; 9 left out" in capsys.readouterr().out
    with pytest.raises(DataError, match="1/a.png word 1 'flat': the box is empty"):
        main([*arguments, "--overwrite", "--strict"])


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(DataError, match="gt.mat: no such file"):
        main(["-m", str(tmp_path / "gt.mat"), "-o", str(tmp_path / "out")])
    path = tmp_path / "gt.mat"
    path.write_bytes(b"no mat file" * 50)
    with pytest.raises(DataError, match="cannot be read as a MATLAB"):
        main(["-m", str(path), "-o", str(tmp_path / "out")])
    savemat(path, {"imnames": np.array(["a"], object)})
    with pytest.raises(DataError, match="lacks wordBB, txt: expected gt.mat"):
        main(["-m", str(path), "-o", str(tmp_path / "out")])
    arguments = make(tmp_path / "d", SCENES, names=[])
    with pytest.raises(DataError, match="none of its 6 words can be converted; the first: 1/a_0.png word 0 'Two'"):
        main(arguments)


def test_boxes_of_another_kind(tmp_path):
    arguments = make(tmp_path / "d", SCENES[1:])
    for number, boxes in enumerate(("text", np.array([[1, 2], [3]], object), np.full((2, 4), 1j))):
        cell = np.empty((1, 1), object)
        cell[0, 0] = boxes
        savemat(tmp_path / "d" / "gt.mat", {"imnames": np.array([["2/b_1.png"]], object), "wordBB": cell,
                                            "txt": np.array([["don't"]], object)})
        with pytest.raises(DataError, match="the first: 2/b_1.png word 0 \"don't\": its boxes are no numbers"):
            main([*arguments, "--overwrite"] if number else arguments)


def test_scenes_without_words(tmp_path):
    arguments = make(tmp_path / "d", [("1/a.png", [" "], [corners(1, 2, 20, 12)])])
    with pytest.raises(DataError, match="gt.mat: none of its 0 words can be converted$"):
        main(arguments)
