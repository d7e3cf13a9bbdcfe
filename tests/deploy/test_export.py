"""export.py: files are written, checked, described and refused; small hidden layers keep it quick."""
import os
import shutil
import stat
import subprocess
import sys

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn

import export
from src.common.charset import Charset, normalise
from src.common.errors import CheckpointError, ConfigError, CRNNError, DataError
from src.data.preprocess import InputSpec
from src.deploy import exporter
from src.deploy.check import measure, probe_batch, require_close
from src.deploy.exporter import in_batches, read_images
from src.deploy.metadata import read_sidecar
from src.deploy.onnx.network import OnnxNetwork
from src.deploy.targets import read_formats, sizes_for, target_path
from src.model_utils.config import load_config
from src.network import trained
from src.network.checkpoint import read_checkpoint
from tests.conftest import REPO
from tests.deploy.conftest import HIDDEN, reference
from tests.onnx_models import CHARACTERS, images
from tests.words import WORDS, draw_word

pytestmark = pytest.mark.usefixtures("graph_mode")

ALPHANUMERIC = Charset(CHARACTERS)


@pytest.fixture(scope="module")
def word_images(drawn_words):
    return drawn_words()


def run(checkpoint, name, *more):
    return export.main([f"--ckpt_file={checkpoint}", f"--file_name={name}", "--device_target=CPU", *more])


@pytest.mark.parametrize("version", [pytest.param("V1", marks=pytest.mark.slow), "V2"])
def test_every_format_in_one_call(checkpoints, tmp_path, capsys, version):
    """Free sizes; the files are loaded by other means than export.py's own and compared at an odd width."""
    name = tmp_path / "new földer" / "crnn.v2"
    assert run(checkpoints[version], name, "--file_format=mindir, ONNX", f"--model_version={version}",
               "--export_batch_size=dynamic", "--export_width=dynamic") == 0
    assert sorted(os.listdir(name.parent)) == ["crnn.v2.mindir", "crnn.v2.mindir.json", "crnn.v2.onnx"]
    assert capsys.readouterr().out.count("max abs difference to the checkpoint") == 2
    path = f"{name}.mindir"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    expected = reference(checkpoints[version])(images(2, 53))
    mindir = nn.GraphCell(ms.load(path))(Tensor(images(2, 53))).asnumpy()
    np.testing.assert_allclose(mindir, expected, atol=1e-5)
    network = OnnxNetwork(f"{name}.onnx")
    np.testing.assert_allclose(network(images(2, 53)), expected, atol=1e-4)
    info = read_sidecar(path)
    assert network.info == info
    assert (info.model_version, info.image_width, info.blank, info.weights) == (version, 100, 36, "float32")


def test_usual_sizes(checkpoints, tmp_path):
    run(checkpoints["V2"], tmp_path / "one", "--file_format=MINDIR")
    net = nn.GraphCell(ms.load(str(tmp_path / "one.mindir")))
    assert net(Tensor(images(1, 100))).shape == (24, 1, 37)
    assert '"input_shape": [\n    1,\n    3,\n    32,\n    100\n  ]' in (tmp_path / "one.mindir.json").read_text()
    with pytest.raises((ValueError, RuntimeError)):
        net(Tensor(images(2, 100)))


def test_given_batch_and_width(checkpoints, tmp_path):
    run(checkpoints["V2"], tmp_path / "x", "--file_format=MINDIR,ONNX", "--export_batch_size=3", "--export_width=64")
    expected = reference(checkpoints["V2"])(images(3, 64))
    network = OnnxNetwork(tmp_path / "x.onnx")
    assert (network.batch, network.width, network.info.image_width) == (3, 64, 64)
    np.testing.assert_allclose(network(images(3, 64)), expected, atol=1e-4)
    mindir = nn.GraphCell(ms.load(str(tmp_path / "x.mindir")))(Tensor(images(3, 64))).asnumpy()
    np.testing.assert_allclose(mindir, expected, atol=1e-5)


def test_keeping_the_ratio_travels_along(checkpoints, tmp_path):
    run(checkpoints["V2"], tmp_path / "x", "--file_format=ONNX", "--keep_ratio", "--bucket_widths=40, 64")
    network = OnnxNetwork(tmp_path / "x.onnx")
    assert network.width is None and network.info.spec == InputSpec(widths=(40, 64))
    run(checkpoints["V2"], tmp_path / "x", "--file_format=ONNX", "--keep_ratio", "--export_width=64")
    assert OnnxNetwork(tmp_path / "x.onnx").info.spec == InputSpec(width=64, widths=(64,))


