"""The unrolled network, and MINDIR files rewritten for older runtimes: loaded again by this MindSpore."""
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from mindspore.train import mind_ir_pb2 as pb

from src.common.errors import CheckpointError, ConfigError, CRNNError
from src.deploy.metadata import read_sidecar
from src.deploy.mindir.files import load_mindir, write_mindspore
from src.deploy.mindir.lite import rewrite, rewrite_file
from src.deploy.mindir.lite_export import export_for_lite
from src.deploy.mindir.unrolled import UnrolledCRNN
from src.network.checkpoint import write_checkpoint as save_checkpoint
from tests.conftest import REPO
from tests.deploy.conftest import network
from tests.onnx_models import images
from tools.mindir_for_lite import main

pytestmark = pytest.mark.usefixtures("graph_mode")

WIDTH = 24  # 5 steps


@pytest.fixture(scope="module")
def unrolled_file(checkpoints, tmp_path_factory):
    """The unrolled network as this MindSpore writes it."""
    path = tmp_path_factory.mktemp("unrolled") / "new.mindir"
    write_mindspore(UnrolledCRNN(network(checkpoints["V2"]), WIDTH), path, "MINDIR", 1, 32, WIDTH)
    return path


def read(path) -> pb.ModelProto:
    model = pb.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


@pytest.mark.parametrize(("version", "counts"), [("V1", [3]), ("V2", [1, 3])])
def test_the_unrolled_network_computes_the_same(checkpoints, version, counts):
    net = network(checkpoints[version])
    unrolled = UnrolledCRNN(net, WIDTH)
    for count in counts:
        expected = net(Tensor(images(count, WIDTH))).asnumpy()
        assert expected.std() > 0.02 and np.ptp(expected, axis=0).max() > 0.02
        np.testing.assert_allclose(unrolled(Tensor(images(count, WIDTH))).asnumpy(), expected, atol=5e-6)


def check_exported(checkpoints, path, version, counts):
    """An older runtime can load a file, and it computes what its checkpoint does for so many images a call."""
    model = read(path)
    assert (model.mind_ir_version, model.ir_version) == (1, "0.1.1")
    assert {p.prim_type for p in model.primitives} == {pb.PrimitiveProto.PRIMITIVE}
    assert "LSTM" not in {p.op_type for p in model.primitives}
    assert len({p.name for p in model.primitives}) == len(model.primitives)
    net, forward = network(checkpoints[version]), load_mindir(path)
    for count in counts:
        expected = net(Tensor(images(count, WIDTH))).asnumpy()
        np.testing.assert_allclose(forward(images(count, WIDTH)), expected, atol=5e-6)
    info = read_sidecar(path)
    assert (info.image_width, info.model_version, info.class_num) == (WIDTH, version, 37)


def test_export_for_lite_loads_here_with_equal_output(checkpoints, tmp_path):
    """With a free number of images; a fixed one: see test_the_command."""
    path = export_for_lite(checkpoints["V2"], tmp_path / "sub" / "crnn", None, WIDTH)
    assert path == tmp_path / "sub" / "crnn.mindir"
    assert {p.name for p in path.parent.iterdir()} == {"crnn.mindir", "crnn.mindir.json"}
    check_exported(checkpoints, path, "V2", [1, 3])


def test_a_mindir_with_lstm_operators(checkpoints, tmp_path):
    """Two images a call: rewritten, loads with equal output. One: refused, as Lite gets it wrong."""
    net = network(checkpoints["V2"])
    for batch in (2, 1):
        write_mindspore(net, tmp_path / "new.mindir", "MINDIR", batch, 32, WIDTH)
        if batch == 2:
            rewrite_file(tmp_path / "new.mindir", tmp_path / "old.mindir")
            model = read(tmp_path / "old.mindir")
            assert {p.prim_type for p in model.primitives} == {pb.PrimitiveProto.PRIMITIVE}
            assert "LSTM" in {p.op_type for p in model.primitives}
            expected = net(Tensor(images(2, WIDTH))).asnumpy()
            np.testing.assert_allclose(load_mindir(tmp_path / "old.mindir")(images(2, WIDTH)), expected, atol=5e-6)
        else:
            with pytest.raises(CheckpointError, match="LSTM operator with batch 1.* wrongly"):
                rewrite_file(tmp_path / "new.mindir", tmp_path / "no.mindir")
    assert not (tmp_path / "no.mindir").exists()


