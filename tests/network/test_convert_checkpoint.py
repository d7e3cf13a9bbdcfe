"""Weights in and out: other kinds of file, other programs' networks, other charsets."""
import functools
import importlib
import json
import os
import sys
import types
from types import ModuleType
from unittest.mock import MagicMock

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops
from safetensors.numpy import load_file, save_file

from convert_checkpoint import main
from src.common.charset import Charset
from src.common.errors import CheckpointError, ConfigError
from src.crnn import build_network
from src.network.checkpoint import load_weights, read_checkpoint, write_checkpoint
from src.network.foreign import from_mindocr, translate
from src.network.names import from_torch, to_torch, torch_names
from src.network.new_charset import with_charset
from src.network.weight_files import read_torch

FACTS = {"label_dict": "abc", "image_width": 128, "keep_ratio": True, "temperature": 1.5, "epoch_num": 3, "run": "r"}
KEPT = {name: FACTS[name] for name in ("label_dict", "image_width", "keep_ratio", "temperature")}


@functools.cache
def network(version="V2", classes=4, hidden=8):
    """One whose batch norms are not those of a new network; not to be changed."""
    net = build_network(version, classes, hidden, use_dropout=False)
    rng = np.random.default_rng(5)
    for parameter in net.get_parameters():
        if ".bn." in parameter.name:
            parameter.set_data(ms.Tensor(rng.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
    return net.set_train(False)


def arrays(net):
    return {p.name: p.asnumpy() for p in net.get_parameters()}


def images(count=3, width=100):
    return np.random.default_rng(1).uniform(-1, 1, (count, 3, 32, width)).astype(np.float32)


def saved(net, path, facts=None):
    write_checkpoint(path, net, {**FACTS, **(facts or {})})
    return str(path)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_there_and_back(version, tmp_path, capsys):
    net = network(version)
    source = saved(net, tmp_path / "a.ckpt")
    assert main([source, str(tmp_path / "b.safetensors")]) == 0
    count = sum(value.size for value in arrays(net).values())
    assert capsys.readouterr().out == (f"{tmp_path / 'b.safetensors'}: {version}, 4 classes, {count:,} numbers, read "
                                       "again and compared\n")
    assert main([str(tmp_path / "b.safetensors"), str(tmp_path / "c.ckpt")]) == 0
    found = read_checkpoint(str(tmp_path / "c.ckpt"))
    assert found.info == {**KEPT, "model_version": version}
    assert found.values.keys() == arrays(net).keys()
    assert all(np.array_equal(value, found.values[name]) for name, value in arrays(net).items())
    stored = load_file(tmp_path / "b.safetensors")
    np.testing.assert_array_equal(stored["stages.2.bn.running_var"], net.vgg.conv3.bn.moving_variance.asnumpy())
    assert stored["out.weight"].shape == (4, 16)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_pytorch_gives_the_same_scores(version, tmp_path):
    torch = pytest.importorskip("torch", reason="files of PyTorch need it")
    from tools.torch_twin import CRNN

    net = network(version, 37, 256)
    source = saved(net, tmp_path / "a.ckpt", {"label_dict": "abcdefghijklmnopqrstuvwxyz0123456789"})
    assert main([source, str(tmp_path / "b.pt")]) == 0
    twin = CRNN(37, version).eval()
    twin.load_state_dict(torch.load(tmp_path / "b.pt")["state_dict"])
    with torch.no_grad():
        theirs = twin(torch.from_numpy(images())).numpy()
    ours = net(ms.Tensor(images())).asnumpy()
    assert np.abs(ours - theirs).max() < 1e-5
    torch.save(twin.state_dict(), tmp_path / "plain.pth")  # as others save it: no facts, and a counter in batch norm
    assert main([str(tmp_path / "plain.pth"), str(tmp_path / "c.ckpt")]) == 0
    again = build_network(version, 37)
    load_weights(again, read_checkpoint(str(tmp_path / "c.ckpt")))
    assert all(np.array_equal(value, arrays(again)[name]) for name, value in arrays(net).items())


def test_names_of_data_parallel_are_taken():
    weights = arrays(network())
    state = {f"module.{name}": value for name, value in to_torch(weights, "V2").items()}
    assert from_torch(state).keys() == weights.keys() == torch_names("V2").keys()


def flat(rng, inputs, hidden):
    return rng.uniform(-0.4, 0.4, (2 * 4 * hidden * (inputs + hidden + 1), 1, 1)).astype(np.float32)


def test_flat_lstms_of_the_model_zoo_compute_the_same():
    """The arrays are those of MindSpore's own operator on the CPU, which is asked what they mean."""
    rng, hidden = np.random.default_rng(2), 8
    values = {name: value for name, value in arrays(network()).items() if ".rnn." not in name}
    for number, inputs in enumerate((512, hidden)):
        values[f"rnn.{number}.rnn.weight"] = flat(rng, inputs, hidden)
    weights, line = translate(values)
    assert line.startswith("an old V2 of the model zoo")
    net = build_network("V2", 4, hidden)
    for parameter in net.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    state = ms.Tensor(np.zeros((2, 3, hidden), np.float32))
    for number, inputs in enumerate((512, hidden)):
        x = ms.Tensor(rng.normal(size=(5, 3, inputs)).astype(np.float32))
        operator = ops.operations.LSTM(inputs, hidden, num_layers=1, has_bias=True, bidirectional=True, dropout=0.0)
        theirs = operator(x, state, state, ms.Tensor(values[f"rnn.{number}.rnn.weight"]))[0].asnumpy()
        np.testing.assert_allclose(net.rnn[number].rnn(x)[0].asnumpy(), theirs, atol=1e-6)


def test_flat_lstms_of_a_gpu_have_two_biases():
    weights = arrays(network())
    values = {name: value for name, value in weights.items() if ".rnn." not in name}
    for number in range(2):
        parts = [weights[f"rnn.{number}.rnn.{kind}_l0{way}"].ravel() for kinds in (("weight_ih", "weight_hh"),
                 ("bias_ih", "bias_hh")) for way in ("", "_reverse") for kind in kinds]
        values[f"rnn.{number}.rnn.weight"] = np.concatenate(parts).reshape(-1, 1, 1)
    found, _ = translate(values)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(value, found[name]) for name, value in weights.items())
    values["rnn.1.rnn.weight"] = values["rnn.1.rnn.weight"][1:]
    with pytest.raises(CheckpointError, match=r"rnn.1.rnn.weight holds \d+ numbers, an LSTM of 8 units needs"):
        translate(values)


class Vgg7(ms.nn.Cell):
    """What MindOCR's crnn_vgg7 computes, under the names of its parameters: biases, and batch norm in three stages."""

    def __init__(self, hidden, classes):
        super().__init__()
        backbone, neck, head = ms.nn.Cell(), ms.nn.Cell(), ms.nn.Cell()
        cin = 3
        for number, channels in enumerate((64, 128, 256, 256, 512, 512, 512), start=1):
            stage = ms.nn.Cell()
            stage.conv = ms.nn.Conv2d(cin, channels, 2 if number == 7 else 3, has_bias=True, bias_init="normal",
                                      pad_mode="valid" if number == 7 else "same")
            if number in (3, 5, 7):
                stage.bn = ms.nn.BatchNorm2d(channels, eps=1e-4, moving_mean_init="normal", gamma_init="normal")
            setattr(backbone, f"conv{number}", stage)
            cin = channels
        neck.seq_encoder = ms.nn.LSTM(512, hidden, num_layers=2, bidirectional=True)
        head.dense1 = ms.nn.Dense(2 * hidden, classes)
        self.backbone, self.neck, self.head = backbone, neck, head  # last: names are given at this moment

    def construct(self, x):
        for number in range(1, 8):
            stage = getattr(self.backbone, f"conv{number}")
            x = stage.conv(x)
            x = ops.relu(stage.bn(x) if number in (3, 5, 7) else x)
            if number in (1, 2, 4, 6):
                x = ops.max_pool2d(x, (2, 2) if number < 3 else (2, 1))
        x = self.neck.seq_encoder(ops.transpose(ops.squeeze(x, 2), (2, 0, 1)))[0]
        return ops.transpose(ops.softmax(self.head.dense1(x), 2), (1, 0, 2))


def test_mindocr(tmp_path, capsys):
    ms.set_seed(1)
    net = Vgg7(8, 37).set_train(False)
    path = str(tmp_path / "crnn_vgg7.ckpt")
    ms.save_checkpoint(net, path)
    assert main([path, str(tmp_path / "b.ckpt")]) == 0
    assert "MindOCR's crnn_vgg7: biases as batch norms, red and blue exchanged" in capsys.readouterr().out
    found = read_checkpoint(str(tmp_path / "b.ckpt"))
    assert found.info == {"model_version": "V1", "label_dict": "0123456789abcdefghijklmnopqrstuvwxyz"}
    own = build_network("V1", 37, 8).set_train(False)
    load_weights(own, found)
    theirs = net(ms.Tensor(images())).asnumpy()
    ours = ops.softmax(own(ms.Tensor(images()[:, ::-1].copy())), 2).asnumpy().transpose(1, 0, 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert main([path, str(tmp_path / "c.ckpt"), "--colours=bgr"]) == 0
    unchanged = read_checkpoint(str(tmp_path / "c.ckpt")).values["vgg.conv1.conv.weight"]
    np.testing.assert_array_equal(unchanged, net.backbone.conv1.conv.weight.asnumpy())
    with pytest.raises(CheckpointError, match="only crnn_vgg7 can be converted"):
        from_mindocr({"backbone.conv1.conv.weight": np.ones((64, 3, 3, 3))})


def test_a_new_charset_keeps_the_rows_of_characters_both_have(tmp_path, capsys):
    net = network(classes=4)
    source = saved(net, tmp_path / "a.ckpt")
    assert main([source, str(tmp_path / "b.ckpt"), "--label_dict=cxaé"]) == 0
    assert "charset: 2 of the 4 characters were in the old one" in capsys.readouterr().out
    found, old = read_checkpoint(str(tmp_path / "b.ckpt")), arrays(net)
    assert found.info == {"label_dict": "cxaé", "model_version": "V2", "image_width": 128, "keep_ratio": True}
    assert found.class_num == 5
    for name in ("rnn.1.embedding.weight", "rnn.1.embedding.bias"):
        new = found.values[name]
        np.testing.assert_array_equal(new[[0, 2, 4]], old[name][[2, 0, 3]])  # c, a and the blank
        assert np.abs(new[[1, 3]]).max() <= 0.25 and not np.isin(new[[1, 3]], old[name]).any()
    rest = {name for name in old if not name.startswith("rnn.1.embedding")}
    assert all(np.array_equal(found.values[name], old[name]) for name in rest)
    again = with_charset(old, Charset("abc"), Charset("cxaé"), seed=1)
    np.testing.assert_array_equal(again["rnn.1.embedding.weight"], found.values["rnn.1.embedding.weight"])


def other_names(path):
    save_file({"cnn.0.weight": np.ones(3, np.float32)}, path)


@pytest.mark.parametrize(("make", "arguments", "message"), [
    (None, ["a.ckpt", "b.txt"], r"b.txt: the name must end in .ckpt, .safetensors, .pt or .pth"),
    (None, ["none.safetensors", "b.ckpt"], "none.safetensors does not exist; give a file of weights"),
    (lambda path: path.write_text("hello"), ["x.safetensors", "b.ckpt"], "x.safetensors is not a file of safetensors"),
    (other_names, ["x.safetensors", "b.ckpt"], "x.safetensors holds no CRNN"),
    (lambda path: save_file({"stages.0.conv.weight": np.ones(3)}, path), ["x.safetensors", "b.ckpt"],
     "x.safetensors: the names are not those of the network"),
    (None, ["a.ckpt", "b.ckpt", "--source_label_dict=xyz"], "says that its characters are 'abc'"),
])
def test_mistakes_are_named(make, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(network(), tmp_path / "a.ckpt")
    if make:
        make(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=message):
        main(arguments)
    assert not (tmp_path / "b.ckpt").exists()


def test_characters_that_do_not_fit_and_numbers_that_are_none(tmp_path):
    weights = {name: np.array(value) for name, value in to_torch(arrays(network()), "V2").items()}
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="has 4 classes, but 36 characters and the blank make 37; give its char"):
        main([str(tmp_path / "x.safetensors"), str(tmp_path / "b.ckpt")])
    weights["stages.1.bn.bias"][3] = np.nan
    save_file(weights, tmp_path / "x.safetensors", {"crnn": json.dumps({"label_dict": "abc"})})
    with pytest.raises(CheckpointError, match=r"vgg.conv2.bn.beta holds values that are not finite"):
        main([str(tmp_path / "x.safetensors"), str(tmp_path / "b.ckpt")])


@pytest.mark.parametrize("raised", [AssertionError("saved_id"), IndexError("list"), OSError(22, "Invalid argument"),
                                    RuntimeError("archive")])
def test_whatever_pytorch_raises_on_a_damaged_file_is_one_sentence(tmp_path, monkeypatch, raised):
    def load(*_, **__):
        raise raised

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    (tmp_path / "x.pt").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="x.pt is not a file of PyTorch with a network's weights, or it is dam"):
        read_torch(str(tmp_path / "x.pt"))


def test_pytorch_is_needed_for_its_own_files_only(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    source = saved(network(), tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="files of PyTorch need it: `pip install torch`; or take a .safetensors"):
        main([source, str(tmp_path / "b.pt")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


# Not of this MindSpore any more, or of packages that the network does not need.
STAND_INS = (*(f"mindspore.parallel._transformer{part}" for part in ("", ".layers", ".moe", ".op_parallel_config",
                                                                     ".transformer")),
             *(f"mindocr.models.backbones.{part}" for part in ("layoutlmv3", "layoutxlm", "layoutxlm.configuration")))
# Packages whose own import would bring in everything else; their modules are the real ones.
BARE = ("mindocr", "mindocr.models", "mindocr.utils", "mindocr.models.backbones.mindcv_models")


@pytest.mark.slow
def test_the_network_of_mindocr_itself(tmp_path, monkeypatch):
    """Its package in a folder of its own, named by CRNN_MINDOCR:

    `pip install --no-deps --target DIR mindocr==0.5.0 addict==2.4.0 tqdm==4.70.1`
    """
    folder = os.environ.get("CRNN_MINDOCR", "")
    if not folder:
        pytest.skip("CRNN_MINDOCR names no folder with mindocr 0.5.0, addict and tqdm")
    monkeypatch.syspath_prepend(folder)
    for name in STAND_INS:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    for name in BARE:
        package = ModuleType(name)
        package.__path__ = [os.path.join(folder, *name.split("."))]
        monkeypatch.setitem(sys.modules, name, package)
    net = importlib.import_module("mindocr.models.rec_crnn").crnn_vgg7().set_train(False)
    net.neck.encoder_cast_to_fp16 = False  # its LSTMs compute in float16
    net.neck.seq_encoder.to_float(ms.float32)
    rng = np.random.default_rng(3)
    for parameter in net.get_parameters():
        if ".bn." in parameter.name or parameter.name.endswith(".bias"):
            parameter.set_data(ms.Tensor(rng.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
    ms.save_checkpoint(net, str(tmp_path / "vgg7.ckpt"))
    assert main([str(tmp_path / "vgg7.ckpt"), str(tmp_path / "b.ckpt")]) == 0
    own = build_network("V1", 37).set_train(False)
    load_weights(own, read_checkpoint(str(tmp_path / "b.ckpt")))
    theirs = net(ms.Tensor(images()[:, ::-1].copy())).asnumpy()
    scores = own(ms.Tensor(images()))
    ours = ops.softmax(scores, 2).asnumpy().transpose(1, 0, 2)
    print(f"largest difference of a probability: {np.abs(ours - theirs).max():.1e}, of {theirs.min():.1e} to "
          f"{theirs.max():.2f}")
    assert np.abs(ours - theirs).max() < 1e-5 and np.abs(np.log(ours / theirs)).max() < 1e-3


@pytest.mark.parametrize(("name", "value"), [
    ("label_dict", 5), ("label_dict", ["a"]), ("label_dict", None), ("label_dict", "aa"), ("image_width", "x"),
    ("image_width", [1]), ("image_width", None), ("image_width", {"a": 1}), ("image_width", float("inf")),
    ("image_width", -3), ("temperature", "x"), ("temperature", [1]), ("temperature", 0), ("keep_ratio", []),
    ("bucket_widths", 5), ("bucket_widths", "a,b"), ("bucket_widths", "100,64"), ("long_width", []),
    ("long_width", 10**9)])
def test_facts_of_another_kind(tmp_path, name, value):
    source = str(tmp_path / "a.safetensors")
    facts = json.dumps({"label_dict": "abc", "keep_ratio": True, name: value})
    save_file(to_torch(arrays(network()), "V2"), source, {"crnn": facts})
    with pytest.raises(CheckpointError, match=f"a.safetensors: .*{name}"):
        main([source, str(tmp_path / "b.ckpt")])
    assert not (tmp_path / "b.ckpt").exists()


@pytest.mark.parametrize("changes", [
    {"rnn1.weight_hh_l0": np.zeros(5)}, {"rnn2.bias_hh_l0": np.zeros((3, 3))}, {"out.bias": np.zeros((4, 2))},
    {"stages.0.conv.weight": np.zeros(1)}, {"stages.6.bn.bias": np.zeros(0)}])
def test_shapes_of_another_network(tmp_path, changes):
    source = str(tmp_path / "a.safetensors")
    save_file(to_torch(arrays(network()), "V2") | changes, source, {"crnn": json.dumps({"label_dict": "abc"})})
    with pytest.raises(CheckpointError, match="a.safetensors: .* has shape .*it belongs to another network"):
        main([source, str(tmp_path / "b.ckpt")])
    assert not (tmp_path / "b.ckpt").exists()


@pytest.mark.parametrize("names", [("rnn.0.rnn.weight", "rnn.0.embedding.weight"),
                                   ("backbone.conv1.conv.weight", "backbone.conv1.conv.bias")])
def test_foreign_names_with_other_shapes(tmp_path, names):
    np.savez(tmp_path / "a.npz", **{name: np.zeros(3, np.float32) for name in names})
    with pytest.raises(CheckpointError, match="a.npz: its arrays do not have the shapes of the network"):
        main([str(tmp_path / "a.npz"), str(tmp_path / "b.ckpt")])


def test_onto_itself(tmp_path):
    source = saved(network(), tmp_path / "a.ckpt")
    before = (tmp_path / "a.ckpt").read_bytes()
    with pytest.raises(ConfigError, match="a.ckpt is read and would be overwritten"):
        main([source, source])
    assert (tmp_path / "a.ckpt").read_bytes() == before
