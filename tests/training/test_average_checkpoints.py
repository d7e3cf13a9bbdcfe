"""Averaging of checkpoints."""
import subprocess
import sys

import numpy as np
import pytest

from src.common.errors import CheckpointError
from src.crnn import build_network
from src.network.checkpoint import read_checkpoint, write_checkpoint
from tools.average_checkpoints import main

FACTS = {"label_dict": "abc", "model_version": "V2", "image_width": 100, "keep_ratio": False, "epoch_num": 3,
         "step_num": 77}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three checkpoints of one network with other numbers in each."""
    folder = tmp_path_factory.mktemp("ckpt")
    network = build_network("V2", 4, 8)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(3):
        for parameter in network.get_parameters():
            parameter.set_data(parameter.value().from_numpy(rng.normal(size=parameter.shape).astype(np.float32)))
        paths.append(str(folder / f"crnn-1_{number}.ckpt"))
        write_checkpoint(paths[-1], network, FACTS)
    return paths


def test_every_weight_is_the_mean(files, tmp_path, capsys):
    out = str(tmp_path / "mean.ckpt")
    assert main([*files, "-o", out]) == 0
    assert "average of 3" in capsys.readouterr().out
    parts, result = [read_checkpoint(path) for path in files], read_checkpoint(out)
    assert set(result.weights) == set(parts[0].weights) and len(result.weights) > 40
    for name, value in result.weights.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, np.mean([part.values[name] for part in parts], axis=0), atol=1e-6)
    assert any(name.endswith("moving_variance") for name in result.weights)
    assert result.info == {"label_dict": "abc", "model_version": "V2", "image_width": 100, "keep_ratio": False,
                           "averaged": 3}


def test_numpy_weights_can_take_part(files, tmp_path):
    weights = read_checkpoint(files[0]).weights
    np.savez(tmp_path / "w.npz", **{name: value.astype(np.float16) for name, value in weights.items()})
    out = str(tmp_path / "mean.ckpt")
    assert main([files[0], str(tmp_path / "w.npz"), "-o", out]) == 0
    np.testing.assert_allclose(read_checkpoint(out).values["vgg.conv1.bn.gamma"], weights["vgg.conv1.bn.gamma"],
                               atol=2e-3)


def test_what_cannot_be_averaged(files, tmp_path):
    out = str(tmp_path / "mean.ckpt")
    for given, message in (([files[0]], "alone is its own average"), ([files[0], "none.ckpt"], "does not exist")):
        with pytest.raises(CheckpointError, match=message):
            main([*given, "-o", out])
    with pytest.raises(CheckpointError, match="must end in .ckpt"):
        main([*files, "-o", "mean"])
    other = str(tmp_path / "other.ckpt")
    write_checkpoint(other, build_network("V2", 4, 9), FACTS)
    with pytest.raises(CheckpointError, match="differ in rnn.0"):
        main([files[0], other, "-o", out])
    write_checkpoint(other, build_network("V2", 4, 8), {**FACTS, "label_dict": "cba"})
    with pytest.raises(CheckpointError, match="label_dict 'cba'"):
        main([files[0], other, "-o", out])
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    with pytest.raises(CheckpointError, match="holds no CRNN"):
        main([str(tmp_path / "w.npz"), files[0], "-o", out])
    weights = dict(read_checkpoint(files[0]).weights)
    weights["vgg.conv1.bn.gamma"] = weights["vgg.conv1.bn.gamma"] * np.nan
    np.savez(tmp_path / "w.npz", **weights)
    with pytest.raises(CheckpointError, match="not finite"):
        main([files[0], str(tmp_path / "w.npz"), "-o", out])


def test_help_is_quick(repo):
    done = subprocess.run([sys.executable, str(repo / "tools" / "average_checkpoints.py"), "--help"], text=True,
                          capture_output=True, cwd=repo.parent)
    assert done.returncode == 0 and "batch norm" in done.stdout
