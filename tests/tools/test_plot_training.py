"""The picture of a training's loss."""
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from src.common.errors import ConfigError, DataError
from tools.plot_training import main, read_log, to_svg

LOG = """mindspore 2.10.0 on CPU
Configuration (* differs from default_config.yaml)
  * batch_size: 16  (command line; default 64)
\rtraining:   1% 64/9000\repoch: 1 step: 10, loss is 20.5
epoch: 1 step: 20, loss is 4.0
epoch: 1, acc: 0.250000 (5 of 20), 1-NED: 0.5
epoch: 2 step: 10, loss is 2.0
"""


def test_images_are_counted_over_epochs():
    (stage,) = read_log(LOG.split("\n"), "a")
    assert stage.losses == [(160, 20.5), (320, 4.0), (480, 2.0)] and stage.accuracies == [(320, 0.25)]
    assert stage.images == 480


def test_a_run_that_goes_on_is_one_stage_and_a_new_one_another():
    again = ("resumed from x.ckpt: epoch 1, step 10, weights and training state\nConfiguration (*)\n"
             "    batch_size: 16\nepoch: 2 step: 20, loss is 1.5\n")
    (stage,) = read_log((LOG + again).split("\n"), "a")
    assert stage.losses[-1] == (640, 1.5)
    new = again.replace("epoch 1, step 10", "epoch 0, step 0").replace("16", "32").replace("epoch: 2", "epoch: 1")
    first, second = read_log((LOG + new).split("\n"), "a")
    assert (first.images, second.images, second.losses) == (480, 640, [(640, 1.5)]) and second.name == "a, run 2"


def resumed(epoch, step, *losses):
    return (f"mindspore 2.10.0 on CPU\nresumed from x.ckpt: epoch {epoch}, step {step}, weights and training state\n"
            "Configuration (*)\n    batch_size: 16\n" + "".join(f"{line}\n" for line in losses))


def test_what_was_done_once_more_counts_once():
    (stage,) = read_log((LOG + resumed(0, 15, "epoch: 1 step: 20, loss is 3.5", "epoch: 2 step: 10, loss is 1.9"))
                        .split("\n"), "a")
    assert stage.losses == [(160, 20.5), (320, 3.5), (480, 1.9)] and not stage.accuracies
    (stage,) = read_log((LOG + resumed(1, 0, "epoch: 2 step: 10, loss is 1.9")).split("\n"), "a")
    assert stage.losses == [(160, 20.5), (320, 4.0), (480, 1.9)] and stage.accuracies == [(320, 0.25)]


def test_a_log_of_the_later_part_alone_counts_that_part():
    log = resumed(3, 500, "epoch: 4 step: 510, loss is 1", "epoch: 5 step: 10, loss is 2")
    (stage,) = read_log(log.split("\n"), "a")
    assert stage.losses == [(160, 1), (320, 2)]


def test_several_ranks_see_as_many_batches():
    (stage,) = read_log(LOG.replace("on CPU", "on CPU, rank 0 of 8; stock").split("\n"), "a")
    assert stage.images == 8 * 480


TABLE = """step\tminutes\timages\tdrawn\tloss\tlearning_rate\timages_per_s\tdrawn_per_s\tval_acc
100\t0.5\t1600\t900\t20.5\t1e-3\t55\t30\t
200\t1.0\t3200\t900\t4.0\t1e-3\t55\t30\t0.2500
200\t1.0\t3200\t900\t\t\t\t\t0.2600
"""


def test_the_table_of_the_twin():
    (stage,) = read_log(TABLE.split("\n"), "a")
    assert stage.losses == [(1600, 20.5), (3200, 4.0)] and stage.accuracies == [(3200, 0.25), (3200, 0.26)]
    assert (stage.name, stage.images) == ("a", 3200)
    again = TABLE + "150\t0.8\t2400\t900\t5.0\t1e-3\t55\t30\t\n200\t1.0\t3200\t900\t3.9\t1e-3\t55\t30\t\n250\t1.1"
    (stage,) = read_log(again.split("\n"), "a")
    assert stage.losses == [(1600, 20.5), (2400, 5.0), (3200, 3.9)] and not stage.accuracies


def test_both_kinds_of_logs_are_stages_of_one_training(tmp_path, capsys):
    (tmp_path / "log.tsv").write_text(TABLE)
    (tmp_path / "log.txt").write_text(LOG)
    assert main([f"{tmp_path}/log.tsv:twin", f"{tmp_path}/log.txt:real", "-o", str(tmp_path / "curve.svg")]) == 0
    assert "2 stages, 3,680 images" in capsys.readouterr().out
    picture = (tmp_path / "curve.svg").read_text()
    assert "twin: 3k" in picture and "real: 0k" in picture and picture.count("<circle") == 3


def test_the_picture(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(LOG)
    (tmp_path / "b<&.txt").write_text(LOG.replace("20.5", "nan"))
    target = tmp_path / "curve.svg"
    assert main([f"{tmp_path}/a.txt:first part", f"{tmp_path}/b<&.txt", "-o", str(target), "--title", "A <b>"]) == 0
    assert capsys.readouterr().out == f"{target}: 2 stages, 960 images\n"
    tree = ElementTree.parse(target)
    space = "{http://www.w3.org/2000/svg}"
    lines = [line.get("points").split() for line in tree.iter(f"{space}polyline")]
    assert [len(line) for line in lines] == [3, 2]  # what is no number has no place
    points = [tuple(map(float, point.split(","))) for line in lines for point in line]
    assert [x for x, _ in points] == sorted(x for x, _ in points) and len(list(tree.iter(f"{space}circle"))) == 2
    width, height = (float(tree.getroot().get(name)) for name in ("width", "height"))
    assert all(0 < x < width and 0 < y < height for x, y in points)
    # The lower the loss, the lower its point; the scale tells it.
    assert points[0][1] < points[1][1] < points[2][1]
    ticks = {text.text: float(text.get("y")) - 4 for text in tree.iter(f"{space}text")
             if re.fullmatch(r"[\d.]+", text.text or "") and text.get("text-anchor") == "end"}
    assert ticks["2"] == pytest.approx(points[2][1], abs=0.2) and ticks["2"] > ticks["5"] > ticks["50"]


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(DataError, match="holds no line such as"):
        read_log(["nothing"], "x")
    for lines in ([], TABLE.split("\n")[:1]):
        with pytest.raises(DataError, match="no row of a log.tsv with a loss"):
            read_log(lines, "x")
    with pytest.raises(DataError, match="missing.txt cannot be read .No such file"):
        main([str(tmp_path / "missing.txt"), "-o", str(tmp_path / "x.svg")])
    with pytest.raises(DataError, match="nothing to draw"):
        to_svg(read_log(["epoch: 1 step: 1, loss is nan"], "x"), "t")
    assert not list(Path(tmp_path).iterdir())


def test_a_loss_that_is_no_number_does_not_count():
    (stage,) = read_log(["epoch: 1 step: 1, loss is 3.0.0e--", "epoch: 1 step: 2, loss is 2.5"], "a")
    assert [loss for _, loss in stage.losses] == [2.5]


def test_the_log_is_not_overwritten(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("epoch: 1 step: 1, loss is 3.0\n")
    with pytest.raises(ConfigError, match="log.txt is read and would be overwritten"):
        main([str(path), "-o", str(path)])
    assert path.read_text().startswith("epoch")
