"""IIIT5K .mat files to annotation.txt."""
import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from convert_iiit5k import main
from src.common.errors import DataError
from src.dataset import create_dataset
from src.iiit5k_dataset import IIIT5KSource


def cells(words):
    row = np.empty((1, len(words)), object)
    row[0, :] = words
    return row


def structs(rows, fields):
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for i, row in enumerate(rows):
        array[0, i] = tuple(row)
    return array


def char_bound(folder, rows, name="testCharBound", images=None):
    """Writes NAME.mat in the genuine form, and an image for every name (or those given)."""
    for image in {row[0] for row in rows} if images is None else images:
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((20, 50, 3), 99, np.uint8))
    mat = folder / f"{name}.mat"
    savemat(mat, {name: structs([(*row, np.ones((3, 4))) for row in rows], ("ImgName", "chars", "charBB"))})
    return str(mat)


ROWS = [("test/1_1.png", "PRIVATE"), ("test/1_2.png", "You"), ("test/2_1.png", "7")]


def words_in(path):
    source = IIIT5KSource(str(path))
    return [(source.reference(i), source.text(i)) for i in range(len(source))]


def test_annotation_beside_the_images(tmp_path, capsys):
    assert main(["-m", char_bound(tmp_path, ROWS)]) == 0
    assert (tmp_path / "annotation.txt").read_text() == "test/1_1.png,PRIVATE\ntest/1_2.png,You\ntest/2_1.png,7\n"
    assert words_in(tmp_path) == ROWS
    out, err = capsys.readouterr()
    assert "checking images: 100% 3/3" in err
    assert "annotation.txt: 3 words" in out and f"--eval_dataset_path {tmp_path}" in out
    dataset = create_dataset("iiit5k", str(tmp_path), 2, is_training=False)
    assert sum(len(batch) for batch in dataset) == 3 and not dataset.corrupted


def test_output_folder_gets_the_images(tmp_path):
    (tmp_path / "in").mkdir()
    mat = char_bound(tmp_path / "in", ROWS)
    assert main(["--mat_file", mat, "--output_dir", str(tmp_path / "out")]) == 0
    assert words_in(tmp_path / "out") == ROWS
    for image, _ in ROWS:
        assert (tmp_path / "out" / image).read_bytes() == (tmp_path / "in" / image).read_bytes()
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["test", "testCharBound.mat"]


def test_name_and_path_of_the_annotation(tmp_path, capsys):
    mat = char_bound(tmp_path, ROWS)
    assert main(["-m", mat, "-a", "annotation_test.txt"]) == 0
    assert words_in(tmp_path / "annotation_test.txt") == ROWS
    assert "--eval_dataset_path " + str(tmp_path / "annotation_test.txt") in capsys.readouterr().out
    assert main(["-m", mat, "--output_annotation", str(tmp_path / "else" / "annotation.txt")]) == 0
    assert len((tmp_path / "else" / "annotation.txt").read_text().splitlines()) == 3
    assert "note: the images are in" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["testdata", "traindata"])
def test_lexicons_are_kept(tmp_path, name):
    char_bound(tmp_path, ROWS)
    rows = [(image, word, cells([word, "A, B", "C"]), cells([word] + [f"W{i}" for i in range(20)]))
            for image, word in ROWS]
    mat = tmp_path / f"{name}.mat"
    savemat(mat, {name: structs(rows, ("ImgName", "GroundTruth", "smallLexi", "mediumLexi"))})
    assert main(["-m", str(mat), "-a", "annotation_x.txt"]) == 0
    assert words_in(tmp_path / "annotation_x.txt") == ROWS
    small = [line.split("\t") for line in (tmp_path / "lexicon_50_x.txt").read_text().splitlines()]
    assert small == [[image, word, "A, B", "C"] for image, word in ROWS]
    medium = (tmp_path / "lexicon_1k_x.txt").read_text().splitlines()
    assert len(medium) == 3 and all(len(line.split("\t")) == 22 for line in medium)
    assert main(["-m", str(mat)]) == 0
    assert (tmp_path / "lexicon_50.txt").exists()


def test_words_with_commas_and_spaces_survive(tmp_path):
    rows = [("test/a.png", "1,000 km"), ("test/b,c.png", "one, two"), ("test/d.png", "naïve")]
    assert main(["-m", char_bound(tmp_path, rows)]) == 0
    assert words_in(tmp_path) == rows


def test_bad_items_are_left_out_and_reported(tmp_path, capsys):
    rows = [*ROWS, ("test/none.png", "GONE"), ("test/text.png", "TEXT"), ("../up.png", "UP"), ("/abs.png", "ABS"),
            ("test/1_1.png", "TWICE"), ("test/e.png", ""), ("test/n.png", np.array([[1.0, 2.0]])),
            ("test/t.png", "A\tB")]
    images = [image for image, _ in rows if "none" not in image and not image.startswith(("/", ".."))]
    mat = char_bound(tmp_path, rows, images=images)
    (tmp_path / "test" / "text.png").write_text("no image")
    assert main(["-m", mat]) == 3
    assert words_in(tmp_path) == ROWS
    report = (tmp_path / "report.txt").read_text().splitlines()
    expected = ["cannot be read: No such file", "not a readable image", "climbs out", "relative to the folder",
                "there twice", "the word is empty", "is not text", "holds a tab"]
    assert len(report) == len(expected)
    for line, reason in zip(report, expected, strict=True):
        assert reason in line and "\t" in line
    assert "8 left out, the first: test/none.png" in capsys.readouterr().err
    with pytest.raises(DataError, match="test/none.png"):
        main(["-m", mat, "--strict"])
    char_bound(tmp_path, ROWS)
    assert main(["-m", mat]) == 0 and not (tmp_path / "report.txt").exists()


