"""Checkpoint files, good and bad."""
import os
import zipfile
import zlib

import mindspore as ms
import numpy as np
import pytest

from src.common.errors import CheckpointError
from src.crnn import build_network
from src.model_utils.config import load_config
from src.network.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    load_state,
    load_weights,
    read_checkpoint,
    take_over,
    write_checkpoint,
)
from src.network.checkpoint_folder import CheckpointFolder, newest_sound
from src.network.checkpoint_format import check_structure


class Tiny(ms.nn.Cell):
    """A few numbers under the name of a weight."""

    def __init__(self):
        super().__init__()
        self.vgg = ms.nn.Cell()
        self.vgg.weight = ms.Parameter(ms.Tensor(np.arange(1, 5, dtype=np.float32).reshape(2, 2)), name="vgg.weight")


@pytest.fixture
def small():
    return build_network("V2", 37, hidden_size=8)


def zoo_file(net, path, **changes):
    """What the model zoo's ModelCheckpoint wrote: weights, an unused batch norm, optimizer state, epoch_num."""
    values = {p.name: p.asnumpy() for p in net.get_parameters()}
    values.update({"vgg.bn1.gamma": np.ones(512, np.float32), "moments.vgg.conv1.conv.weight": np.ones(3, np.float32)})
    values.update(changes)
    content = [{"name": name, "data": ms.Tensor(value)} for name, value in values.items() if value is not None]
    ms.save_checkpoint(content, str(path), append_dict={"epoch_num": 7})
    return str(path)


def test_written_weights_are_read_back(small, tmp_path):
    path = tmp_path / "new" / "a.ckpt"
    write_checkpoint(path, small, {"label_dict": 'a"\u00e9\u4e2d ', "epoch_num": 3})
    found = read_checkpoint(str(path))
    assert found.info == {"label_dict": 'a"\u00e9\u4e2d ', "epoch_num": 3}
    assert (found.model_version, found.class_num, found.hidden_size) == ("V2", 37, 8)
    other = build_network("V2", 37, hidden_size=8)
    load_weights(other, found)
    for mine, theirs in zip(small.get_parameters(), other.get_parameters(), strict=True):
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())
    assert path.stat().st_mode & 0o777 == 0o644 and [p.name for p in path.parent.iterdir()] == ["a.ckpt"]


def test_a_file_of_the_model_zoo_loads(small, tmp_path):
    found = read_checkpoint(zoo_file(small, tmp_path / "zoo.ckpt"))
    assert found.info["epoch_num"] == 7
    load_weights(build_network("V2", 37, hidden_size=8), found)
    assert not load_state(ms.nn.Dense(2, 2), found)


def test_float16_weights_in_npz(small, tmp_path):
    np.savez(tmp_path / "w.npz", **{p.name: p.asnumpy().astype(np.float16) for p in small.get_parameters()})
    other = build_network("V2", 37, hidden_size=8)
    load_weights(other, read_checkpoint(str(tmp_path / "w.npz")))
    assert other.vgg.conv2.conv.weight.dtype == ms.float32
    np.testing.assert_allclose(other.vgg.conv2.conv.weight.asnumpy(), small.vgg.conv2.conv.weight.asnumpy(), atol=1e-4)


