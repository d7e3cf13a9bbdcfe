"""postprocess.py on result files that are made here."""
import subprocess
import sys

import numpy as np
import pytest

import postprocess
from src.common.errors import ConfigError, CRNNError, DataError
from tests.conftest import REPO

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def scores_of(text: str, steps: int = 24, seed: int = 0) -> np.ndarray:
    """Logits (steps, 1, 37) of a network that reads the text: each character twice, blanks between them."""
    scores = np.random.default_rng(seed).normal(0, 1, (steps, 1, 37)).astype(np.float32)
    path = [k for c in text for k in (CHARACTERS.index(c), CHARACTERS.index(c), 36)]
    path = (path + [36] * steps)[:steps]
    scores[np.arange(steps), 0, path] += 20
    return scores


@pytest.fixture
def run(tmp_path):
    """Words with what was read; returns annotation and result folder."""
    words = [("img/a.b.png", "Alpha", "alpha"), ("img/two.jpg", "b.e-e", "bee"), ("img/3.jpg", "Gamma", "gama"),
             ("img/4.jpg", "d4", "d4")]
    (tmp_path / "img").mkdir()
    (tmp_path / "results").mkdir()
    for image, _, reading in words:
        (tmp_path / image).write_bytes(b"")
        stem = image.removeprefix("img/").rpartition(".")[0]
        kind = np.float16 if image.endswith("png") else np.float32
        scores_of(reading).astype(kind).tofile(tmp_path / "results" / f"{stem}_0.bin")
    (tmp_path / "annotation.txt").write_text("".join(f"{image},{text}\n" for image, text, _ in words))
    return tmp_path


def words_for(folder, *more):
    return [f"--ann_file={folder}/annotation.txt", f"--result_path={folder}/results", "--dataset=iiit5k", *more]


def test_prints_the_lines_users_know(run, capsys):
    assert postprocess.main(words_for(run)) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["correct num: 3 , total num: 4",
                                                         "result CRNNAccuracy is: 0.75"]


def test_every_prediction_on_request(run, capsys):
    postprocess.main(words_for(run, "--print_predictions"))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("prediction")]
    assert lines[2].startswith("prediction: gama , truth: gamma , ") and len(lines) == 4


def test_words_of_the_protocol_only(run, capsys):
    """IC03 counts words of three characters or more without signs: Alpha and Gamma."""
    assert postprocess.main(words_for(run, "--dataset=ic03")) == 0
    assert "correct num: 1 , total num: 2" in capsys.readouterr().out
    postprocess.main(words_for(run, "--dataset=ic03", "--eval_protocol=whole"))
    assert "correct num: 3 , total num: 4" in capsys.readouterr().out


def test_one_result_file(run, capsys):
    assert postprocess.main(words_for(run, f"--result_path={run}/results/3_0.bin")) == 0
    assert "correct num: 0 , total num: 1" in capsys.readouterr().out
    with pytest.raises(DataError, match="belongs to no image"):
        postprocess.main(words_for(run, f"--result_path={run}/annotation.txt"))


def test_missing_results_are_counted_and_named(run, capsys):
    (run / "results" / "two_0.bin").unlink()
    assert postprocess.main(words_for(run)) == 1
    streams = capsys.readouterr()
    assert "correct num: 2 , total num: 3" in streams.out
    assert "1 of 4 words have no result file and are not counted" in streams.err and "two_0.bin" in streams.err


def test_other_charset_and_width(run, capsys):
    """Three classes, 40 columns make 9 steps."""
    for name, best in (("a.b", [0, 2, 1]), ("two", [1, 2, 2]), ("3", [2, 2, 2]), ("4", [0, 0, 0])):
        scores = np.zeros((9, 1, 3), np.float32)
        scores[:, 0, 2] = 1
        scores[[0, 1, 2], 0, best] = 5
        scores.tofile(run / "results" / f"{name}_0.bin")
    (run / "annotation.txt").write_text("img/a.b.png,ab\nimg/two.jpg,b\nimg/3.jpg,a\nimg/4.jpg,a\n")
    assert postprocess.main(words_for(run, "--label_dict=ab", "--image_width=40")) == 0
    assert "correct num: 3 , total num: 4" in capsys.readouterr().out


@pytest.mark.parametrize("size", [0, 100, 24 * 37 * 4 - 2, 24 * 37 * 8])
def test_wrong_size(run, size):
    (run / "results" / "4_0.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"4_0\.bin has {size} bytes.*3552 in float32 or 1776 in float16"):
        postprocess.main(words_for(run))


def test_images_that_share_a_result(run):
    (run / "annotation.txt").write_text("img/3.jpg,gamma\nother/3.png,delta\n")
    with pytest.raises(DataError, match=r"img/3\.jpg and other/3\.png share the result file 3_0\.bin"):
        postprocess.main(words_for(run))


@pytest.mark.parametrize(("option", "kind", "part"), [
    ("--ann_file=", ConfigError, "ann_file is empty"), ("--result_path=", ConfigError, "result_path is empty"),
    ("--ann_file=nowhere.txt", DataError, "nowhere.txt"),
    ("--result_path=nowhere", DataError, "nowhere does not exist")])
def test_options_that_cannot_be(run, option, kind, part):
    with pytest.raises(kind, match=part):
        postprocess.main(words_for(run, option))


def test_folder_without_results(run):
    with pytest.raises(CRNNError, match=r"holds none of the 4 result files.*a\.b_0\.bin"):
        postprocess.main(words_for(run, f"--result_path={run}/img"))


def test_scores_that_are_not_numbers(run):
    scores = scores_of("d4")
    scores[3] = np.nan
    scores.tofile(run / "results" / "4_0.bin")
    with pytest.raises(CRNNError, match="4_0.bin"):
        postprocess.main(words_for(run))


def test_program_runs_without_mindspore(run):
    code = ("import sys; sys.modules['mindspore'] = None; import postprocess; "
            "sys.exit(postprocess.main(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", code, *words_for(run)], cwd=REPO, text=True, capture_output=True,
                          timeout=180)
    assert done.returncode == 0 and "correct num: 3 , total num: 4" in done.stdout, done.stderr