def test_float16_weights_and_eight_bits(checkpoints, word_images, tmp_path, capsys, monkeypatch):
    (word_images / "broken.png").write_bytes(b"no image")
    run(checkpoints["V2"], tmp_path / "x", "--file_format=ONNX", "--onnx_weights=float16", "--quantize=int8",
        f"--calibration_path={word_images}", "--calibration_images=6")
    streams = capsys.readouterr()
    assert "calibrating on 5 images" in streams.out and "broken.png" in streams.err
    assert streams.out.count("of them read the same") == 2
    half, small = OnnxNetwork(tmp_path / "x.onnx"), OnnxNetwork(tmp_path / "x_int8.onnx")
    assert (half.info.weights, small.info.weights) == ("float16", "int8")
    weights = sum(value.size for value in read_checkpoint(str(checkpoints["V2"])).weights.values())
    assert (tmp_path / "x.onnx").stat().st_size < 2.1 * weights
    assert (tmp_path / "x_int8.onnx").stat().st_size < 1.1 * weights
    words = probe_batch(6, InputSpec())
    expected = reference(checkpoints["V2"])(words)
    for network in (half, small):
        gap = network(words) - expected
        assert 0 < np.sqrt((gap**2).mean()) < 0.1 * expected.std()
    alone = np.concatenate([small(words[n:n + 1]) for n in range(6)], axis=1)
    np.testing.assert_allclose(small(words), alone, atol=1e-4)
    model = onnx.load(tmp_path / "x_int8.onnx")
    # It reads several at once; one that does not say that it reads them alike reads one at a time.
    assert [entry.key for entry in model.metadata_props].count("guards") == 1
    for entry in [entry for entry in model.metadata_props if entry.key in ("guards", "checksum", "checksum_method")]:
        model.metadata_props.remove(entry)
    onnx.save(model, tmp_path / "old.onnx")
    monkeypatch.setattr("src.deploy.onnx.network._TOGETHER", 4)
    for network, expected in ((small, [4, 2]), (OnnxNetwork(tmp_path / "old.onnx"), [1] * 6)):
        sizes = []
        network._run = lambda part, sizes=sizes: (sizes.append(len(part)), np.zeros((24, len(part), 37)))[1]
        network(words)
        assert sizes == expected


@pytest.mark.parametrize("file_format", ["MINDIR", "ONNX"])
def test_a_file_that_differs_is_not_kept(checkpoints, tmp_path, monkeypatch, file_format):
    """The loaded file answers 0.002 too high in one place; what stood there before stays."""
    old = tmp_path / f"x.{file_format.lower()}"
    old.write_text("old")

    def checkpoint(net, batch_size):
        return lambda batch: np.zeros((9, len(batch), 37), np.float32)

    def loaded(path):
        assert os.path.getsize(path) > 1e7

        def forward(batch):
            scores = np.zeros((9, len(batch), 37), np.float32)
            scores[3, 1, 7] = 0.002
            return scores

        return forward

    monkeypatch.setattr(exporter, "network_forward", checkpoint)
    monkeypatch.setattr(exporter, "load_mindir", loaded)
    monkeypatch.setattr(exporter, "OnnxNetwork", loaded)
    with pytest.raises(CRNNError, match=r"was not kept: its max abs difference to the checkpoint is 0\.002"):
        run(checkpoints["V2"], tmp_path / "x", f"--file_format={file_format}", "--export_batch_size=6",
            "--export_width=40")
    assert os.listdir(tmp_path) == [old.name] and old.read_text() == "old"


def test_what_each_kind_of_weights_allows():
    scores = np.random.default_rng(0).normal(0, 4, (24, 5, 37)).astype(np.float32)
    for gap, allowed in ((5e-4, ("float32", "float16", "int8")), (2e-3, ("float16", "int8")), (0.5, ("int8",)),
                         (3, ())):
        difference = measure([(scores, scores + np.float32(gap) * np.sign(scores))])
        assert difference.images == 5 and difference.largest == pytest.approx(gap, rel=1e-3)
        for weights in ("float32", "float16", "int8"):
            if weights in allowed:
                require_close(difference, weights, "x")
            else:
                with pytest.raises(CRNNError, match="x was not kept"):
                    require_close(difference, weights, "x")
    with pytest.raises(CRNNError, match="not finite"):
        measure([(scores, np.full_like(scores, np.nan))])
    with pytest.raises(CRNNError, match="shape"):
        measure([(scores, scores[:23])])


