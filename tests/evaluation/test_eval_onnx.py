"""eval_onnx.py, the ONNX graph and the recogniser behind it; nothing here imports MindSpore."""
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import eval_onnx
from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError, CRNNError
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo, read_sidecar, write_sidecar
from src.deploy.onnx import network as onnx_network
from src.deploy.onnx.graph import build_onnx
from src.deploy.onnx.integer_lstm import IntegerGraph
from src.deploy.onnx.network import OnnxNetwork, choose_device, load_onnx
from src.deploy.onnx.quantise import quantise
from src.model_utils.config import load_config
from tests.conftest import REPO
from tests.onnx_models import CHARACTERS, EPSILON, images, make_onnx, network_weights, write_onnx
from tests.scripts.test_scripts import Sandbox
from tests.words import WORDS, draw_word

# What README says eval_onnx.py needs.
NEEDED = ("numpy", "onnxruntime", "cv2", "yaml", "rapidfuzz")
ABSENT = ("mindspore", "torch", "onnx", "scipy", "lmdb", "PIL", "pytest")


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python whose only packages are those of NEEDED: links to them, and no site-packages (-S)."""
    folder = tmp_path_factory.mktemp("site")
    for name in NEEDED:
        package = Path(importlib.util.find_spec(name).origin).parent
        (folder / name).symlink_to(package)
        for libraries in package.parent.glob("*.libs"):  # beside the packages: what their binaries load
            if not (folder / libraries.name).exists():
                (folder / libraries.name).symlink_to(libraries)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}

    def run(*words, **options) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-S", *map(str, words)], env=environment, text=True, capture_output=True,
                              timeout=120, **options)

    for name in ABSENT:
        assert "No module named" in run("-c", f"import {name}").stderr, f"{name} is there"
    return run


def collapse(scores: np.ndarray) -> list[str]:
    """Greedy CTC reading, the plain way."""
    return ["".join(CHARACTERS[k] for k, _ in itertools.groupby(column) if k < 36) for column in scores.argmax(2).T]


@pytest.fixture(scope="module")
def model():
    return make_onnx()


@pytest.fixture(scope="module")
def onnx_file(model, tmp_path_factory):
    return write_onnx(tmp_path_factory.mktemp("onnx") / "v2.onnx", model)


@pytest.fixture(scope="module")
def word_set(tmp_path_factory, onnx_file):
    """Eleven images: the annotation gives the network's own reading for seven of them, in another case."""
    folder = tmp_path_factory.mktemp("words")
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    lines = []
    for number in range(11):
        picture = draw_word(WORDS[number], number)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        prepared = (cv2.resize(picture, (100, 32)).astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        reading = collapse(session.run(None, {"images": prepared})[0])[0]
        assert reading, "a network that reads nothing would prove nothing"
        lines.append(f"{number}.png,{reading.upper() if number < 7 else reading + 'x'}")
    (folder / "annotation.txt").write_text("\n".join(lines) + "\n")
    return folder


def arguments(file: Path, folder: Path, *more: str) -> list[str]:
    return [f"--onnx_file={file}", "--device_target=CPU", "--eval_dataset=iiit5k", f"--eval_dataset_path={folder}",
            *more]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_logits_equal_the_twin(version, model, tmp_path):
    """The PyTorch twin's stored outputs, at two widths of one file."""
    network = OnnxNetwork(write_onnx(tmp_path / "x.onnx", model if version == "V2" else make_onnx(version)))
    with np.load(REPO / "tests" / "fixtures" / "twin_logits.npz") as fixtures:
        for width in (100, 160):
            np.testing.assert_allclose(network(images(2, width, width)), fixtures[f"{version}_{width}"], atol=1e-4)


def test_free_sizes_and_names(onnx_file):
    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    assert [(t.name, t.shape) for t in session.get_inputs()] == [("images", ["batch", 3, 32, "width"])]
    assert [(t.name, t.shape) for t in session.get_outputs()] == [("logits", ["steps", "batch", 37])]
    network = OnnxNetwork(onnx_file)
    together = network(images(5, 53))
    assert together.shape == (13, 5, 37)  # ceil(ceil(53 / 2) / 2) - 1
    alone = np.concatenate([network(image[None]) for image in images(5, 53)], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_graph_is_plain_onnx(model):
    """Standard operators of one opset only, so that other runtimes take it; no batch norm is left."""
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.op_type for node in model.graph.node} == {
        "Conv", "Relu", "MaxPool", "Squeeze", "Transpose", "LSTM", "Reshape", "MatMul", "Add"}


def test_fixed_batch_is_split_and_filled_up(onnx_file, tmp_path):
    fixed = OnnxNetwork(write_onnx(tmp_path / "fixed.onnx", make_onnx(batch=4, width=100)))
    assert (fixed.batch, fixed.width) == (4, 100)
    np.testing.assert_allclose(fixed(images(10)), OnnxNetwork(onnx_file)(images(10)), atol=1e-5)


@pytest.mark.parametrize("shape", [{}, {"batch": 4, "width": 100}])
def test_no_images_never_reach_the_runtime(shape, tmp_path, monkeypatch):
    """They would end the process: onnxruntime 1.32 does not raise there."""
    network = OnnxNetwork(write_onnx(tmp_path / "x.onnx", make_onnx(**shape)))
    session, sizes = network._session, []

    class Guarded:
        def run(self, names, values):
            sizes.append(len(values["images"]))
            assert sizes[-1], "an empty batch is about to reach onnxruntime"
            return session.run(names, values)

    monkeypatch.setattr(network, "_session", Guarded())
    assert network(images(0)).shape == network(images(1))[:, :0].shape and sizes == [shape.get("batch", 1)] * 2


def make_int8(version="V2", hidden=256, **sizes):
    """The 8-bit model of the same weights, calibrated on other images than the tests read."""
    info = ModelInfo.of(Charset(CHARACTERS), version, InputSpec())
    batches = [images(sizes.get("batch", 4), seed=seed) for seed in range(3)]
    return quantise(network_weights(version, hidden=hidden), info, EPSILON, batches, **sizes)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_eight_bits_read_an_image_alike_in_any_company(version, tmp_path):
    """onnxruntime's own 8-bit LSTM takes its ranges from the whole batch; here all are fixed."""
    network = OnnxNetwork(write_onnx(tmp_path / "x.onnx", make_int8(version)))
    crowd = images(9, seed=5) * np.linspace(0.1, 1.5, 9, dtype=np.float32)[:, None, None, None]  # of unlike contrast
    together = network(crowd)
    for size in (1, 2, 4):
        apart = np.concatenate([network(crowd[k:k + size]) for k in range(0, 9, size)], axis=1)
        np.testing.assert_allclose(apart, together, atol=1e-5)


def run_lstm(x, name, hidden):
    """A bidirectional LSTM in float64 by its definition, with what is 8 bits rounded to 8 bits; (steps, N, 2 * hidden).

    Args:
        x: (steps, N, features) of whole numbers times one scale.
        name: of the LSTM among the weights of ``network_weights``.
        hidden: units of a direction.
    """
    weights, directions = network_weights("V2", hidden=hidden), []
    for end in ("", "_reverse"):
        kinds = {kind: weights[f"{name}.{kind}_l0{end}"].astype(np.float64) for kind in
                 ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        # Seven bits: inputs with a scale for each unit's gate, states with one for all.
        scale = np.abs(kinds["weight_ih"]).max(axis=1, keepdims=True) / 63
        inputs = np.rint(kinds["weight_ih"] / scale) * scale
        scale = np.abs(kinds["weight_hh"]).max() / 63
        states = np.rint(kinds["weight_hh"] / scale) * scale
        state, cell, outputs = np.zeros((x.shape[1], hidden)), np.zeros((x.shape[1], hidden)), []
        for column in x[::-1] if end else x:
            i, f, g, o = np.split(column @ inputs.T + state @ states.T + kinds["bias_ih"] + kinds["bias_hh"], 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            cell = f * cell + i * np.tanh(g)
            state = np.rint(o * np.tanh(cell) * 127) / 127
            outputs.append(state)
        directions.append(outputs[::-1] if end else outputs)
    return np.concatenate(directions, axis=2)


@pytest.mark.parametrize("count", [1, 5])
def test_the_integer_lstm_is_its_definition(count):
    """Alone, on whole numbers, against float64; a rounded state may fall on the other side, by one step of 127."""
    hidden, features = 16, 512
    graph = IntegerGraph(network_weights("V2", hidden=hidden))
    scale, zero = graph.range_constants("x", 0.0, 2.55)
    graph.integer_lstm("rnn.0.rnn", graph.node("Identity", [graph.quantised("x", scale, zero)], "inner"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "images", "rnn.0.rnn")]
    model = helper.make_model(helper.make_graph(graph.nodes, "lstm", ends[:2], ends[2:], graph.initialisers),
                              ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    x = np.random.default_rng(3).integers(0, 256, (11, count, features)).astype(np.float32) / 100
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x, "images": images(count)})[0]
    gap = np.abs(found - run_lstm(np.rint(x * 100.0) / 100, "rnn.0.rnn", hidden)) * 127
    assert gap.max() < 1.01 and (gap > 0.01).mean() < 0.01


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_graph_of_eight_bits_is_plain_onnx(version):
    """Standard operators alone, so that every runtime computes the same."""
    model = make_int8(version)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    nodes = [*model.graph.node, *(node for scan in model.graph.node if scan.op_type == "Scan"
                                  for attribute in scan.attribute if attribute.name == "body"
                                  for node in attribute.g.node)]
    assert {node.domain for node in nodes} == {""} and [node.op_type for node in nodes].count("Scan") == 2
    # Of the real numbers only the first convolution's and the last linear map's weights are no integers.
    real = [item.name for item in model.graph.initializer if item.data_type == TensorProto.FLOAT and len(item.dims) > 1
            and max(item.dims) > 1 and "cell" not in item.name]
    assert len(real) == 2


def test_eight_bits_of_one_size(tmp_path):
    fixed, free = (OnnxNetwork(write_onnx(tmp_path / f"{n}.onnx", make_int8(**sizes)))
                   for n, sizes in enumerate(({"batch": 4, "width": 100}, {})))
    assert (fixed.batch, fixed.width) == (4, 100)
    expected, actual = free(images(6, seed=7)), fixed(images(6, seed=7))
    assert np.abs(actual - expected).max() < 0.1 * expected.std()


def test_eight_bits_stay_close_and_are_small(model, onnx_file, tmp_path):
    info = ModelInfo.from_mapping({p.key: p.value for p in model.metadata_props}, "model")
    small = make_int8()
    network = OnnxNetwork(write_onnx(tmp_path / "small.onnx", small))
    assert network.info.weights == "int8"
    assert network.info.label_dict == info.label_dict
    assert (tmp_path / "small.onnx").stat().st_size < 0.3 * onnx_file.stat().st_size
    for width in (100, 53):
        expected, actual = OnnxNetwork(onnx_file)(images(3, width, 9)), network(images(3, width, 9))
        assert 0 < np.sqrt(((actual - expected) ** 2).mean()) < 0.1 * expected.std()


def test_calibrating_on_a_batch_of_no_images():
    """It is left out, in a process of its own: onnxruntime ends the process, should it get there."""
    script = """
import numpy as np
from src.common.errors import DataError
from src.deploy.onnx.quantise import quantise
from tests.onnx_models import CHARACTERS, EPSILON, images, network_weights
from src.common.charset import Charset
from src.data.preprocess import InputSpec
from src.deploy.metadata import ModelInfo
info = ModelInfo.of(Charset(CHARACTERS), "V2", InputSpec())
some, none = images(2), images(2)[:0]
quantised = [quantise(network_weights(), info, EPSILON, batches) for batches in ([some], [none, some, none])]
assert quantised[0] == quantised[1]
try:
    quantise(network_weights(), info, EPSILON, [none])
except DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "no image to calibrate on: name images that can be read with --calibration_path\n"


@pytest.mark.parametrize("batch_size", ["1", "4", "64"])
def test_counts_the_right_words(onnx_file, word_set, capsys, batch_size):
    assert eval_onnx.main(arguments(onnx_file, word_set, f"--batch_size={batch_size}")) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["correct num: 7 , total num: 11", f"result: {7 / 11}"]


def test_model_zoo_names(onnx_file, word_set, capsys):
    """The words its run_eval_onnx.sh starts it with."""
    eval_onnx.main(["--eval_dataset=iiit5k", f"--eval_dataset_path={word_set}", f"--file_name={onnx_file}",
                    "--model_version=V2", "--device_target=CPU"])
    assert "correct num: 7 , total num: 11" in capsys.readouterr().out
    stem = str(onnx_file).removesuffix(".onnx")
    eval_onnx.main(["--eval_dataset=iiit5k", f"--eval_dataset_path={word_set}", f"--file_name={stem}"])
    assert "correct num: 7 , total num: 11" in capsys.readouterr().out


def test_runs_where_mindspore_is_not_installed(bare_python, onnx_file, word_set, tmp_path):
    table = tmp_path / "table.tsv"
    done = bare_python(REPO / "eval_onnx.py", *arguments(onnx_file, word_set), f"--save_predictions={table}",
                       "--print_predictions=True", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["correct num: 7 , total num: 11", f"result: {7 / 11}"]
    assert len(table.read_text().splitlines()) == 12
    for words in ([REPO / "eval_onnx.py", "--help"], [REPO / "postprocess.py", "--help"]):
        assert bare_python(*words, cwd=tmp_path).returncode == 0


def test_takes_over_what_the_file_tells(tmp_path):
    file = write_onnx(tmp_path / "x.onnx", make_onnx("V1", "Abc日", hidden=32, width=160))
    config = load_config([f"--onnx_file={file}"])
    network, charset = load_onnx(config)
    assert charset.characters == config.label_dict == "Abc日"
    assert (config.model_version, config.image_width, config.class_num) == ("V1", 160, 5)
    assert "V1" in network.describe() and "width 160" in network.describe()


def test_takes_over_the_temperature_unless_the_user_gives_one(tmp_path):
    info = ModelInfo.of(Charset(CHARACTERS), "V2", InputSpec(), temperature=1.5)
    file = write_onnx(tmp_path / "x.onnx", build_onnx(network_weights(hidden=32), info, EPSILON))
    for words, expected in (([], 1.5), (["--temperature=2"], 2.0)):
        config = load_config([f"--onnx_file={file}", *words])
        load_onnx(config)
        assert config.temperature == expected


def test_takes_over_how_images_keep_their_ratio(tmp_path, word_set, capsys):
    spec = InputSpec(widths=(40, 100, 180))
    info = ModelInfo.of(Charset(CHARACTERS), "V2", spec)
    file = write_onnx(tmp_path / "x.onnx", build_onnx(network_weights(hidden=32), info, EPSILON))
    config = load_config([f"--onnx_file={file}"])
    network, _ = load_onnx(config)
    assert network.info == info and InputSpec.from_config(config) == network.info.spec == spec
    eval_onnx.main(arguments(file, word_set, "--batch_size=3"))  # words of several widths
    assert "total num: 11" in capsys.readouterr().out
    config = load_config([f"--onnx_file={file}", "--keep_ratio=False"])  # as with checkpoints, the user may
    load_onnx(config)
    assert InputSpec.from_config(config) == InputSpec()
    info = ModelInfo.of(Charset(CHARACTERS), "V2", InputSpec(width=120, widths=(120,)))
    file = write_onnx(file, build_onnx(network_weights(hidden=32), info, EPSILON, width=120))
    config = load_config([f"--onnx_file={file}"])
    load_onnx(config)
    assert InputSpec.from_config(config) == InputSpec(width=120, widths=(120,))


@pytest.mark.parametrize(("option", "part"), [
    ("--label_dict=abc", "label_dict"), ("--model_version=V1", "model_version"), ("--image_width=120", "image_width")])
def test_contradicting_options(tmp_path, option, part):
    file = write_onnx(tmp_path / "x.onnx", make_onnx(hidden=32, width=100))
    with pytest.raises(CheckpointError, match=f"was exported with {part}.*command line"):
        load_onnx(load_config([f"--onnx_file={file}", option]))


def test_long_images_need_a_network_of_any_width(tmp_path):
    for width in (None, 100):
        file = write_onnx(tmp_path / "x.onnx", make_onnx(hidden=32, width=width))
        config = load_config([f"--onnx_file={file}", "--long_width=200"])
        if width is None:
            load_onnx(config)
            continue
        with pytest.raises(ConfigError, match="long_width 200 needs a network of any width, but that of .* is 100"):
            load_onnx(config)


def test_without_metadata_the_configuration_counts(model, word_set, tmp_path, capsys):
    bare = type(model)()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    file = write_onnx(tmp_path / "bare.onnx", bare)
    eval_onnx.main(arguments(file, word_set))
    out = capsys.readouterr().out
    assert "note: " in out and "no metadata" in out and "correct num: 7 , total num: 11" in out
    with pytest.raises(CheckpointError, match="scores of 37 classes, but label_dict makes 4"):
        eval_onnx.main(arguments(file, word_set, "--label_dict=abc"))


@pytest.mark.parametrize(("key", "value", "part"), [
    ("blank", None, "does not tell its blank"), ("blank", "0", "contradict"), ("class_num", "many", "cannot be 'many'"),
    ("label_dict", "aa", "more than once"), ("label_dict", "abc", "contradict"), ("channel_order", "RGB", "'RGB'"),
    ("resize", "pad", "'pad'"), ("bucket_widths", "64,32", "rise"), ("bucket_widths", "wide", "wide"),
    ("bucket_widths", "64,100", "resize"), ("mean", "0.5", "mean 0.5"), ("scale", "0", "scale"),
    ("model_version", "V9", "'V9' is none of"), ("image_width", "1000000000", "1000000000 columns"),
    ("long_width", "1000000000", "1000000000 columns"), ("image_width", "1e3", "cannot be '1e3'")])
def test_metadata_that_cannot_be_used(tmp_path, key, value, part):
    model = make_onnx(hidden=32)
    properties = {p.key: p.value for p in model.metadata_props}
    properties[key] = value
    helper.set_model_props(model, {k: v for k, v in properties.items() if v is not None})
    file = write_onnx(tmp_path / "x.onnx", model)
    with pytest.raises(CheckpointError, match=part) as caught:
        OnnxNetwork(file)
    assert str(file) in str(caught.value)


def test_sidecar_comes_back(tmp_path):
    info = ModelInfo.from_mapping({p.key: p.value for p in make_onnx("V1", 'a"日', 32).metadata_props}, "x")
    path = write_sidecar(tmp_path / "x.mindir", info, {"input_shape": [1, 3, 32, 100]})
    assert path.name == "x.mindir.json" and json.loads(path.read_text("utf-8"))["input_shape"] == [1, 3, 32, 100]
    assert read_sidecar(tmp_path / "x.mindir") == info
    half = json.dumps({**info.to_dict(), "image_width": 99.5})
    for content, part in (("[1]", "by name"), ("{", "not JSON"), (half, "cannot be 99.5"),
                          ('{"blank": true}', "label_dict")):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=part):
            read_sidecar(tmp_path / "x.mindir")
    path.unlink()
    with pytest.raises(CheckpointError, match=r"x\.mindir\.json is missing"):
        read_sidecar(tmp_path / "x.mindir")


def other_network(inputs=("batch", 1, 28, 28), outputs=("batch", 10)):
    tensors = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", inputs), ("y", outputs))]
    if len(inputs) == len(outputs):
        nodes = [helper.make_node("Relu", ["x"], ["y"])]
    else:
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Relu", ["f"], ["y"])]
    graph = helper.make_graph(nodes, "other", tensors[:1], tensors[1:])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_files_that_are_no_crnn(tmp_path, onnx_file, capsys):
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "half.onnx").write_bytes(onnx_file.read_bytes()[:100000])
    write_onnx(tmp_path / "digits.onnx", other_network())
    capsys.readouterr()
    for name, part in (("text.onnx", "not an ONNX file"), ("empty.onnx", "not an ONNX file|another network"),
                       ("half.onnx", "not an ONNX file"), ("digits.onnx", "holds another network"),
                       ("none.onnx", "does not exist"), ("", "is a folder")):
        with pytest.raises(CheckpointError, match=part) as caught:
            load_onnx(load_config([f"--onnx_file={tmp_path / name}"]))
        assert str(tmp_path / name).rstrip("/") in str(caught.value) and "\n" not in str(caught.value)
    assert capsys.readouterr().err == ""  # no note that a README carries no checksum


def test_no_file_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="add --onnx_file=FILE"):
        eval_onnx.main([])


@pytest.mark.parametrize(("available", "target", "chosen"), [
    (["CPUExecutionProvider"], "auto", "CPU"), (["CPUExecutionProvider"], "CPU", "CPU"),
    (["CUDAExecutionProvider", "CPUExecutionProvider"], "auto", "GPU"),
    (["CANNExecutionProvider", "CPUExecutionProvider"], "Ascend", "Ascend")])
def test_provider_follows_from_the_target(monkeypatch, available, target, chosen):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    assert choose_device(target) == chosen


@pytest.mark.parametrize(("target", "part"), [
    ("GPU", "needs the CUDAExecutionProvider.*install onnxruntime-gpu"),
    ("Ascend", "needs the CANNExecutionProvider.*install onnxruntime-cann")])
def test_missing_provider(monkeypatch, target, part):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=part):
        choose_device(target)


def test_provider_that_does_not_start(monkeypatch, onnx_file):
    """onnxruntime falls back to the CPU without a word."""
    monkeypatch.setitem(onnx_network.PROVIDERS, "GPU", ("XProvider", "x"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: type("S", (), {
        "get_providers": lambda self: ["CPUExecutionProvider"]})())
    with pytest.raises(ConfigError, match="could not start the XProvider"):
        OnnxNetwork(onnx_file, "GPU")


def test_program_ends_with_one_sentence(tmp_path):
    done = subprocess.run([sys.executable, str(REPO / "eval_onnx.py"), f"--onnx_file={tmp_path}"], text=True,
                          capture_output=True, timeout=180)
    assert done.returncode == 2
    assert done.stderr == f"error: ONNX file {tmp_path} is a folder; name the .onnx file in it\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_script_forms(repo, tmp_path):
    sandbox = Sandbox(repo, tmp_path)
    (sandbox.caller / "m.onnx").write_text("")
    (sandbox.caller / "a set").mkdir()
    for words, target in ((("svt", "a set", "m.onnx"), "auto"), (("svt", "a set", "m.onnx", "GPU"), "GPU")):
        code, out, err = sandbox.run("run_eval_onnx.sh", *words, "--batch_size=4")
        assert code == 0 and "printed" in out, err
        assert sandbox.calls()[-1] == [
            f"{sandbox.root}/eval_onnx", f"{sandbox.root}/eval_onnx.py", f"--device_target={target}",
            "--eval_dataset=svt", f"--eval_dataset_path={sandbox.caller}/a set", f"--onnx_file={sandbox.caller}/m.onnx",
            "--batch_size=4"]
    assert "complained" in (sandbox.root / "eval_onnx" / "log.txt").read_text()
    assert sandbox.run("run_eval_onnx.sh", "svt", "a set", "m.onnx", STAND_IN_EXIT_eval_onnx="3")[0] == 3
    for words in (("svt", "a set"), ("svt", "a set", "missing.onnx"), ("svt", "nowhere", "m.onnx")):
        assert sandbox.run("run_eval_onnx.sh", *words)[0] == 2
    assert "Usage" in sandbox.run("run_eval_onnx.sh", "--help")[1]


def test_missing_weight():
    weights = network_weights(hidden=32)
    del weights["rnn.1.rnn.bias_hh_l0_reverse"]
    with pytest.raises(CRNNError, match="has no rnn.1.rnn.bias_hh_l0_reverse"):
        build_onnx(weights, ModelInfo.of(Charset(CHARACTERS), "V2", InputSpec()), 1e-4)


def small_network(path, op, axes, scores, kind=TensorProto.FLOAT, batch="n"):
    """Writes a network of one or two operators that maps images to (batch, 3, width)."""
    nodes = [helper.make_node(op, ["x"], ["r"], axes=axes, keepdims=0),
             helper.make_node("Cast", ["r"], ["y"], to=kind)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 32, "w"])],
                              [helper.make_tensor_value_info("y", kind, scores)])
    return write_onnx(path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.mark.parametrize("network", [
    {"scores": ["a", "b", "c"]}, {"scores": ["a", "b", 37]}, {"scores": ["n", 3, "c"], "kind": TensorProto.INT64},
    {"scores": ["n", 3, "c"], "kind": TensorProto.BOOL}, {"scores": ["n", 3, "c"], "batch": 0}])
def test_networks_that_show_late_what_they_are(tmp_path, network):
    path = small_network(tmp_path / "s.onnx", "ReduceMean", [2], **network)
    with pytest.raises(CheckpointError, match="s.onnx (holds another network|cannot compute)"):
        load_onnx(load_config([f"--onnx_file={path}"]))[0](np.zeros((2, 3, 32, 100), np.float32))


def test_a_network_without_input(tmp_path):
    value = helper.make_tensor("v", TensorProto.FLOAT, [1, 2, 37], [0.0] * 74)
    graph = helper.make_graph([helper.make_node("Constant", [], ["y"], value=value)], "g", [],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 37])])
    path = write_onnx(tmp_path / "c.onnx", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                                             ir_version=8))
    with pytest.raises(CheckpointError, match="c.onnx holds another network"):
        OnnxNetwork(path)


def test_predictions_do_not_replace_the_network(onnx_file, tmp_path):
    copy = shutil.copy(onnx_file, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="x.onnx is read and would be overwritten"):
        eval_onnx.main([f"--onnx_file={copy}", f"--save_predictions={copy}", f"--eval_dataset_path={tmp_path}"])
    assert Path(copy).read_bytes() == onnx_file.read_bytes()
