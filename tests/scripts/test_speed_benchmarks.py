"""The benchmarks run to their end on tiny sets, and say in a sentence why they cannot. No time is tested."""
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compare_precision, compare_recipes
from benchmarks.child import output_of, reason
from convert_lmdb import main as convert_lmdb
from src.onednn import available

REPO = Path(__file__).resolve().parents[2]


def run(name: str, *options) -> subprocess.CompletedProcess:
    """Runs a benchmark."""
    return subprocess.run([sys.executable, str(REPO / "benchmarks" / f"{name}.py"), *map(str, options)],
                          capture_output=True, text=True, timeout=180)


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, headings and rules left out."""
    lines = text.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None for line in lines]
    rules = {number for number, row in enumerate(cells) if row and set("".join(row)) == {"-"}}
    return [row for number, row in enumerate(cells) if row and number not in rules and number + 1 not in rules]


@pytest.fixture(scope="module")
def words(tmp_path_factory, good) -> Path:
    """An LMDB of 70 words."""
    folder = tmp_path_factory.mktemp("lmdb") / "words"
    convert_lmdb(["-d", "iiit5k", "-p", good, "-o", str(folder)])
    return folder


def test_simulated_cards(words):
    done = run("bench_feed", "--lmdb", words, "--settings", "2x4@20", "1x8@0", "1x4@10+light", "--steps", 3,
               "--repeats", 2)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert [row[0] for row in found] == ["2 x 4, 20 ms", "1 x 8", "1 x 4, 10 ms, --augment=light"]
    assert [row[1] for row in found] == ["400", "as fast as it can", "400"]  # 2 x 4 images in 20 ms
    assert [row[3].rpartition(" of ")[2] for row in found] == ["12", "6", "6"]  # turns x cards x steps
    given = [float(row[2].replace(",", "")) for row in found]
    assert 0 < given[0] <= 400 and 0 < given[2] <= 400  # a card sleeps, so it cannot take more than it asks for


@pytest.mark.slow
def test_cold_reads(words):
    done = run("bench_feed", "--lmdb", words, "--cold_reads", 20, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["from the disk", "from memory"]
    assert "20 images of 70" in done.stdout


@pytest.mark.slow
def test_cold_batches(words):
    done = run("bench_feed", "--lmdb", words, "--cold_batches", 3, "--batch", 8, "--repeats", 1)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert [row[0].rpartition(",")[0] for row in found] == [
        "disk: 4 KiB at random, one at a time", "disk: 4 KiB at random, 32 at a time",
        "disk: one MiB after the other", "opening the LMDB, cold", "loader, cold", "loader, warm"]
    assert all(float(row[1].replace(",", "")) > 0 for row in found[-2:])


@pytest.mark.slow
def test_data_path():
    done = run("bench_data", "--lines", 300, "--images", 200, "--repeats", 2, "--only", "index", "lmdb", "svt")
    assert done.returncode == 0, done.stderr
    assert [row[0].split(",")[0] for row in rows(done.stdout)] == [
        "index and filter 300 lines", "write an LMDB of 200 images", "write an LMDB of 200 images",
        "drawn pictures: decode every picture twice", "drawn pictures: convert"]
    assert done.stderr.count("turn 2: ") == 5


@pytest.mark.slow
def test_renderer_leaves_nothing_behind(tmp_path):
    done = run("bench_synth", "--images", 20, "--repeats", 1, "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row[1] for row in rows(done.stdout)] == ["20", "20", "20"]
    assert list(tmp_path.iterdir()) == []


def test_language_model_on_labelled_words(good, tmp_path):
    network, model = (REPO / "pretrained" / name for name in ("crnn_v2_fp16.onnx", "words_en_fr.lm"))
    done = run("tune_beam", "--onnx_file", network, "--language_model", model, "--words", 9, f"iiit5k:{good}",
               f"iiit5k:{good}+iiit5k:{good}")
    assert done.returncode == 0, done.stderr
    assert [row[:2] for row in rows(done.stdout)[:3]] == [["good", "9"], ["good + good", "9"], ["all", "18"]]
    done = run("tune_beam", "--onnx_file", network, "--language_model", network, f"iiit5k:{good}")
    assert done.returncode == 2 and "not a language model" in done.stderr and "Traceback" not in done.stderr


def test_decoders(tmp_path):
    lexicon = tmp_path / "words.txt"
    words = [f"{a}{b}rd{c}\n" for a in "abcdefghij" for b in "aeiou" for c in "sty"]
    lexicon.write_text("".join(words), encoding="utf-8")
    done = run("bench_decode", "--lexicon", lexicon, "--images", 8, "--batch", 4, "--exhaustive", 4, "--repeats", 2,
               "--seconds", 0.02)
    assert done.returncode == 0, done.stderr
    found = {row[0]: row for row in rows(done.stdout)}
    assert found["lexicon of 150 words, exact search"][1] == "4"
    assert found["exact search"][1:] == ["100.00 %", "100.00 %"]  # by definition of exact


def test_a_run_that_takes_too_long_ends_the_benchmark():
    with pytest.raises(SystemExit, match=r"error: sleeping took more than 0\.5 s; try again"):
        output_of("sleeping", [sys.executable, "-c", "import time; time.sleep(60)"], 0.5)
    assert output_of("printing", [sys.executable, "-c", "print(1)"], 60) == "1\n"


def test_help_times():
    done = run("bench_programs", "--only", "help", "--repeats", 1)
    assert done.returncode == 0, done.stderr
    assert len(rows(done.stdout)) == 7


@pytest.mark.slow
def test_parts_of_a_training_step():
    usable, why = available()
    if not usable:
        pytest.skip(f"no accelerator: {why}")
    done = run("bench_step_parts", "--batch", 2, "--steps", 1)
    assert done.returncode == 0, done.stderr
    found = [row[0] for row in rows(done.stdout)]
    assert found == ["LSTM", "LSTM backward", "clipping", *(f"stage {number}{part}" for number in range(1, 8)
                                                            for part in ("", " backward")),
                     "CTC loss", "optimizer", "MindSpore and the rest"]
    assert "of the roofline" in done.stdout


@pytest.mark.slow
def test_training_step():
    done = run("bench_train_step", "--batch", 2, "--repeats", 1, "--only", "stock-cap")
    assert done.returncode == 0, done.stderr
    assert len(rows(done.stdout)) == 1


@pytest.mark.slow
def test_two_processes():
    done = run("bench_scaling", "--batch", 4, "--repeats", 1)
    assert done.returncode == 0, done.stderr
    assert len(rows(done.stdout)) == 3


@pytest.mark.parametrize(("name", "options", "message"), [
    ("bench_feed", ["--lmdb", "absent"], "absent"),
    ("bench_feed", ["--lmdb", "x", "--cold_reads", "-3"], "--cold_reads"),
    ("bench_feed", ["--lmdb", "x", "--settings", "8x64"], "'8x64' is not CARDSxBATCH@MS"),
    ("bench_data", ["--svt", "absent", "--only", "svt"], "absent"),
    pytest.param("bench_synth", ["--images", "20", "--trdg_python", "absent"], "absent", marks=pytest.mark.slow),
    ("bench_decode", ["--lexicon", "absent"], "absent"),
])
def test_mistakes_are_named(tmp_path, name, options, message):
    done = run(name, *options)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_precisions_are_compared_and_nothing_is_done_twice(tmp_path, monkeypatch, capsys):
    asked = []

    def program(command, log):
        asked.append(command)
        half = int("float16" in " ".join(command))
        text = f"mindspore\ncorrect num: {474 - half} , total num: 500\n"
        log.open("a").write("epoch: 1 step: 2, gradient not finite: step skipped (1 so far)\n" * half + text)
        return text

    monkeypatch.setattr(compare_precision, "run", program)
    checkpoints = tmp_path / "float16_7" / "ckpt"
    checkpoints.mkdir(parents=True)
    for name in ("crnn-1_90.ckpt", "crnn-1_137.ckpt", "best_acc.ckpt", "crnn-x_200.ckpt"):
        (checkpoints / name).touch()
    for _ in range(2):
        assert compare_precision.main([f"--output={tmp_path}", "--seeds", "7"]) == 0
        assert rows(capsys.readouterr().out) == [["7", "94.8", "94.6", "-0.2", "1"]]
    assert [command[0] for command in asked] == ["train.py", "eval.py"] * 2
    assert asked[2][-1] == f"--resume_ckpt={checkpoints / 'crnn-1_137.ckpt'}" and "--seed=7" in asked[0]
    assert not any("resume" in word for word in asked[0])


def test_recipes_are_compared_and_nothing_is_done_twice(tmp_path, monkeypatch, capsys):
    asked = []

    def program(command, log):
        asked.append(" ".join(command))
        right = 95 + len(asked)
        return (f"epoch: 1, acc: 0.909091 (90 of 99), CER: 0.1\nepoch: 2, acc: {right / 99:.6f} ({right} of 99), "
                "CER: 0.0412, eval cost: 41.3 s\n")

    monkeypatch.setattr(compare_recipes, "run", program)
    (tmp_path / "focal_7" / "ckpt").mkdir(parents=True)
    (tmp_path / "focal_7" / "ckpt" / "crnn-1_90.ckpt").touch()
    for _ in range(2):
        assert compare_recipes.main([f"--data={tmp_path}", f"--output={tmp_path}", "--arms", "plain", "focal",
                                     "--seeds", "7", "--train", "amp=bf16"]) == 0
        assert rows(capsys.readouterr().out) == [["7", "96", "97", "99"]]
    assert len(asked) == 2 and all("--seed=7" in command and "--amp=bf16" in command for command in asked)
    assert "--child=plain" in asked[0] and "crnn_v2_synth.ckpt --train_start_epoch=0" in asked[0]
    assert "--child=focal" in asked[1] and asked[1].endswith("crnn-1_90.ckpt")


@pytest.mark.parametrize("arm", ["smoothing", "focal"])
def test_losses_of_the_recipes(monkeypatch, arm):
    ms = pytest.importorskip("mindspore")
    from src.training import setup

    plain = setup.CTCLoss("mean")
    monkeypatch.setattr(setup, "CTCLoss", setup.CTCLoss)
    compare_recipes.change_recipe(arm)
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((7, 3, 5), np.float32)
    given = ms.Tensor(scores), ms.Tensor([[0, 1], [2, 9], [3, 3]], ms.int32), ms.Tensor([2, 1, 2], ms.int32)
    words = plain.of_words(*given)[0].asnumpy().astype(np.float64)
    log_p = scores - np.log(np.exp(scores.astype(np.float64)).sum(axis=2, keepdims=True))
    expected = words * (1 - np.exp(-words)) ** 2 if arm == "focal" else 0.95 * words - 0.05 * log_p.mean(2).sum(0)
    loss, impossible = setup.CTCLoss("mean")(*given)
    assert abs(float(loss.asnumpy()) - expected.mean()) < 1e-5 and int(impossible.asnumpy()) == 0


def test_how_a_process_ended():
    assert reason(-9) == "signal 9"
    assert reason(3, "one\ntwo\n") == "exit status 3: two"


@pytest.mark.slow
def test_every_benchmark_explains_itself():
    for path in sorted((REPO / "benchmarks").glob("bench_*.py")):
        done = run(path.stem, "--help")
        assert done.returncode == 0, path.name
        assert re.search(rf"python benchmarks/{path.stem}\.py", done.stdout), path.name
