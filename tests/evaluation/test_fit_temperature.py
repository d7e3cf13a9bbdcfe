"""fit_temperature.py with a network whose scores are known, against a plain search on a grid."""
import numpy as np
import pytest
import yaml

import eval as eval_program
import fit_temperature
from src.common.errors import ConfigError, DataError
from src.report.benchmarks import Benchmark
from tests import ctc_reference as reference
from tests.stub_network import CHARSET, install, logits_of, write_image

TRUTHS = ["house", "tree", "cart", "street", "plain", "river", "cloud", "10"]
READ = ["hause", "tree", "cart", "street", "plain", "rivet", "cloud", "10"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    install(monkeypatch, READ)
    lines = []
    for number, word in enumerate(TRUTHS):
        for copy in range(5):
            write_image(tmp_path / "set" / f"{number}_{copy}.png", number)
            lines.append(f"{number}_{copy}.png,{word}\n")
    (tmp_path / "set" / "annotation.txt").write_text("".join(lines))
    return tmp_path


def fit(data, *options):
    return fit_temperature.main(["--train_dataset=iiit5k", f"--train_dataset_path={data / 'set'}", "--batch_size=8",
                                 f"--output_dir={data / 'out'}", "--num_parallel_workers=1", *options])


def plain_loss(temperature):
    """Log loss over the eight words, each text scored by the plain forward algorithm."""
    loss = 0
    for truth, read in zip(TRUTHS, READ, strict=True):
        probs = reference.softmax(logits_of(read).astype(np.float64) / temperature)
        p = reference.forward(probs, CHARSET.encode(read).tolist())
        loss -= np.log(p) if truth == read else np.log1p(-p)
    return loss


def test_temperature_has_the_least_loss_and_eval_takes_it(data, capsys):
    assert fit(data) == 0
    out = capsys.readouterr().out
    assert "40 words, 75.00 % of them read right" in out and "on one half" in out
    path = data / "out" / "temperature.yaml"
    temperature = yaml.safe_load(path.read_text())["temperature"]
    grid = np.geomspace(0.5, 5, 400)
    assert temperature == pytest.approx(grid[np.argmin([plain_loss(t) for t in grid])], rel=0.01)
    assert abs(temperature - 1) > 0.1
    for options, better in ([], False), ([f"--config_path={path}"], True):
        eval_program.main(["--eval_dataset=iiit5k", f"--eval_dataset_path={data / 'set'}", "--show_progress=never",
                           *options])
        error = float(capsys.readouterr().out.partition("(ECE): ")[2].split()[0])
        assert (error < 0.1) == better


def test_number_of_words(data, capsys):
    fit(data, "--temperature_words=24")
    assert "24 words, " in capsys.readouterr().out


def test_words_are_read_as_they_are(data, capsys):
    fit(data)
    plain = capsys.readouterr().out
    fit(data, "--augment=strong", "--augment_strengths=invert:1")
    assert capsys.readouterr().out == plain


def test_test_words_are_refused(data, monkeypatch):
    words = Benchmark("X", "Words", "iiit5k", "whole", 40)
    monkeypatch.setattr("src.evaluation.temperature.BENCHMARKS", [words])
    with pytest.raises(ConfigError, match="as the benchmark Words does"):
        fit(data)
    assert not (data / "out").exists()


def test_nothing_to_learn_from(data, monkeypatch):
    install(monkeypatch, TRUTHS)
    with pytest.raises(DataError, match="all of the 40 words"):
        fit(data)