class _Odd(nn.Cell):
    """A network of one operator."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def construct(self, x):
        return self.operator(x)


@pytest.mark.parametrize("operator, name", [(ops.Erf(), "Erf"), (ops.GeLU(), "GeLU")])
def test_an_operator_without_a_rule_is_an_error(tmp_path, operator, name):
    example = Tensor(np.zeros((2, 3), np.float32))
    ms.export(_Odd(operator), example, file_name=str(tmp_path / "odd"), file_format="MINDIR")
    with pytest.raises(CheckpointError, match=f"odd.mindir: the operator {name} has no rule to rewrite it"):
        rewrite_file(tmp_path / "odd.mindir", tmp_path / "no.mindir")
    assert not (tmp_path / "no.mindir").exists()


def test_settings_become_attributes(unrolled_file):
    new = read(unrolled_file)
    before = new.SerializeToString()
    old = rewrite(new)
    assert new.SerializeToString() == before, "the given model stays as it is"
    assert pb.PrimitiveProto.PRIMITIVE_FUNCTION in {p.prim_type for p in new.primitives}, "nothing to test"
    attributes = {}
    for primitive in old.primitives:
        attributes.setdefault(primitive.op_type, []).append({a.name: a for a in primitive.attribute})
    assert {a["output_num"].i for a in attributes["Split"]} == {5, 2, 4}
    assert all(a["format"].s == b"NCHW" and a["epsilon"].f == pytest.approx(1e-4) and not a["is_training"].i
               for a in attributes["BatchNorm"])
    assert [(a["transpose_a"].i, a["transpose_b"].i) for a in attributes["MatMul"]] == [(0, 1)]
    assert [a["transpose_x2"].i for a in attributes["BatchMatMul"]] == [0]
    assert [(a["axis"].i, a["N"].i) for a in attributes["Concat"]] == [(2, 2)]
    used = {name for node in old.graph.node for name in node.input}
    assert all(used & set(node.output) for node in old.graph.node if node.op_type == "Constant")
    inputs = {"BatchNorm": 5, "MatMul": 2, "BatchMatMul": 2, "Concat": 1, "Split": 1, "ReverseV2": 1}
    kinds = {p.name: p.op_type for p in old.primitives}
    for node in old.graph.node:
        kind = kinds.get(node.op_type.removeprefix("REF::"))
        assert len(node.input) == inputs.get(kind, len(node.input)), node.name


def test_a_setting_that_is_no_constant_or_unknown_is_an_error(unrolled_file):
    for change, message in ((lambda node: node.input.append(node.input[0]), "must be a constant"),
                            (lambda node: node.input.append(node.input[-1]), "the rule to rewrite it knows 1"),
                            (lambda node: node.input.pop(), "has 0 settings, but the rule")):
        model = read(unrolled_file)
        concat = {f"REF::{p.name}" for p in model.primitives if p.op_type == "Concat"}
        change(next(node for node in model.graph.node if node.op_type in concat))
        with pytest.raises(CheckpointError, match=message):
            rewrite(model)


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256)) * 9])
def test_what_is_no_mindir(tmp_path, content):
    (tmp_path / "bad.mindir").write_bytes(content)
    with pytest.raises(CheckpointError, match="bad.mindir .*not a MINDIR file"):
        rewrite_file(tmp_path / "bad.mindir", tmp_path / "out.mindir")
    with pytest.raises(CheckpointError, match="cannot read .*missing"):
        rewrite_file(tmp_path / "missing.mindir", tmp_path / "out.mindir")


def test_the_wrong_charset_is_an_error(checkpoints, tmp_path):
    with pytest.raises(CheckpointError, match="has 37 classes, but label_dict makes 4"):
        export_for_lite(checkpoints["V2"], tmp_path / "x.mindir", label_dict="abc")
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_is_not_kept(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr("src.deploy.mindir.lite_export.load_mindir",
                        lambda path: lambda batch: np.ones((5, len(batch), 37)))
    with pytest.raises(CRNNError, match="x.mindir was not kept: its max abs difference to the checkpoint is"):
        export_for_lite(checkpoints["V2"], tmp_path / "x.mindir", 2, WIDTH)
    assert not list(tmp_path.iterdir())


def test_networks_for_images_that_keep_their_ratio_are_refused(checkpoints, tmp_path):
    trained = tmp_path / "x.ckpt"
    save_checkpoint(trained, network(checkpoints["V2"]), {"keep_ratio": True, "bucket_widths": "64,100"})
    with pytest.raises(CheckpointError, match="x.ckpt was trained with keep_ratio, .* or use ONNX$"):
        export_for_lite(trained, tmp_path / "x.mindir")
    assert list(tmp_path.iterdir()) == [trained]


def test_the_command(checkpoints, tmp_path, capfd):
    """The program itself once, with a MINDIR file; the rest of it in this process."""
    new = tmp_path / "new.mindir"
    write_mindspore(network(checkpoints["V2"]), new, "MINDIR", 2, 32, WIDTH)
    (tmp_path / "new.mindir.json").write_text("{}")
    done = subprocess.run([sys.executable, REPO / "tools" / "mindir_for_lite.py", new, tmp_path / "b.mindir"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == str(tmp_path / "b.mindir"), done.stderr
    assert (tmp_path / "b.mindir").is_file() and (tmp_path / "b.mindir.json").read_text().count("mindir_crc32") == 1
    with pytest.raises(ConfigError, match="belong to a checkpoint"):
        main([str(new), str(tmp_path / "c.mindir"), "--batch", "2"])
    with pytest.raises(ConfigError, match="--batch must be at least 1"):
        main([str(checkpoints["V2"]), str(tmp_path / "c.mindir"), "--batch", "0"])
    assert not (tmp_path / "c.mindir").exists()
    capfd.readouterr()
    assert main([str(checkpoints["V1"]), str(tmp_path / "a.mindir"), "--batch", "2", "--width", str(WIDTH)]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == str(tmp_path / "a.mindir")
    check_exported(checkpoints, tmp_path / "a.mindir", "V1", [2])
