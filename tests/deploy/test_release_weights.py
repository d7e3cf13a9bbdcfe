"""The small checkpoint to hand on, and what programs take from it."""
from pathlib import Path

import numpy as np
import onnx
import pytest

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.crnn import build_network
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo, read_sidecar
from src.model_utils.config import load_config
from src.network import trained as trained_network
from src.network.checkpoint import read_checkpoint, write_checkpoint
from tools.release_weights import main

FACTS = {"label_dict": "abc", "model_version": "V2", "image_width": 120, "keep_ratio": False, "epoch_num": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("ckpt") / "crnn-1_2.ckpt")
    write_checkpoint(path, build_network("V2", 4, 8), FACTS)
    return path


@pytest.fixture
def released(trained, tmp_path):
    path = str(tmp_path / "small.ckpt")
    assert main([trained, "-o", path, "--temperature", "1.3"]) == 0
    return path


def test_weights_alone_in_float16(trained, released):
    before, after = read_checkpoint(trained), read_checkpoint(released)
    assert set(after.values) == set(before.weights)
    for name, value in after.values.items():
        assert value.dtype == np.float16
        np.testing.assert_array_equal(value, before.weights[name].astype(np.float16))
    assert after.info == {"label_dict": "abc", "model_version": "V2", "image_width": 120, "keep_ratio": False,
                          "temperature": pytest.approx(1.3)}


def test_its_temperature_is_kept_when_it_is_made_smaller_again(released, tmp_path):
    again = str(tmp_path / "again.ckpt")
    assert main([released, "-o", again]) == 0
    assert read_checkpoint(again).info["temperature"] == pytest.approx(1.3)


def test_what_cannot_be_handed_on(trained, tmp_path):
    out = str(tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="must end in .ckpt"):
        main([trained, "-o", "x.npz"])
    for temperature in ("0", "-1", "inf", "nan"):
        with pytest.raises(ConfigError, match="must be above 0"):
            main([trained, "-o", out, f"--temperature={temperature}"])
    weights = dict(read_checkpoint(trained).weights)
    weights["rnn.1.embedding.bias"] = np.full(4, 1e6, np.float32)
    np.savez(tmp_path / "big.npz", **weights)
    with pytest.raises(CheckpointError, match=r"big.npz: rnn.1.embedding.bias holds .* float16 cannot .1e\+06"):
        main([str(tmp_path / "big.npz"), "-o", out])
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(CheckpointError, match="holds no CRNN"):
        main([str(tmp_path / "other.npz"), "-o", out])
    assert not list(tmp_path.glob("*.ckpt"))


def test_the_checkpoints_temperature_is_used_unless_the_user_gives_one(trained, released, tmp_path):
    (tmp_path / "saved.yaml").write_text("temperature: 1.0\n")
    (tmp_path / "fitted.yaml").write_text("temperature: 1.7\n")
    for words, path, expected in (
            ([], released, 1.3), (["--temperature=2"], released, 2.0), (["--temperature=1"], released, 1.0),
            ([f"--config_path={tmp_path}/saved.yaml"], released, 1.3),
            ([f"--config_path={tmp_path}/fitted.yaml"], released, 1.7), ([], trained, 1.0)):
        config = load_config([f"--checkpoint_path={path}", *words])
        trained_network.open_checkpoint(config)
        assert config.temperature == expected


def test_the_temperature_travels_with_exports(released, tmp_path):
    import export

    export.main([f"--ckpt_file={released}", f"--file_name={tmp_path}/x", "--file_format=MINDIR,ONNX",
                 "--device_target=CPU"])
    assert read_sidecar(tmp_path / "x.mindir").temperature == 1.3
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert properties["temperature"] == "1.3"
    info = ModelInfo.of(Charset("abc"), "V2", InputSpec(), temperature=1.3)
    old = {name: value for name, value in info.to_dict().items() if name != "temperature"}
    assert ModelInfo.from_mapping(old, "x").temperature == 1.0
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match="^x: temperature .* must be a number above 0"):
            ModelInfo.from_mapping({**info.to_dict(), "temperature": wrong}, "x")


@pytest.mark.parametrize("wrong", ["warm", 0.0, -2.0, float("nan")])
def test_a_temperature_that_is_none(tmp_path, wrong):
    path = str(tmp_path / "x.ckpt")
    write_checkpoint(path, build_network("V2", 4, 8), {**FACTS, "temperature": wrong})
    with pytest.raises(CheckpointError, match=f"^{path}: its temperature is .* must be a number above 0"):
        trained_network.open_checkpoint(load_config([f"--checkpoint_path={path}"]))


def test_which_checkpoint_is_taken_without_a_path(trained, released, monkeypatch, capsys):
    def chosen(**how):
        config = load_config([])
        trained_network.open_checkpoint(config, **how)
        assert f"no checkpoint_path given: using {config.checkpoint_path}" in capsys.readouterr().err
        return config.checkpoint_path

    monkeypatch.setattr(trained_network, "QUICKSTART_CHECKPOINT", Path(trained))
    monkeypatch.setattr(trained_network, "PRETRAINED_CHECKPOINT", Path(released))
    assert chosen() == trained and chosen(pretrained=True) == released
    monkeypatch.setattr(trained_network, "QUICKSTART_CHECKPOINT", trained_network.ROOT / "none.ckpt")
    assert chosen() == released
    monkeypatch.setattr(trained_network, "PRETRAINED_CHECKPOINT", trained_network.ROOT / "none.ckpt")
    with pytest.raises(CheckpointError, match="none trained yet: .* or add --checkpoint_path=FILE"):
        chosen()
