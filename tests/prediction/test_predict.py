"""predict.py: forms of output, folders, pipes, broken files; and the options it knows."""
import csv
import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

import predict
from src.common.errors import CheckpointError, ConfigError, DataError
from src.data.image_files import find_images
from tests.conftest import REPO
from tests.words import draw_word


@pytest.fixture(scope="module")
def folder(drawn_words):
    return drawn_words(3)


def run(capsys, *words) -> tuple[int, str, str]:
    capsys.readouterr()
    code = predict.main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_forms_of_output_say_the_same(folder, capsys):
    rows = [line.split("\t") for line in run(capsys, folder, "--top=3")[1].splitlines()]
    assert [row[0] for row in rows] == [str(folder / f"{n:02d}.png") for n in range(3)] and {*map(len, rows)} == {7}
    confidence = np.array([[float(row[n]) for n in (2, 4, 6)] for row in rows])
    assert (confidence[:, 0] > confidence[:, 1]).all() and (np.diff(confidence[:, 1:]) <= 0).all()
    table = [*csv.reader(io.StringIO(run(capsys, folder, "--top=3", "--output=csv")[1]))]
    assert table[0] == ["path", "text", "confidence", "text_2", "confidence_2", "text_3", "confidence_3",
                        "unsure"]
    assert [row[:7] for row in table[1:]] == rows
    entries = json.loads(run(capsys, folder, "--top=3", "--output=json")[1])
    lines = run(capsys, folder, "--top=3", "--output=jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == entries
    for entry, row in zip(entries, rows, strict=True):
        assert (entry["path"], entry["text"], f"{entry['confidence']:.4f}") == tuple(row[:3])
        assert [other["text"] for other in entry["next_best"]] == [row[3], row[5]]
        assert "".join(c["text"] for c in entry["characters"]) == entry["text"]
    columns = run(capsys, folder, "--output=table")[1].splitlines()
    assert columns[0].split() == ["path", "text", "confidence", "unsure"]
    assert [line.split()[:3] for line in columns[1:]] == [row[:3] for row in rows]


def test_a_path_with_a_comma_and_quotes(tmp_path, capsys):
    path = tmp_path / 'a,"b".png'
    cv2.imwrite(str(path), draw_word("fox"))
    assert [*csv.reader(io.StringIO(run(capsys, path, "--output=csv")[1]))][1][0] == str(path)


def test_broken_files_are_named_and_the_others_read(folder, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = tmp_path / "broken.png", folder, tmp_path / "nowhere.png"
    code, out, err = run(capsys, *words)
    assert code == 1 and len(out.splitlines()) == 3
    assert "broken.png: not a readable image" in err and "nowhere.png does not exist" in err
    assert "2 of 5 images could not be read" in err
    entries = json.loads(run(capsys, *words, "--output=json")[1])
    assert len(entries) == 5 and sum("error" in entry for entry in entries) == 2
    (tmp_path / "broken.png").rename(tmp_path / "a.png")
    assert run(capsys, tmp_path, "--output=json")[:2] == (1, json.dumps([{
        "path": str(tmp_path / "a.png"), "error": f"{tmp_path / 'a.png'}: not a readable image, or a truncated one "
        "(10 bytes)"}])[:-1] + "\n]\n")


def test_from_a_pipe(folder):
    data = (folder / "01.png").read_bytes()
    program = [sys.executable, str(REPO / "predict.py")]
    done = subprocess.run([*program, "-"], input=data, capture_output=True, timeout=120)
    named = subprocess.run([*program, str(folder / "01.png")], capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split(b"\t")[1:] == named.stdout.split(b"\t")[1:]
    done = subprocess.run([*program, "-"], input=b"rubbish", capture_output=True, timeout=120)
    assert done.returncode == 1 and b"error: standard input: not a readable image" in done.stderr


def test_folders_are_walked_as_people_expect(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.png", ".hidden/d.png", "._a.jpg", "notes.txt", "sub.png/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = [path.removeprefix(f"{tmp_path}/") for path in find_images([str(tmp_path)])]
    assert names == ["a.jpg", "b.PNG", "sub/c.png", "sub.png/e.png"]
    assert find_images([str(tmp_path / "._a.jpg")]) == [str(tmp_path / "._a.jpg")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image given"):
        find_images([])
    with pytest.raises(DataError, match="holds no image"):
        find_images([str(tmp_path / "empty")])


def test_a_photograph_is_named(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8))
    assert "photo.png is 800 x 600 pixels and was read with little confidence" in run(capsys, tmp_path)[2]


def test_options_of_other_programs_are_refused(folder, tmp_path, capsys):
    with pytest.raises(ConfigError, match="save_predictions has no effect in this program"):
        predict.main(["--save_predictions=x", str(folder)])
    (tmp_path / "all.yaml").write_text("save_predictions: x\nepoch_size: 3\nbatch_size: 2\n")  # files are shared
    assert run(capsys, f"--config_path={tmp_path / 'all.yaml'}", folder)[0] == 0


def test_help_begins_with_its_own_options(capsys):
    with pytest.raises(SystemExit) as end:
        predict.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and text.index("--output TEXT") < text.index("--decoder") < text.index("--image_width")
    assert "ModelArts" not in text and "epoch_size" not in text and len(text.splitlines()) < 120


def test_linked_folders_are_read_once(tmp_path):
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    (far / "a.png").write_bytes(b"x")
    (near / "link").symlink_to(far)
    (far / "round").symlink_to(near)
    assert find_images([str(near)]) == [str(near / "link" / "a.png")]
    (tmp_path / "itself").symlink_to(near)
    assert find_images([str(tmp_path / "itself")]) == [str(tmp_path / "itself" / "link" / "a.png")]


def test_a_path_with_a_line_break_and_a_tab(tmp_path, capsys):
    (tmp_path / "a\nb").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), draw_word("market"))
    (tmp_path / "a.png").rename(tmp_path / "a\nb" / "c\td.png")
    lines = run(capsys, str(tmp_path))[1].splitlines()
    assert len(lines) == 1 and lines[0].split("\t")[0] == str(tmp_path / "a\\nb" / "c\\td.png")
    assert next(csv.reader(io.StringIO(run(capsys, str(tmp_path), "--output=csv")[1].partition("\n")[2])))[0] == str(
        tmp_path / "a\nb" / "c\td.png")


def test_the_picture_is_none_of_the_images(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), draw_word("market"))
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ConfigError, match="a.png is read and would be overwritten"):
        predict.main([str(tmp_path), f"--picture={tmp_path / 'a.png'}"])
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("temperature", ["1e-300", "1e-40", "1e300"])
def test_temperatures_at_the_ends(folder, capsys, temperature):
    for line in run(capsys, str(folder), f"--temperature={temperature}", "--decoder=greedy")[1].splitlines():
        assert 0 <= float(line.split("\t")[2]) <= 1


def test_a_checkpoint_given_as_onnx_file(folder):
    with pytest.raises(CheckpointError, match="crnn_v2.ckpt is damaged, or no ONNX file but a checkpoint"):
        predict.main([str(folder), f"--onnx_file={REPO / 'pretrained' / 'crnn_v2.ckpt'}"])


@pytest.mark.parametrize("picture", ["sheet.xyz", "sheet", ".", "sheet.exr"])
def test_a_picture_that_cannot_be_written_is_told_first(folder, tmp_path, monkeypatch, capsys, picture):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="cannot write the picture"):
        predict.main([f"--picture={picture}", str(folder)])
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())
