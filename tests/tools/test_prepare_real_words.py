"""Real words for training: what is set aside, what is left out, and that no scene is on both sides."""
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError, DataError
from src.dataset import open_source
from tools.prepare_real_words import groups_of, main, parse_set, parse_weights, scene_of, set_aside, weighed_mixture


def image(number, ending=".png"):
    pixels = np.random.default_rng(number).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    return cv2.imencode(ending, pixels)[1].tobytes()


def make_list(folder, rows, list_name="annotation.txt"):
    """Writes images (name -> number of the picture, word) and their list."""
    for name, (number, _) in rows.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number) if number is not None else b"broken")
    (folder / list_name).write_text("".join(f"{name}\t{word}\n" for name, (_, word) in rows.items()))
    return folder


@pytest.fixture
def sets(tmp_path):
    """A set with scenes, one without, and a test set that shares images and scenes with the first."""
    scenes = {f"train/{i // 3}_{i % 3 + 1}.png": (i, f"w{i}") for i in range(180)}
    scenes["train/60_1.png"] = (1000, "tested")
    scenes["train/60_2.png"] = (3, "twice")
    scenes["train/60_3.png"] = (None, "broken")
    scenes["train/60_4.png"] = (2000, "#-%")
    runs = {f"images/word_{i + 1}.png": (5000 + i, f"r{i}") for i in range(200)}
    tested = {"test/0_9.png": (1000, "tested"), "test/2_9.png": (1001, "other")}
    return (f"iiit5k:{make_list(tmp_path / 'scenes', scenes)}", f"list:{make_list(tmp_path / 'runs', runs)}",
            f"iiit5k:{make_list(tmp_path / 'tested', tested)}", tmp_path / "out")


def words(folder):
    source = open_source("lmdb", str(folder), "train")
    return [source.text(i) for i in range(len(source))]