def test_probes_differ():
    batch = probe_batch(6, InputSpec(width=153))
    assert batch.shape == (6, 3, 32, 153) and np.abs(batch).max() <= 1
    assert batch.std(axis=(1, 2, 3)).min() > 0.1
    assert len({image.tobytes() for image in batch}) == 6


def test_the_last_calibration_batch_is_filled_up():
    pictures = [draw_word(word) for word in WORDS[:5]]
    batches = list(in_batches(pictures, InputSpec(), 3))
    assert [len(batch) for batch in batches] == [3, 3]
    np.testing.assert_array_equal(batches[1][2], batches[0][0])
    with pytest.raises(DataError, match="none of the 1 images"):
        read_images([str(REPO / "LICENSE")])


@pytest.mark.parametrize(("words", "part"), [
    (["--file_format=AIR"], "AIR needs an Ascend device, but device_target is CPU"),
    (["--file_format=PB"], "expected MINDIR, AIR, ONNX.*got 'PB'"), (["--file_format="], "file_format is empty"),
    (["--file_format=ONNX", "--quantize=int8"], "add --calibration_path=FOLDER"),
    (["--quantize=int8", "--calibration_path=x"], "add ONNX to file_format")])
def test_options_that_do_not_go_together(checkpoints, tmp_path, words, part):
    with pytest.raises(ConfigError, match=part):
        run(checkpoints["V2"], tmp_path / "x", *words)
    assert not os.listdir(tmp_path)


def test_onnx_needs_no_device(checkpoints, tmp_path, capsys):
    """The model zoo's own command line, on a machine without a GPU."""
    assert export.main(["--device_target", "GPU", "--ckpt_file", str(checkpoints["V2"]), "--file_name",
                        str(tmp_path / "crnn.onnx"), "--file_format", "ONNX", "--model_version", "V2"]) == 0
    assert "note: an ONNX file is made without a device; the GPU that was asked for" in capsys.readouterr().err
    assert (tmp_path / "crnn.onnx").is_file()


def test_air_where_auto_finds_no_ascend(checkpoints, tmp_path):
    with pytest.raises(ConfigError, match="AIR needs an Ascend device, but device_target is CPU"):
        export.main([f"--ckpt_file={checkpoints['V2']}", f"--file_name={tmp_path}/x", "--file_format=ONNX,AIR"])
    assert not os.listdir(tmp_path)