def test_a_second_run_may_add_but_not_lose(tmp_path):
    mat = char_bound(tmp_path, ROWS, images=["test/1_1.png", "test/1_2.png"])
    assert main(["-m", mat]) == 3
    mat = char_bound(tmp_path, ROWS)
    assert main(["-m", mat]) == 0 and main(["-m", mat]) == 0
    assert words_in(tmp_path) == ROWS
    other = char_bound(tmp_path, [("train/1.png", "other")], "trainCharBound")
    with pytest.raises(DataError, match="already holds other words.*--overwrite"):
        main(["-m", other])
    assert words_in(tmp_path) == ROWS
    assert main(["-m", other, "--overwrite"]) == 0 and words_in(tmp_path) == [("train/1.png", "other")]


def test_no_word_left(tmp_path):
    mat = char_bound(tmp_path, ROWS, images=[])
    with pytest.raises(DataError, match="none of its 3 words can be converted; the first: test/1_1.png"):
        main(["-m", mat])
    assert not (tmp_path / "annotation.txt").exists()


def mat_bytes(variables, **options):
    buffer = io.BytesIO()
    savemat(buffer, variables, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("data, message", [
    (b"", "truncated"), (b"no mat file at all" * 20, "cannot be read as a MATLAB"),
    (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n" * 9, "MATLAB"),
    (mat_bytes({"a": np.ones(3)}), "holds no struct testdata.*but a"),
    (mat_bytes({"testdata": structs([("a.png", "x")], ("Img\nName", "label"))}), r"has Img\\nName, label$"),
    (mat_bytes({"testdata": structs([("a.png", "x")], ("ImgName", "label"))}), "lacks the field.*has ImgName, label"),
    (mat_bytes({"testdata": structs([("a.png", "x")], ("image", "GroundTruth"))}), "lacks the field ImgName"),
])
def test_files_that_are_something_else(tmp_path, data, message):
    path = tmp_path / "x.mat"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        main(["-m", str(path)])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_mat_at_any_place(tmp_path, compressed):
    whole = mat_bytes({"testCharBound": structs(ROWS, ("ImgName", "chars"))}, do_compression=compressed)
    path = tmp_path / "x.mat"
    for cut in range(0, len(whole) - 1, 29):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            main(["-m", str(path)])


def test_program_exit_codes(tmp_path, repo):
    def run(*arguments):
        return subprocess.run([sys.executable, str(repo / "convert_iiit5k.py"), *arguments], cwd=tmp_path, timeout=180,
                              capture_output=True, text=True)
    nothing = run()
    assert nothing.returncode == 2 and nothing.stderr.startswith("error: testdata.mat: no such file")
    assert nothing.stderr.count("\n") == 1
    mat = char_bound(tmp_path, ROWS, images=["test/1_1.png"])
    assert run("-m", mat).returncode == 3
    (tmp_path / "file").write_text("")
    blocked = run("-m", mat, "-o", "file")
    assert blocked.returncode == 2 and blocked.stderr.startswith("error: file: ")


@pytest.mark.parametrize("split, count, first", [("test", 3000, "PRIVATE"), ("train", 2000, "You")])
def test_genuine_files(tmp_path, shared_data, split, count, first):
    folder = shared_data / "iiit5k"
    for name in (split, f"{split}CharBound.mat"):
        (tmp_path / name).symlink_to((folder / name).resolve())
    assert main(["-m", str(tmp_path / f"{split}CharBound.mat")]) == 0
    words = words_in(tmp_path)
    assert len(words) == len({image for image, _ in words}) == count and words[0][1] == first
    assert {image for image, _ in words} == {f"{split}/{path.name}" for path in (folder / split).iterdir()}
    assert all(word.isascii() and word.isalnum() for _, word in words)
    dataset = create_dataset("iiit5k", str(tmp_path), 64, is_training=False)
    assert [i for batch in dataset for i in batch.index] == list(range(count)) and not dataset.corrupted


def test_a_lexicon_that_would_break_its_line(tmp_path):
    char_bound(tmp_path, ROWS[:2])
    rows = [(name, word, cells(["a", "b"]), cells(["a\tb", "c\nd"])) for name, word in ROWS[:2]]
    names = ("ImgName", "GroundTruth", "smallLexi", "mediumLexi")
    savemat(tmp_path / "testdata.mat", {"testdata": structs(rows, names)})
    assert main(["-m", str(tmp_path / "testdata.mat"), "-o", str(tmp_path)]) == 3
    assert (tmp_path / "lexicon_50.txt").read_text() == "".join(f"{name}\ta\tb\n" for name, _ in ROWS[:2])
    assert "mediumLexi\tthe lexicon is empty, or holds something" in (tmp_path / "report.txt").read_text()
