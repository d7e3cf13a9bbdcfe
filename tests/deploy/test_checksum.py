"""Checksums inside exported files."""
import hashlib
import json
import zlib

import pytest

from src.common.errors import CheckpointError
from src.deploy import checksum
from src.deploy.metadata import ModelInfo, copy_sidecar, read_sidecar, sidecar_path, write_sidecar
from src.deploy.onnx.graph import to_bytes
from src.deploy.onnx.network import OnnxNetwork
from src.network.checkpoint import read_checkpoint
from tests.onnx_models import make_onnx

INFO = ModelInfo("abc", "V2", 100, 32, 4, 3)


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_every_flipped_bit_of_a_json_file_is_found(tmp_path):
    path = sidecar_path(tmp_path / "x.mindir")
    write_sidecar(tmp_path / "x.mindir", INFO)
    assert read_sidecar(tmp_path / "x.mindir") == INFO
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flip(path, bit)
        with pytest.raises(CheckpointError, match="was altered since it was written"):
            read_sidecar(tmp_path / "x.mindir")
        path.write_bytes(whole)


def test_the_methods_are_the_known_ones(tmp_path):
    """Computed here from the description, by other means."""
    write_sidecar(tmp_path / "x.mindir", INFO)
    data = sidecar_path(tmp_path / "x.mindir").read_bytes()
    place = data.index(b'"checksum": "') + 13
    assert int(data[place:place + 8], 16) == zlib.crc32(data[:place] + b"00000000" + data[place + 8:])
    data = to_bytes(make_onnx())
    place = data.index(b"checksum\x12\x40") + 10
    zeroed = data[:place] + b"0" * 64 + data[place + 64:]
    assert data[place:place + 64].decode() == hashlib.sha256(zeroed).hexdigest()


def test_an_altered_onnx_file_is_refused_before_it_is_opened(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    path.write_bytes(to_bytes(make_onnx()))
    OnnxNetwork(path)
    assert capsys.readouterr().err == ""
    whole = path.read_bytes()
    mark = whole.index(b"checksum\x12\x40")
    for bit in (3, 4 * len(whole), 8 * len(whole) - 1, 8 * mark + 2, 8 * (mark + 20), 8 * (mark - 40)):
        flip(path, bit)
        with pytest.raises(CheckpointError, match=r"x\.onnx was altered since it was written"):
            OnnxNetwork(path)
        path.write_bytes(whole)
    path.write_bytes(whole[:-200])
    with pytest.raises(CheckpointError, match=r"x\.onnx (was altered|is not an ONNX file)"):
        OnnxNetwork(path)


def test_a_file_without_one_is_named(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    path.write_bytes(make_onnx().SerializeToString())
    OnnxNetwork(path)
    assert capsys.readouterr().err == f"note: {path} carries no checksum, so that damage to it cannot be found out\n"
    assert checksum.JSON.find_fault(path) is None


@pytest.mark.parametrize("name", ["crnn_v2.ckpt", "crnn_v2_synth.ckpt", "crnn_v2_fp16.onnx", "crnn_v2_int8.onnx"])
def test_the_files_that_come_with_the_program_carry_checksums(repo, capsys, name):
    path = repo / "pretrained" / name
    if name.endswith(".ckpt"):
        read_checkpoint(str(path))
    else:
        assert checksum.ONNX.find_fault(path) == ""
    assert capsys.readouterr().err == ""


def test_a_mindir_file_is_known_by_its_checksum(tmp_path):
    (tmp_path / "a.mindir").write_bytes(b"one network")
    (tmp_path / "b.mindir").write_bytes(b"the same, rewritten")
    write_sidecar(tmp_path / "a.mindir", INFO, {"input_shape": [1]})
    copied = copy_sidecar(tmp_path / "a.mindir", tmp_path / "b.mindir")
    for name in "ab":
        values = json.loads((tmp_path / f"{name}.mindir.json").read_text())
        assert values["mindir_crc32"] == f"{zlib.crc32((tmp_path / f'{name}.mindir').read_bytes()):08x}"
        assert values["input_shape"] == [1]
    assert read_sidecar(tmp_path / "b.mindir") == INFO and copied == sidecar_path(tmp_path / "b.mindir")
    (tmp_path / "c.air").write_bytes(b"to be compiled")
    assert "mindir_crc32" not in write_sidecar(tmp_path / "c.air", INFO).read_text()
    with pytest.raises(CheckpointError, match="is missing"):
        copy_sidecar(tmp_path / "none.mindir", tmp_path / "b.mindir")
