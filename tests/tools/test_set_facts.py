"""The width of long images in the files of a network: written by a tool, taken over by the programs."""
import numpy as np
import onnx
import pytest

from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.data.preprocess import InputSpec
from src.deploy.metadata import ALIKE, ModelInfo
from src.deploy.onnx.graph import build_onnx, to_bytes
from src.deploy.onnx.network import OnnxNetwork, load_onnx
from src.model_utils.config import load_config
from src.network.checkpoint import read_checkpoint, take_over, write_arrays
from src.recogniser import Recogniser
from tests.onnx_models import CHARACTERS, EPSILON, make_onnx, network_weights
from tools.set_facts import main

FACTS = {"label_dict": CHARACTERS, "model_version": "V2", "image_width": 100, "keep_ratio": False, "temperature": 1.5}


@pytest.fixture
def checkpoint(tmp_path):
    """A released checkpoint in float16 that knows nothing of long images."""
    path = str(tmp_path / "x.ckpt")
    weights = {name: value.astype(np.float16) for name, value in network_weights(hidden=8).items()}
    write_arrays(path, weights, FACTS)
    return path


@pytest.fixture
def onnx_file(tmp_path):
    """An ONNX file that knows nothing of long images, with an entry that belongs to no fact."""
    model = make_onnx(hidden=8)
    model.metadata_props.remove(next(item for item in model.metadata_props if item.key == "long_width"))
    model.metadata_props.add(key=ALIKE, value="one image, one reading")
    path = tmp_path / "x.onnx"
    path.write_bytes(to_bytes(model))
    return str(path)


def taken_over(path: str, *options: str) -> InputSpec:
    """How a program prepares images for a file."""
    config = load_config(list(options))
    if path.endswith(".ckpt"):
        take_over(config, read_checkpoint(path))
    else:
        config.onnx_file = path
        load_onnx(config)
    return InputSpec.from_config(config)


def test_the_facts_change_and_the_weights_do_not(checkpoint, onnx_file, capsys):
    before, graph = read_checkpoint(checkpoint), onnx.load(onnx_file).graph.SerializeToString()
    assert main([checkpoint, onnx_file, "--long_width=200", "--temperature=1.25"]) == 0
    assert f"{onnx_file}: long_width 200, temperature 1.25" in capsys.readouterr().out
    after = read_checkpoint(checkpoint)
    assert after.info == {**FACTS, "long_width": 200, "temperature": 1.25}
    assert list(after.values) == list(before.values)
    for name, value in after.values.items():
        assert value.dtype == np.float16
        np.testing.assert_array_equal(value, before.values[name])
    model = onnx.load(onnx_file)
    assert model.graph.SerializeToString() == graph
    assert {item.key: item.value for item in model.metadata_props}[ALIKE] == "one image, one reading"
    info = OnnxNetwork(onnx_file).info  # verifies the checksum
    assert (info.long_width, info.temperature, info.spec) == (200, 1.25, InputSpec(long_width=200))
    assert capsys.readouterr().err == ""
    main([checkpoint, onnx_file, "--long_width=0"])
    assert read_checkpoint(checkpoint).info["long_width"] == 0 and OnnxNetwork(onnx_file).info.long_width == 0


@pytest.mark.parametrize("kind", ["checkpoint", "onnx_file"])
def test_programs_take_it_over(kind, request, capsys):
    path = request.getfixturevalue(kind)
    assert taken_over(path) == InputSpec()  # a file without the fact is read as ever
    main([path, "--long_width=200"])
    capsys.readouterr()
    assert taken_over(path) == InputSpec(long_width=200)
    assert taken_over(path, "--long_width=0") == InputSpec()
    assert taken_over(path, "--long_width=240") == InputSpec(long_width=240)
    assert taken_over(path, "--image_width=220") == InputSpec(width=220)  # it does not go with this one
    assert taken_over(path, "--keep_ratio=True").long_width == 0
    assert "long_width" not in capsys.readouterr().err


def test_images_of_any_width_are_read_as_alone(onnx_file):
    main([onnx_file, "--long_width=200"])
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (20, width, 3), np.uint8) for width in (30, 200, 139, 140, 60, 300, 20)]
    reader = Recogniser(onnx_file, decoder="greedy", batch_size=2)
    together, alone = reader.read(images), [reader.read(image) for image in images]
    assert [len(result._logits) for result in together] == [24, 49, 24, 49, 24, 49, 24]
    assert [result.text for result in together] == [result.text for result in alone]
    for result, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(result._logits, other._logits, atol=1e-5)


def test_what_cannot_be(checkpoint, onnx_file, tmp_path):
    for words, message in ((["--long_width=100"], "must be more than"), ([], "nothing to change"),
                           (["--long_width=-1"], "0 or more"), (["--temperature=0"], "must be above 0")):
        for path in (checkpoint, onnx_file):
            with pytest.raises((CheckpointError, ConfigError), match=message):
                main([path, *words])
    with pytest.raises(CheckpointError, match="does not exist"):
        main([str(tmp_path / "no.ckpt"), "--long_width=200"])
    with pytest.raises(ConfigError, match="must end in .ckpt or .onnx"):
        main([str(tmp_path / "no.npz"), "--long_width=200"])
    info = ModelInfo.of(Charset(CHARACTERS), "V2", InputSpec())
    (tmp_path / "w.onnx").write_bytes(to_bytes(build_onnx(network_weights(hidden=8), info, EPSILON, width=100)))
    with pytest.raises(CheckpointError, match="images of one width, 100: long_width 200 needs a file of any width"):
        main([str(tmp_path / "w.onnx"), "--long_width=200"])
    write_arrays(checkpoint, network_weights(hidden=8), {**FACTS, "long_width": -5})
    with pytest.raises(CheckpointError, match="long_width is -5, but must be a whole number"):
        taken_over(checkpoint)


def test_what_is_no_onnx_file(tmp_path, checkpoint):
    (tmp_path / "a.onnx").write_text("a.jpg")
    with pytest.raises(CheckpointError, match="a.onnx is not an ONNX file, or it is damaged"):
        main([str(tmp_path / "a.onnx"), "--long_width=200"])
    with pytest.raises(ConfigError, match="at most 4096"):
        main([checkpoint, "--long_width=1000000000"])
