"""What damaged files have shown, each kept as a harmless case: the guard speaks before an outside library reads it."""
import csv
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

import src.convert.iiit5k
import src.network.checkpoint
from src.common.errors import CheckpointError, ConfigError, DataError
from src.common.files import check_unpacked, parse_json
from src.convert.iiit5k import load_mat
from src.convert.mat_file import MatFileError, sound_variables
from src.convert.tagset import clamp
from src.data.list_source import ListSource
from src.deploy.metadata import read_sidecar
from src.deploy.onnx.network import OnnxNetwork
from src.distributed.rank_table import read_rank_table
from src.model_utils.config import load_config
from src.network.checkpoint import read_checkpoint
from src.network.checkpoint_format import check_structure
from tests.fuzz.networks import small_onnx


def field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer."""
    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(shape, kind: bytes, content: bytes, name: bytes = b"w") -> bytes:
    """An entry of a MindSpore checkpoint."""
    tensor = b"".join(field(1, size) for size in shape) + field(2, kind) + field(3, content)
    return field(1, field(1, name) + field(2, tensor))


@pytest.mark.parametrize("data", [
    entry((2, 3), b"Float32", bytes(24)), entry((6,), b"Float16", bytes(12)), entry((0,), b"Int32", bytes(4)),
    entry((), b"Float32", bytes(4)), entry((0,), b"str", "text".encode("utf-32-le")),
    entry((4,), b"Float32", bytes(8)) + entry((4,), b"Float32", bytes(8)),  # one tensor in two pieces
    entry((1,), b"Bool", b"\1") + b"crc_num" + bytes(10)])
def test_checkpoint_structure_that_is_sound(data):
    check_structure(data)


@pytest.mark.parametrize("data", [
    entry((2, 3), b"Float32", bytes(20)), entry((2, 3), b"Float32", bytes(28)), entry((2, 2**40), b"Int8", b""),
    entry((2,), b"Int4", bytes(2)), entry((0,), b"str", b"abc"), entry((2**63,), b"Int8", b""),
    field(1, field(1, b"w")),
    entry((1,), b"Bool", b"\1")[:-1], entry((1,), b"Bool", b"\1") + b"\xff", field(2, b"x"), field(1, 5), b"\x0a",
    entry((4,), b"Float32", bytes(8)) + entry((4,), b"Float32", bytes(8), b"v")])
def test_mindspore_gets_no_tensor_that_its_bytes_do_not_fill(tmp_path, monkeypatch, data):
    with pytest.raises(ValueError):
        check_structure(data)
    monkeypatch.setattr(src.network.checkpoint.ms, "load_checkpoint", lambda *_: pytest.fail("it was loaded"))
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match="x.ckpt is not a checkpoint, or it is damaged"):
        read_checkpoint(str(tmp_path / "x.ckpt"))


def mat(**variables) -> bytes:
    """A MATLAB file without compression."""
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def at(data: bytes, place: int, number: int) -> bytes:
    """The file with another number of four bytes at a place."""
    return data[:place] + struct.pack("<i", number) + data[place + 4:]


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_structure_that_is_sound(tmp_path, compressed):
    cells = np.array([np.zeros(3), "text", np.zeros((2, 0))], object)
    content = {"none": np.zeros((0, 3)), "complex": np.array([1 + 2j]), "text": "wörd", "empty": "", "cells": cells,
               "one": {"a": 1, "b": {"c": [1, 2, 3]}}, "bool": np.array([True]), "small": np.arange(3, dtype=np.int8),
               "sparse": csc_matrix(np.eye(3))}
    savemat(tmp_path / "x.mat", content, do_compression=compressed)
    assert sound_variables(str(tmp_path / "x.mat")) == [name for name in content if name != "sparse"]
    assert sound_variables(str(tmp_path / "x.mat"), ["one", "sparse"]) == ["one"]


NUMBERS = mat(x=np.arange(4.0))  # head of 128; variable, flags (16), dimensions (16), name (8), then type and numbers
TYPE = 128 + 8 + 16 + 16 + 8


@pytest.mark.parametrize("data", [
    at(NUMBERS, TYPE, 99), at(NUMBERS, TYPE, 0), at(NUMBERS, TYPE, 1), at(NUMBERS, TYPE + 4, 24),
    at(NUMBERS, TYPE + 4, 1 << 30), at(NUMBERS, TYPE - 16, 5), at(NUMBERS, TYPE - 16, -4),
    at(NUMBERS, TYPE - 16, 1 << 29),
    at(NUMBERS, 128, 99), at(NUMBERS, 132, 8), at(NUMBERS, 136, 5), at(NUMBERS, TYPE - 24, 9), NUMBERS + NUMBERS[128:],
    NUMBERS[:-8], NUMBERS[:140], NUMBERS[:100], NUMBERS[:124] + b"\0\2IM" + NUMBERS[128:]])
def test_scipy_gets_no_damaged_mat_file(tmp_path, monkeypatch, data):
    assert NUMBERS[TYPE:TYPE + 8] == struct.pack("<ii", 9, 32), "the places in this test are wrong"
    path = tmp_path / "x.mat"
    path.write_bytes(data)
    with pytest.raises(MatFileError):
        sound_variables(str(path))
    monkeypatch.setattr(src.convert.iiit5k, "loadmat", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DataError, match="x.mat cannot be read as a MATLAB 5 file"):
        load_mat(str(path))


def test_numbers_that_are_finite_alone_but_not_together():
    with pytest.raises(DataError, match="the box is not finite"):
        clamp(1e308, 0, 1e308, 5, 100, 100)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a":' * 100_000])
def test_json_that_python_has_other_errors_for(tmp_path, text):
    with pytest.raises(ValueError, match="nested too deep, or a number of too many digits"):
        parse_json(text)
    for name in ("gt.json", "x.mindir.json"):
        (tmp_path / name).write_text('{"a": ' + text)
    with pytest.raises(DataError, match="gt.json, line 1: not a JSON object"):
        ListSource(str(tmp_path / "gt.json"))
    with pytest.raises(ConfigError, match="gt.json, line 1, column .: not JSON"):
        read_rank_table(str(tmp_path / "gt.json"))
    with pytest.raises(CheckpointError, match="x.mindir.json is not JSON"):
        read_sidecar(tmp_path / "x.mindir")


def test_a_rank_of_thousands_of_digits(tmp_path):
    device = {"device_id": "0", "rank_id": "9" * 5000}
    table = {"version": "1.0", "server_list": [{"server_id": "a", "device": [device]}]}
    (tmp_path / "t").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match="rank_id must be a number such as .0., got '9{40}'$"):
        read_rank_table(str(tmp_path / "t"))


@pytest.mark.parametrize("text, message", [
    ("a.jpg,one\rb.jpg,two\r", "line 1: a carriage return inside the line"),
    ("filename,words\na.jpg,b\rc\n", "line 2: a carriage return"),
    ("name,filename,words\n1,a.jpg," + "x" * 140_000 + "\n", "line 2: field larger than field limit")])
def test_lists_that_csv_cannot_read(request, tmp_path, text, message):
    (tmp_path / "gt.csv").write_bytes(text.encode())
    before = csv.field_size_limit(131_072)  # Python's own, which MindSpore raises
    request.addfinalizer(lambda: csv.field_size_limit(before))
    with pytest.raises(DataError, match=message):
        ListSource(str(tmp_path / "gt.csv"))


def test_a_message_shows_no_control_characters():
    with pytest.raises(ConfigError, match=r"unknown key 'x\\x0b\\x1b\[31m'; --help") as caught:
        load_config(["--x\x0b\x1b[31m=1"])
    assert str(caught.value).isprintable()


def test_names_in_a_network_that_are_no_text(tmp_path, capfd):
    data = small_onnx("abc").SerializeToString().replace(b"images", b"im\xffges")
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(CheckpointError, match="x.onnx"):
        OnnxNetwork(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(data[:-40])
    with pytest.raises(CheckpointError, match="is not an ONNX file"):
        OnnxNetwork(tmp_path / "x.onnx")
    assert capfd.readouterr().out == "", "onnxruntime's own message belongs nowhere near the readings"


def test_archives_that_would_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(10_000))
    check_unpacked(tmp_path / "x.npz", 10_000)
    with pytest.raises(ValueError, match="has 10000 bytes, more than 9999"):
        check_unpacked(tmp_path / "x.npz", 9999)


def test_large_archives_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("src.network.checkpoint.check_unpacked", lambda path: check_unpacked(path, 100))
    monkeypatch.setattr("src.network.checkpoint.np.load", lambda *_, **__: pytest.fail("it was unpacked"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", bytes(101))
    with pytest.raises(CheckpointError, match="x.npz is not a checkpoint, or it is damaged"):
        read_checkpoint(str(tmp_path / "x.npz"))