def test_every_word_is_on_one_side_and_scenes_stay_together(sets, capsys):
    scenes, runs, tested, out = sets
    assert main([scenes, runs, "-o", str(out), "--not_in", tested]) == 3
    train, val = words(out / "train" / "REAL" / "scenes"), words(out / "val" / "scenes")
    assert sorted(train + val) == sorted(f"w{i}" for i in range(180))
    assert 12 <= len(val) <= 24
    assert not {int(w[1:]) // 3 for w in train} & {int(w[1:]) // 3 for w in val}
    train, val = words(out / "train" / "REAL" / "runs"), words(out / "val" / "runs")
    assert sorted(train + val) == sorted(f"r{i}" for i in range(200)) and len(val) == 20
    # Four runs of five neighbours.
    assert sum(int(b[1:]) - int(a[1:]) > 1 for a, b in zip(val, val[1:], strict=False)) <= 3
    report = (out / "report.txt").read_text().splitlines()
    assert len(report) == 4
    for line, reason in zip(report, ("same image as", "same image as", "not a readable image", "no letter or digit"),
                            strict=True):
        assert "train/60_" in line and reason in line
    assert "61 scenes" in capsys.readouterr().out


def test_the_bytes_are_those_of_the_files(sets):
    _, runs, _, out = sets
    assert main([runs, "-o", str(out), "--val_share", "0"]) == 0
    source = open_source("lmdb", str(out / "train"), "train")
    assert source.read(7) == image(5007) and source.parts[0][0] == "REAL/runs" and not (out / "val").exists()
    assert not (out / "report.txt").exists()


def test_scenes_of_a_test_set_can_be_left_out_whole(sets):
    scenes, _, tested, out = sets
    # So few names tell no scenes: the test set needs some more.
    folder = tested.removeprefix("iiit5k:")
    with open(os.path.join(folder, "annotation.txt"), "a") as file:
        file.writelines(f"test/{900 + i}_1.png\tx\n" for i in range(40))
    for i in range(40):
        with open(os.path.join(folder, f"test/{900 + i}_1.png"), "wb") as file:
            file.write(image(9000 + i))
    assert main([scenes, "-o", str(out), "--not_in", tested, "--not_their_scenes"]) == 3
    kept = words(out / "train") + words(out / "val")
    assert not {"w0", "w1", "w2", "w6", "w7", "w8"} & set(kept) and {"w3", "w9"} <= set(kept)


def test_changed_copies_of_test_images_can_be_left_out(sets, capsys):
    scenes, _, tested, out = sets
    folder = tested.removeprefix("iiit5k:")
    # "tested" and all words of scene 2.
    taken = {"test/0_9.png": 1000, "test/2_9.png": 7, "test/2_10.png": 6, "test/2_11.png": 8}
    with open(os.path.join(folder, "annotation.txt"), "a") as file:
        file.writelines(f"{name}\tx\n" for name in list(taken)[2:])
    for name, number in taken.items():
        copy = cv2.imdecode(np.frombuffer(image(number), np.uint8), cv2.IMREAD_COLOR)
        cv2.imwrite(os.path.join(folder, name), cv2.convertScaleAbs(copy, alpha=0.7, beta=20))
    assert main([scenes, "-o", str(out / "pixels"), "--not_in", tested]) == 3
    assert {"tested", "w7"} <= set(words(out / "pixels" / "train") + words(out / "pixels" / "val"))
    assert main([scenes, "-o", str(out / "near"), "--not_in", tested, "--near_duplicates"]) == 3
    kept = words(out / "near" / "train") + words(out / "near" / "val")
    # The same scenes are set aside, whatever is left out, so that networks of both can be compared.
    assert set(words(out / "near" / "val")) == set(words(out / "pixels" / "val")) - {"tested", "w6", "w7", "w8"}
    assert not {"tested", "w6", "w7", "w8"} & set(kept) and {"w5", "w9"} <= set(kept)
    report = (out / "near" / "report.txt").read_text()
    assert report.count("\tnearly ") == 4 and "test/2_9.png (correlation 1.000)" in report


def test_weights_become_a_mixture(sets, capsys):
    scenes, runs, _, out = sets
    assert main([scenes, runs, "-o", str(out), "--val_share", "0", "--weights", "runs:0.25",
                 "--synth_share", "0.6"]) == 3
    line = capsys.readouterr().out.splitlines()[-1]
    # 181 + 200 x 0.25 = 231 times a word of weight 1; the scenes have 180 words and "tested".
    assert line == f"--train_mix=REAL/scenes:{0.4 * 181 / 231:.5f},REAL/runs:{0.4 * 50 / 231:.5f},SYNTH:0.6"
    assert weighed_mixture({"a": 10, "b": 30, "c": 5}, {"b": 0}, 0.0) == "REAL/a:0.66667,REAL/c:0.33333"
    with pytest.raises(ConfigError, match="no set with training words"):
        weighed_mixture({"a": 10}, {"a": 0}, 0.5)
    for text in ("runs", "runs:-1", "runs:x", "runs:1,runs:2", "other:1", "runs:inf"):
        with pytest.raises(ConfigError, match="--weights: expected sets"):
            parse_weights(text, ["runs", "scenes"])
    with pytest.raises(ConfigError, match="--synth_share 1.0"):
        main([scenes, "-o", str(out), "--synth_share", "1"])


def test_the_choice_depends_on_the_seed_only(sets):
    scenes, _, tested, out = sets
    chosen = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        main([scenes, "-o", str(out / name), "--seed", seed])
        chosen.append(words(out / name / "val"))
    assert chosen[0] == chosen[1] != chosen[2]


def test_scene_names():
    assert scene_of("train/1009_2.png") == "1009" and scene_of("img/14_03_0.jpg") == "14_03"
    assert scene_of("crops/0001.png") is None and scene_of("a_b.png") is None
    assert set_aside(["a"] * 50 + ["b"] * 5 + ["c"] * 5, 0.1, 1) <= {"b", "c"}


def test_what_is_there_stays(sets):
    _, runs, _, out = sets
    assert main([runs, "-o", str(out)]) == 0
    with pytest.raises(DataError, match="already holds a finished LMDB of 180"):
        main([runs, "-o", str(out)])
    with pytest.raises(DataError, match="val.*runs is there already"):
        main([runs, "-o", str(out), "--overwrite", "--val_share", "0"])
    assert main([runs, "-o", str(out), "--overwrite", "--val_share", "0.5"]) == 0
    assert len(words(out / "val")) == 100


def test_words_on_end_can_be_left_out(tmp_path):
    folder = make_list(tmp_path / "set", {f"w{i}.png": (i, "the" if i % 2 else "i") for i in range(60)})
    for i in range(60):
        cv2.imwrite(str(folder / f"w{i}.png"), np.full((30, 10, 3), i, np.uint8))
    assert main([f"list:{folder}", "-o", str(tmp_path / "all")]) == 0
    assert main([f"list:{folder}", "-o", str(tmp_path / "upright"), "--upright"]) == 3
    kept = words(tmp_path / "upright" / "train") + words(tmp_path / "upright" / "val")
    assert kept == ["i"] * 30 and "'the' is higher than wide" in (tmp_path / "upright" / "report.txt").read_text()


def test_messages(sets, tmp_path):
    scenes, _, _, out = sets
    for given in ("labels.tsv", "what:x"):
        with pytest.raises(ConfigError, match="expected KIND:PATH"):
            parse_set(given, "train")
    with pytest.raises(ConfigError, match="different names"):
        main([scenes, scenes, "-o", str(out)])
    with pytest.raises(ConfigError, match="--val_share 1.0"):
        main([scenes, "-o", str(out), "--val_share", "1"])


def test_it_runs_as_a_program(sets, repo):
    _, runs, _, out = sets
    done = subprocess.run([sys.executable, str(repo / "tools" / "prepare_real_words.py"), runs, "-o", str(out)],
                          capture_output=True, text=True, cwd=repo.parent)
    assert done.returncode == 0 and "180 for training, 20 in 4 runs" in done.stdout


def test_genuine_words(shared_data):
    for kind, folder, scenes in (("list", "ic15_train", 40), ("list", "svt1_train_crops", 40)):
        name, source = parse_set(f"{kind}:{shared_data / folder}", "train")
        groups, known = groups_of(source)
        assert name == folder and not known and len(set(groups)) == scenes


def test_words_can_be_written_as_they_are_compared(tmp_path, capsys):
    texts = ("Top-up", "3 EXIT!", "caf\u00e9", "no.\u00b2", "plain", "--")
    folder = make_list(tmp_path / "set", {f"w{i}.png": (i, text) for i, text in enumerate(texts)})
    assert main([f"list:{folder}", "-o", str(tmp_path / "out"), "--val_share", "0", "--normalise"]) == 3
    assert words(tmp_path / "out" / "train") == ["topup", "3exit", "plain"]
    report = (tmp_path / "out" / "report.txt").read_text().splitlines()
    assert len(report) == 3 and "'caf\u00e9' has letters or digits that are no classes (\u00e9)" in report[0]
    assert main([f"list:{folder}", "-o", str(tmp_path / "as_is"), "--val_share", "0"]) == 3
    assert words(tmp_path / "as_is" / "train") == [*texts[:5]]
    # One set half written with the option and half without must not come about.
    with pytest.raises(DataError, match="already holds"):
        main([f"list:{folder}", "-o", str(tmp_path / "out"), "--val_share", "0"])
