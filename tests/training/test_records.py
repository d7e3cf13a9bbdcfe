"""What a run leaves for people: its log, its numbers and their picture."""
import csv
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from src.common.errors import CRNNError
from src.training.curves import draw_curves
from src.training.records import COLUMNS, Metrics, logging_to


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def note(metrics, first, last, per_epoch=4, skipped=()):
    for done in range(first, last + 1):
        metrics.note_step(done, (done - 1) // per_epoch + 1, done % per_epoch == 0, float(done), 0.5, 2.0,
                          done in skipped)


def test_a_line_for_every_printed_loss_and_every_evaluation(tmp_path):
    with Metrics(tmp_path, 3, 10) as metrics:
        note(metrics, 1, 8, skipped=(4, 5))
        metrics.note_evaluation(8, 2, SimpleNamespace(accuracy=0.25, cer=0.5))
    found = rows(tmp_path)
    assert tuple(found[0]) == COLUMNS
    assert [(row["step"], row["epoch"], row["images"]) for row in found] == [
        ("3", "1", "30"), ("4", "1", "40"), ("6", "2", "60"), ("8", "2", "80"), ("8", "2", "80")]
    assert [row["loss"] for row in found] == ["2.000000", "", "6.000000", "7.500000", ""], "skipped steps do not count"
    assert [row["skipped_steps"] for row in found] == ["0", "1", "2", "2", ""]
    assert (found[4]["accuracy"], found[4]["cer"]) == ("0.250000", "0.500000")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[2] == 3 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_a_resumed_run_goes_on_in_the_same_table(tmp_path):
    with Metrics(tmp_path, 2, 10) as metrics:
        note(metrics, 1, 6)
    with Metrics(tmp_path, 2, 10, goes_on=True, start=4) as metrics:
        assert [row["step"] for row in rows(tmp_path)] == ["2", "4"], "what comes after the checkpoint is done again"
        note(metrics, 5, 8)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6", "8"]
    with Metrics(tmp_path, 2, 10):
        assert rows(tmp_path) == []


def test_what_cannot_be_written_is_told_once(tmp_path, capsys):
    (tmp_path / "metrics.csv").mkdir()
    with Metrics(tmp_path, 1, 10) as metrics:
        note(metrics, 1, 8)
    assert capsys.readouterr().err.count("metrics.csv cannot be written (Is a directory); training goes on") == 1


def test_the_curve_is_where_the_numbers_are(tmp_path):
    draw_curves(tmp_path / "c.png", [(0, 10.0), (100, 1.0)], [(100, 1.0)])
    blue, green, red = cv2.split(cv2.imread(str(tmp_path / "c.png")).astype(int))
    loss = (blue > 120) & (red < 80)
    ys, xs = np.nonzero(loss[60:361, 65:835])
    assert ys[xs < 20].max() < 20 and ys[xs > 750].min() > 280, "from the top left to the bottom right"
    accuracy = (red > 150) & (blue < 80)
    assert accuracy[60, 840] and not accuracy[300, 840]
    draw_curves(tmp_path / "none.png", [(10, 1.0)], [])
    assert not (tmp_path / "none.png").exists()


def test_the_log_has_what_was_printed(tmp_path, capsys):
    for word, goes_on in (("first", False), ("second", True), ("third", False)):
        with logging_to(tmp_path / "out", goes_on):
            print(word)
            print(f"warning: {word}", file=sys.stderr)
            sys.stderr.write("\rtraining: 10 %")
    assert (tmp_path / "out" / "log.txt").read_text() == "third\nwarning: third\n"
    assert (tmp_path / "out" / "log.previous.txt").read_text() == "first\nwarning: first\nsecond\nwarning: second\n"
    out, err = capsys.readouterr()
    assert out == "first\nsecond\nthird\n" and err.count("\rtraining: 10 %") == 3
    with pytest.raises(CRNNError), logging_to(tmp_path / "out", True):
        raise CRNNError("it is over")
    assert (tmp_path / "out" / "log.txt").read_text().endswith("error: it is over\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is of Linux")
def test_a_log_on_a_full_disk_is_given_up(tmp_path, capsys):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with logging_to(tmp_path, goes_on=True):
        for word in ("one", "two", "three"):
            print(word)
    out, _ = capsys.readouterr()
    assert out.count("warning: the log cannot be written any more") == 1
    assert all(word in out for word in ("one", "two", "three"))
