"""Import of the twin's weights, with the parity of both networks shown."""
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the twin needs PyTorch")

from src.common.errors import CheckpointError, DataError  # noqa: E402
from src.network.checkpoint import read_checkpoint  # noqa: E402
from tools.import_twin import main, read_parts, sample_images, twin_scores  # noqa: E402
from tools.seeded_weights import seeded_weights  # noqa: E402
from tools.torch_twin import CRNN, to_mindspore  # noqa: E402
from tools.twin_parts import save_npz, save_parts  # noqa: E402


@pytest.fixture(scope="module")
def weights():
    twin = CRNN(37, "V2", 16)
    return seeded_weights((name, value.shape) for name, value in to_mindspore(twin).items())


def test_parts_become_a_checkpoint_that_reads_alike(weights, tmp_path, capsys):
    save_parts(tmp_path, weights, 8 << 20)
    parts = sorted(map(str, tmp_path.glob("weights_*.npz")))
    assert len(parts) > 1
    out = str(tmp_path / "new" / "twin.ckpt")
    assert main([*parts, "-o", out, "--count=4", "--image_width=128"]) == 0
    printed = capsys.readouterr().out
    assert "class scores of 4 images: largest difference" in printed and f"wrote {out}" in printed
    checkpoint = read_checkpoint(out)
    assert checkpoint.info["label_dict"] == "abcdefghijklmnopqrstuvwxyz0123456789" and checkpoint.hidden_size == 16
    assert checkpoint.info["image_width"] == 128
    for name, value in weights.items():
        np.testing.assert_array_equal(checkpoint.values[name], value)


def test_networks_that_differ_are_not_imported(weights, tmp_path):
    save_npz(tmp_path / "w.npz", weights)
    out = tmp_path / "twin.ckpt"
    with pytest.raises(CheckpointError, match="differ by .*nothing written"):
        main([str(tmp_path / "w.npz"), "-o", str(out), "--count=2", "--tolerance=1e-12"])
    assert not out.exists()


def test_scores_follow_the_weights(weights):
    images = sample_images("", 2, 100)
    scores = twin_scores(weights, images)
    assert scores.shape == (24, 2, 37)
    other = {**weights, "rnn.1.embedding.bias": weights["rnn.1.embedding.bias"] + 1}
    np.testing.assert_allclose(twin_scores(other, images), scores + 1, atol=1e-5)


def test_what_is_no_npz_file_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, a=np.arange(5000.0))
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.arange(3.0))
    torch.save({"a": torch.zeros(9)}, tmp_path / "state.pt")
    for content in (whole[:len(whole) // 2], b"", whole[:600] + b"XX" + whole[602:],
                    (tmp_path / "array.npy").read_bytes(), (tmp_path / "state.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="w.npz is no .npz file of weights, or it is damaged or cut off;"):
            read_parts([str(path)])
    path.write_bytes(whole)
    assert read_parts([str(path)])["a"].dtype == np.float32


def test_messages(weights, tmp_path):
    path = str(tmp_path / "w.npz")
    save_npz(tmp_path / "w.npz", {name: value for name, value in weights.items() if "conv3" not in name})
    with pytest.raises(CheckpointError, match="do not fit the twin"):
        main([path, "-o", "x.ckpt"])
    with pytest.raises(CheckpointError, match="not those of a V2 network"):
        twin_scores({}, sample_images("", 1, 100))
    with pytest.raises(CheckpointError, match="is in another file, too"):
        read_parts([path, path])
    (tmp_path / "text.npz").write_text("no weights")
    with pytest.raises(CheckpointError, match="is no .npz file"):
        read_parts([str(tmp_path / "text.npz")])
    for name, message in (("missing.npz", "does not exist"), ("", "is a folder")):
        with pytest.raises(CheckpointError, match=message):
            read_parts([str(tmp_path / name)])
    with pytest.raises(CheckpointError, match="must end in .ckpt"):
        main([path, "-o", "x"])
    with pytest.raises(DataError, match="holds no .png or .jpg"):
        sample_images(str(tmp_path), 3, 100)