def test_calibration_without_images(checkpoints, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for path, part in ((folder, "holds no image"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(DataError, match=part):
            run(checkpoints["V2"], tmp_path / "x", "--file_format=ONNX", "--quantize=int8",
                f"--calibration_path={path}")


def test_formats_sizes_and_names():
    config = load_config(["--file_format=onnx,MINDIR ONNX", "--file_name=a/crnn.v2.onnx", "--image_width=120"])
    assert read_formats(config) == ["ONNX", "MINDIR"]
    assert str(sizes_for("ONNX", config)) == "batch any, width any"
    assert str(sizes_for("MINDIR", config)) == "batch 1, width 120"
    assert str(target_path(config, "MINDIR")) == "a/crnn.v2.mindir"
    assert str(target_path(config, "ONNX", "_int8")) == "a/crnn.v2_int8.onnx"
    config = load_config(["--export_batch_size=8", "--export_width=dynamic", "--file_name=.onnx"])
    assert [str(sizes_for(name, config)) for name in ("ONNX", "AIR")] == ["batch 8, width any"] * 2
    with pytest.raises(ConfigError, match="names no file"):
        target_path(config, "ONNX")
    assert str(sizes_for("MINDIR", load_config(["--keep_ratio"]))) == "batch 1, width any"
    with pytest.raises(ConfigError, match="export_width 4"):
        sizes_for("ONNX", load_config(["--export_width=4"]))


@pytest.mark.parametrize("file_format", ["MINDIR", "ONNX"])
def test_target_that_cannot_be_written(checkpoints, tmp_path, file_format):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as caught:
        run(checkpoints["V2"], tmp_path / "file" / "x", f"--file_format={file_format}")
    assert str(tmp_path / "file") in str(caught.value.filename)  # run_main makes a sentence of it
    (tmp_path / f"folder.{file_format.lower()}").mkdir()
    with pytest.raises(ConfigError, match="is a folder; choose another file_name"):
        run(checkpoints["V2"], tmp_path / "folder", f"--file_format={file_format}")


def test_checkpoints_that_cannot_be_used(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "QUICKSTART_CHECKPOINT", tmp_path / "none.ckpt")
    monkeypatch.setattr(trained, "PRETRAINED_CHECKPOINT", tmp_path / "none.ckpt")
    for words, part in (([], "add --ckpt_file=FILE"), ([f"--ckpt_file={tmp_path}"], "is a folder"),
                        ([f"--ckpt_file={checkpoints['V2']}", "--model_version=V1"], "trained with model_version 'V2'"),
                        ([f"--ckpt_file={checkpoints['V2']}", "--label_dict=abc"], "has 37 classes")):
        with pytest.raises(CheckpointError, match=part):
            export.main([*words, "--device_target=CPU", f"--file_name={tmp_path}/x"])


def test_program_ends_with_one_sentence(tmp_path):
    done = subprocess.run([sys.executable, str(REPO / "export.py"), "--file_format=AIR", "--device_target=CPU"],
                          cwd=tmp_path, text=True, capture_output=True, timeout=180)
    assert done.returncode == 2 and done.stderr.startswith("error: file_format AIR needs an Ascend device")
    assert done.stderr.count("\n") == 1


def test_weights_beyond_float16(tmp_path):
    from tests.onnx_models import network_weights

    weights = network_weights(hidden=HIDDEN)
    weights["rnn.0.rnn.weight_ih_l0"][5, 5] = 1e5
    np.savez(tmp_path / "x.npz", **weights)
    with pytest.raises(CheckpointError, match="beyond float16"):
        run(tmp_path / "x.npz", tmp_path / "x", "--file_format=ONNX", "--onnx_weights=float16")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "total"), [("iiit5k", 3000), ("svt", 647)])
def test_trained_weights_read_the_same_words(shared_data, pretrained, tmp_path, capsys, name, total):
    """All test words: eval.py, eval_onnx.py, and 8 bits calibrated on training words of IIIT5K."""
    import convert_iiit5k
    import convert_svt
    import eval as eval_mindspore
    import eval_onnx

    words, iiit5k, svt = tmp_path / name, shared_data / "iiit5k", shared_data / "svt1"
    if name == "svt":
        convert_svt.main(["-d", str(svt), "-x", str(svt / "test.xml"), "-o", str(words)])
    else:
        convert_iiit5k.main(["-m", str(iiit5k / "testCharBound.mat"), "-o", str(words), "-i", str(iiit5k)])
    # As the shipped file: 1,500 images spread over those of three training sets.
    for part, source in enumerate((iiit5k / "train", shared_data / "svt1_train_crops" / "crops",
                                   shared_data / "ic15_train" / "images")):
        shutil.copytree(source, tmp_path / "calibration" / str(part))
    export.main([f"--ckpt_file={pretrained}", f"--file_name={tmp_path}/x", "--file_format=ONNX", "--device_target=CPU",
                 "--quantize=int8", f"--calibration_path={tmp_path}/calibration", "--calibration_images=1500"])
    data = ["--device_target=CPU", f"--eval_dataset={name}", f"--eval_dataset_path={words}", "--show_progress=never"]
    right = {}
    for kind, main, source in (("ms", eval_mindspore.main, f"--checkpoint_path={pretrained}"),
                               ("fp32", eval_onnx.main, f"--onnx_file={tmp_path}/x.onnx"),
                               ("int8", eval_onnx.main, f"--onnx_file={tmp_path}/x_int8.onnx")):
        table = tmp_path / f"{kind}.tsv"
        capsys.readouterr()
        assert main([*data, source, f"--save_predictions={table}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2].endswith(f"total num: {total}")
        rows = [line.split("\t")[:3] for line in table.read_text("utf-8").splitlines()[1:]]
        right[kind] = {path for path, truth, text in rows if normalise(truth, ALPHANUMERIC) == text}
        assert len(rows) == total and lines[-2] == f"correct num: {len(right[kind])} , total num: {total}"
    print({kind: len(paths) for kind, paths in right.items()})
    assert len(right["ms"]) > 0.6 * total and right["fp32"] == right["ms"]
    assert len(right["int8"]) >= len(right["fp32"]) - 0.003 * total


@pytest.mark.parametrize("name", ["m/crnn", "m/crnn_int8", "m/crnn_int8.onnx"])
def test_only_the_file_with_integers_is_called_int8(name):
    config = load_config([f"--file_name={name}", "--quantize=int8"])
    assert [str(target_path(config, "ONNX", suffix)) for suffix in ("", "_int8")] == ["m/crnn.onnx", "m/crnn_int8.onnx"]
    assert str(target_path(load_config(["--file_name=crnn_int8"]), "ONNX")) == "crnn_int8.onnx"