def test_the_configuration_takes_over_what_the_file_says(small, tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", build_network("V1", 4, hidden_size=8), {"label_dict": "xyz"})
    config = load_config([])
    take_over(config, read_checkpoint(str(tmp_path / "a.ckpt")))
    assert (config.model_version, config.label_dict, config.class_num, config.blank) == ("V1", "xyz", 4, 3)
    assert config.hidden_size == 8


def damaged_npz(path):
    """Compressed weights with bytes that cannot be decompressed."""
    np.savez_compressed(path, a=np.arange(500))
    with zipfile.ZipFile(path) as file, open(path, "r+b") as raw:
        raw.seek(file.getinfo("a.npy").header_offset + 60)  # behind the header of the entry
        raw.write(b"\xff" * 20)
    with pytest.raises(zlib.error), np.load(path) as arrays:
        arrays["a"]
    return str(path)


def misplaced_npz(path):
    """Weights whose table of contents points before the beginning of the file: reading them is an OSError."""
    np.savez(path, a=np.arange(5))
    with open(path, "r+b") as raw:
        raw.seek(-6, os.SEEK_END)  # where the table begins, in the record that ends the file
        begin = int.from_bytes(raw.read(4), "little")
        raw.seek(-6, os.SEEK_END)
        raw.write((begin + 1).to_bytes(4, "little"))
    with pytest.raises(OSError, match="Invalid argument"), np.load(path) as arrays:
        arrays["a"]
    return str(path)


def array_called_npz(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    return str(path)


@pytest.mark.parametrize(("make", "message"), [
    (lambda net, path: "", "no checkpoint given"),
    (lambda net, path: str(path / "none.ckpt"), "none.ckpt does not exist"),
    (lambda net, path: str(path), "is a folder"),
    (lambda net, path: (path / "t.ckpt").write_text("hello") and str(path / "t.ckpt"), "t.ckpt is not a checkpoint"),
    (lambda net, path: (path / "t.npz").write_text("hello") and str(path / "t.npz"), "t.npz is not a checkpoint"),
    (lambda net, path: damaged_npz(path / "d.npz"), "d.npz is not a checkpoint, or it is damaged"),
    (lambda net, path: misplaced_npz(path / "o.npz"), "o.npz is not a checkpoint, or it is damaged"),
    (lambda net, path: array_called_npz(path / "y.npz"), "y.npz is not a checkpoint, or it is damaged"),
    (lambda net, path: zoo_file(net, path / "m.ckpt", **{"vgg.conv3.conv.weight": None}), "has no vgg.conv3"),
    (lambda net, path: zoo_file(net, path / "m.ckpt", **{"vgg.conv3.bn.beta": np.ones(7, np.float32)}),
     r"vgg.conv3.bn.beta has shape \(7,\), the network needs \(256,\)"),
    (lambda net, path: zoo_file(net, path / "m.ckpt", **{"vgg.conv3.bn.beta": np.full(256, np.nan, np.float32)}),
     "not finite"),
    (lambda net, path: zoo_file(net, path / "m.ckpt", **{"rnn.0.rnn.weight_ih_l0": None}), "holds no CRNN"),
    (lambda net, path: zoo_file(net, path / "m.ckpt", **{"rnn.0.rnn.weight_ih_l0": None, "w1_bw": np.ones(3)}),
     "V1 checkpoint of the model"),
])
def test_bad_checkpoints(small, tmp_path, make, message):
    path = make(small, tmp_path)
    with pytest.raises(CheckpointError, match=message):
        found = read_checkpoint(path)
        assert found.model_version
        load_weights(small, found)


def test_another_number_of_classes(tmp_path):
    config = load_config([])
    path = zoo_file(build_network("V2", 12, hidden_size=8), tmp_path / "m.ckpt")
    with pytest.raises(CheckpointError, match="has 12 classes, but label_dict makes 37"):
        take_over(config, read_checkpoint(path))


def test_files_of_others_are_left_alone_and_the_newest_stay_of_others_alone(small, tmp_path):
    (tmp_path / "crnn-1_1.ckpt").write_text("an earlier run's")
    checkpoints = CheckpointFolder(tmp_path, 2)
    for step in (2, 3, 4):
        checkpoints.save(small, 1, step, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["crnn-1_1.ckpt", "crnn-1_3.ckpt", "crnn-1_4.ckpt"]


@pytest.mark.parametrize("part", range(9))
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, part):
    """Every bit of a file in turn, split into parts; the quick tests run one of them."""
    path = tmp_path / "tiny.ckpt"
    write_checkpoint(path, Tiny(), {"label_dict": "abc", "epoch_num": 3, "accuracy": 0.5, "keep_ratio": True})
    whole, expected = path.read_bytes(), read_checkpoint(str(path))
    found = 0
    for bit in range(part, 8 * len(whole), 9 * 8 + 1):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            other = read_checkpoint(str(path))
        except DamagedCheckpointError:
            found += 1
            continue
        assert other.info == expected.info and other.values.keys() == expected.values.keys(), bit
        np.testing.assert_array_equal(other.values["vgg.weight"], expected.values["vgg.weight"], err_msg=str(bit))
    assert found > 0.9 * len(range(part, 8 * len(whole), 9 * 8 + 1))


def test_a_file_that_is_cut_off(tmp_path):
    path = tmp_path / "tiny.ckpt"
    write_checkpoint(path, Tiny(), {"label_dict": "abc"})
    whole = path.read_bytes()
    for length in range(1, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCheckpointError, match=r"tiny\.ckpt (was altered since|is not a check)"):
            read_checkpoint(str(path))


def test_files_without_checksums_are_named(small, tmp_path, capsys):
    path = zoo_file(small, tmp_path / "zoo.ckpt")
    read_checkpoint(path)
    assert capsys.readouterr().err == (
        f"note: {path} carries no checksums, so that damage to it cannot be found out\n")
    write_checkpoint(path, small, {})
    read_checkpoint(path)
    assert capsys.readouterr().err == ""


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, Tiny(), {"epoch_num": 1})
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        write_checkpoint(path, Tiny(), {"epoch_num": 2})
    assert read_checkpoint(str(path)).info["epoch_num"] == 1 and [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_newest_sound_one(tmp_path):
    checkpoints = CheckpointFolder(tmp_path, 9)
    paths = [checkpoints.save(Tiny(), 1, step, {}) for step in (1, 2, 3)]
    for number, path in enumerate(paths):
        os.utime(path, (number, number))
    assert newest_sound(tmp_path, but=paths[2]) == paths[1]
    paths[1].write_bytes(paths[1].read_bytes()[:-9])
    os.utime(paths[1], (1, 1))
    assert newest_sound(tmp_path, but=paths[2]) == paths[0] and newest_sound(tmp_path / "none", but=paths[2]) is None


def state_cell():
    """A cell with a weight and a training state of two entries."""
    cell = ms.nn.Cell()
    cell.all = ms.ParameterTuple([ms.Parameter(ms.Tensor(np.zeros(shape, np.float32)), name=name) for name, shape in (
        ("vgg.weight", (2,)), ("moments.vgg.weight", (2,)), ("global_step", ()), ("loss_scale", ()))])
    return cell


@pytest.mark.parametrize("values, info, fits", [
    ({"moments.vgg.weight": np.ones(2)}, {"global_step": 5.0, "loss_scale": 64.0}, True),
    ({"moments.vgg.weight": np.ones(3)}, {"global_step": 5.0}, False), ({"moments.vgg.weight": np.ones(2)}, {}, False),
    ({}, {"global_step": 5.0}, False)])
def test_the_training_state_is_taken_whole_or_not_at_all(values, info, fits):
    cell = state_cell()
    assert load_state(cell, Checkpoint("x.ckpt", {"vgg.weight": np.ones(2), **values}, info)) is fits
    found = {p.name: p.asnumpy().tolist() for p in cell.get_parameters()}
    assert found["vgg.weight"] == [0, 0], "weights are not its business"
    assert found["moments.vgg.weight"] == ([1, 1] if fits else [0, 0])
    assert found["global_step"] == (5 if fits else 0)
    assert found["loss_scale"] == 0, "an option, not state"


@pytest.mark.parametrize("but_last", [False, True])
def test_the_state_of_the_last_layer_and_of_the_helper_is_left_out_for_another_charset(but_last):
    cell = ms.nn.Cell()
    names = ("moments.vgg.conv1.weight", "moments.rnn.1.embedding.bias", "moments.head.weight", "global_step")
    cell.all = ms.ParameterTuple([ms.Parameter(ms.Tensor(np.zeros(2, np.float32)), name=name) for name in names])
    values = {name: np.full(2, 5.0) for name in names}
    values["moments.rnn.1.embedding.bias"] = values["moments.head.weight"] = np.full(3, 5.0)  # of more classes
    assert load_state(cell, Checkpoint("x", values), but_last) is but_last
    found = [p.asnumpy().tolist() for p in cell.get_parameters()]
    assert found == ([[5, 5], [0, 0], [0, 0], [5, 5]] if but_last else [[0, 0]] * 4)


NUMBERS = ["int8", "uint8", "bool_", "int16", "uint16", "float16", "int32", "uint32", "float32", "int64", "uint64",
           "float64"]


@pytest.mark.parametrize("kind", NUMBERS)
def test_the_structure_of_files_that_mindspore_wrote(tmp_path, kind):
    """Every kind of number, with and without MindSpore's own checksum; a byte less is found."""
    path = tmp_path / "a.ckpt"
    arrays = {"vgg.scalar": np.ones((), kind), "vgg.row": np.ones(3, kind), "vgg.table": np.ones((2, 5), kind)}
    for check in (False, True):
        ms.save_checkpoint([{"name": name, "data": ms.Tensor(value)} for name, value in arrays.items()], str(path),
                           append_dict={"text": "letters", "number": 5}, crc_check=check)
        check_structure(path.read_bytes())
        for cut in (1, 2):
            with pytest.raises(ValueError):
                check_structure(path.read_bytes()[:-cut])


def test_the_structure_of_a_file_with_bfloat16(tmp_path):
    """numpy has no such number, so it is not among the others."""
    table = {"name": "vgg.table", "data": ms.Tensor(np.ones((2, 5)), ms.bfloat16)}
    ms.save_checkpoint([table], str(tmp_path / "a.ckpt"))
    data = (tmp_path / "a.ckpt").read_bytes()
    check_structure(data)
    with pytest.raises(ValueError):
        check_structure(data[:-1])


def test_the_structure_of_a_file_with_packed_shapes():
    """MindSpore writes the numbers of a shape one by one; other writers of protocol buffers pack them."""
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    for shape, fits in ((b"\2\3", True), (b"\2\4", False), (b"\6", True)):
        tensor = field(1, shape) + field(2, b"Float32") + field(3, bytes(24))
        data = field(1, field(1, b"vgg.table") + field(2, tensor))
        if fits:
            check_structure(data)
        else:
            with pytest.raises(ValueError, match="vgg.table"):
                check_structure(data)


def test_what_is_trained_beside_its_average():
    both = Checkpoint("x", {"vgg.weight": np.zeros(1), "trained.vgg.weight": np.ones(1)})
    assert list(both.trained.values) == ["vgg.weight"] and both.trained.values["vgg.weight"] == 1
    assert Checkpoint("x", {"vgg.weight": np.zeros(1)}).trained is None


@pytest.mark.parametrize(("changes", "message"), [
    ({"rnn.0.rnn.weight_hh_l0": np.zeros(5, np.float32)}, r"weight_hh_l0 has shape \(5,\), not one of 2 dimensions"),
    ({"rnn.0.rnn.weight_hh_l0": np.float32(3)}, r"weight_hh_l0 has shape \(\), not one of 2"),
    ({"rnn.0.rnn.weight_hh_l0": np.zeros((0, 0), np.float32)}, r"weight_hh_l0 has shape \(0, 0\)"),
    ({"rnn.1.embedding.bias": np.float32(3)}, r"rnn.1.embedding.bias has shape \(\), not one of 1 dimensions"),
    ({"rnn.1.embedding.bias": np.zeros((4, 2), np.float32)}, r"embedding.bias has shape \(4, 2\), not one of 1"),
    *(({"vgg.conv1.bn.beta": np.zeros(64, kind)}, "vgg.conv1.bn.beta holds values of type .*, where numbers belong")
      for kind in ("U1", "complex64", "bool", "datetime64[D]", "V4")),
])
def test_arrays_of_another_kind(small, tmp_path, changes, message):
    np.savez(tmp_path / "w.npz", **{p.name: p.asnumpy() for p in small.get_parameters()} | changes)
    with pytest.raises(CheckpointError, match=f"w.npz: .*{message}"):
        take_over(load_config([]), read_checkpoint(str(tmp_path / "w.npz")))


@pytest.mark.parametrize(("name", "value", "message"), [
    ("label_dict", 5, "label_dict cannot be used .*expected text"),
    ("label_dict", "aa", "label_dict cannot be used .*'a'"),
    ("label_dict", "", "label_dict cannot be used"), ("label_dict", "chars.txt", "label_dict cannot be used"),
    ("label_dict", "abc", "a file of the name 'abc' lies here"), ("image_width", "wide", "image_width cannot be used"),
    ("image_width", -5, "image_width cannot be used"), ("image_width", 128.5, "image_width cannot be used"),
    ("keep_ratio", "maybe", "keep_ratio cannot be used"), ("bucket_widths", 100, "bucket_widths cannot be used"),
    ("long_width", "x", "long_width"), ("long_width", 10**9, "long_width cannot be used"),
    ("epoch_num", "x", "its epoch_num is 'x', where a number"), ("seed", float("nan"), "its seed is nan"),
])
def test_facts_of_another_kind(small, tmp_path, monkeypatch, name, value, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "abc").write_text("x\ny\nz\n")
    (tmp_path / "chars.txt").write_text("x\ny\nz\n")
    write_checkpoint("f.ckpt", small, {name: value})
    with pytest.raises(CheckpointError, match=f"^f.ckpt: .*{message}"):
        take_over(load_config([]), read_checkpoint("f.ckpt"))
