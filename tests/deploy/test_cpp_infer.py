"""The C++ program on the CPU, with MindSpore Lite's runtime: the whole chain from image files to scores and texts."""
import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from src.common.charset import Charset
from src.data.preprocess import InputSpec, read_image, to_batch
from src.reading.greedy import GreedyDecoder
from tests import cpp
from tests.conftest import REPO
from tests.onnx_models import CHARACTERS, write_checkpoint

QUIET = {"GLOG_v": "3"}


@pytest.fixture(scope="module")
def lite():
    """The runtime; fetched from PyPI on first use."""
    cpp.require("bash")
    done = subprocess.run(["bash", "tools/fetch_lite.sh"], cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"MindSpore Lite cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def program(lite):
    return cpp.build(lite) / "crnn_infer"


class Models:
    """A network as this MindSpore runs it, and its files for Lite, by batch size (None: free)."""

    def __init__(self, folder, weights):
        import mindspore as ms

        from src.crnn import build_network
        from src.network.checkpoint import load_weights, read_checkpoint
        from src.network.forward import network_forward

        ms.set_context(mode=ms.GRAPH_MODE)
        self.folder, self.checkpoint = folder, weights
        checkpoint = read_checkpoint(str(weights))
        net = build_network(checkpoint.model_version, checkpoint.class_num, checkpoint.hidden_size)
        load_weights(net, checkpoint)
        self.temperature = checkpoint.info.get("temperature", 1.0)
        self.spec = InputSpec(width=int(checkpoint.info.get("image_width", 100)))
        self.forward = network_forward(net, 16)

    def file(self, batch):
        from src.deploy.mindir.lite_export import export_for_lite

        path = self.folder / f"batch_{batch}.mindir"
        return path if path.is_file() else export_for_lite(self.checkpoint, path, batch, self.spec.width)

    def logits(self, paths) -> np.ndarray:
        """(T, N, C), by this MindSpore."""
        batches = [self.forward(to_batch([read_image(path) for path in paths[first:first + 16]], self.spec))
                   for first in range(0, len(paths), 16)]
        return np.concatenate(batches, axis=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A network of the real size, its weights drawn from a seed."""
    folder = tmp_path_factory.mktemp("models")
    return Models(folder, write_checkpoint(folder / "V2.npz"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Images of mixed sizes and formats in nested folders, two pairs sharing a stem, and an annotation."""
    folder = tmp_path_factory.mktemp("data set")
    rng = np.random.default_rng(0)
    names = [f"{number}.{('png', 'jpg', 'bmp')[number % 3]}" for number in range(7)]
    names += ["sub/deeper/x.png", "sub/0.PNG", "x.png"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        height, width = rng.integers(8, 90), rng.integers(8, 300)
        image = cv2.resize(rng.integers(0, 256, (4, 9, 3), np.uint8), (int(width), int(height)))
        cv2.imwrite(str(folder / name), image)
    (folder / "annotation.txt").write_text("")
    return folder, sorted(names)


def run(program, model, data, output, *words, device="CPU", **environment):
    return cpp.run(program, f"--device_type={device}", f"--mindir_path={model}", "--dataset_path", data,
                   f"--output_path={output}", *words, env={**QUIET, **environment})


def results(output) -> dict[str, np.ndarray]:
    """Scores by image, as the index tells."""
    folder = output / "result_Files"
    lines = [line.split("\t") for line in (folder / "index.tsv").read_text().splitlines()]
    found = {str(path.relative_to(folder)) for path in folder.rglob("*_0.bin")}
    assert found == {name for _, name in lines}
    return {image: np.fromfile(folder / name, np.float32) for image, name in lines}


def compare(done, output, folder, names, models, share=0.0):
    """Scores within 1e-4 of this MindSpore's, and Python's readings of them.

    A share is allowed besides: of the score itself for all but one score in 20,000, of the image's largest for those.
    """
    assert done.returncode == 0, done.stderr.decode()
    expected = models.logits([folder / name for name in names])
    scores = results(output)
    assert list(scores) == names
    steps, _, classes = expected.shape
    outside = 0
    for number, name in enumerate(names):
        mine = scores[name].reshape(steps, classes)
        outside += np.sum(np.abs(mine - expected[:, number]) > 1e-4 + share * np.abs(expected[:, number]))
        largest = np.abs(expected[:, number]).max()
        np.testing.assert_allclose(mine, expected[:, number], rtol=0, atol=1e-4 + share * largest,
                                   err_msg=f"{name}, largest score {largest}")
    assert outside <= expected.size / 20_000
    readings = GreedyDecoder(Charset(CHARACTERS), models.temperature)(expected)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [line[0] for line in lines] == [str(folder / name) for name in names]
    assert [line[1] for line in lines] == [reading.text for reading in readings]
    np.testing.assert_allclose([float(line[2]) for line in lines], [r.confidence for r in readings], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("batch, words", [(1, ()), (4, ()), (None, ()), (None, ("--batch_size=3", "--threads", "1"))])
def test_scores_equal_mindspore(program, models, dataset, tmp_path, batch, words):
    folder, names = dataset
    done = run(program, models.file(batch), folder, tmp_path, *words)
    compare(done, tmp_path, folder, names, models)
    assert b"note: 1 files without the ending of an image" in done.stderr
    times = (tmp_path / "time_Result" / "test_perform_static.txt").read_text()
    calls = -(-len(names) // (batch or (3 if words else 1)))
    assert times.startswith("NN inference cost average time: ") and f" ms of infer_count {calls}\n" in times
    assert (tmp_path / "result_Files" / "1_0.bin").is_file(), "the name of the model zoo"
    assert (tmp_path / "result_Files" / "sub" / "0.PNG_0.bin").is_file(), "0.png has the same stem"


# What becomes of every ninth real image: all formats and kinds of pixels that the program reads.
KINDS = (None, ("png", "RGB", {}), ("bmp", "RGB", {}), ("jpg", "L", {"quality": 80}), ("png", "RGBA", {}),
         ("png", "L", {}), ("png", "P", {}), ("jpg", "RGB", {"progressive": True, "quality": 60}), ("bmp", "P", {}))


@pytest.fixture(scope="module")
def real_images(shared_data, tmp_path_factory):
    """200 word images of IIIT5K, ICDAR 2015 and SVT's training crops in mixed formats."""
    folder = tmp_path_factory.mktemp("real")
    sources = [path for pattern, step, count in (("iiit5k/test/*.png", 30, 90), ("ic15_train/images/*.jpg", 30, 90),
                                                 ("svt1_train_crops/crops/*", 10, 20))
               for path in sorted(shared_data.glob(pattern))[::step][:count]]
    for number, path in enumerate(sources):
        kind = KINDS[number % len(KINDS)]
        if kind is None:
            shutil.copy(path, folder / f"{number}{path.suffix}")
        else:
            ending, mode, options = kind
            with Image.open(path) as image:
                image = image.convert("RGB")
                if mode == "RGBA":
                    image.putalpha(image.convert("L"))
                image.convert(mode).save(folder / f"{number}.{ending}", **options)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 200 and len({read_image(folder / name).shape for name in names}) > 150
    return folder, names


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("trained", [False, True])
def test_200_real_images(program, models, real_images, pretrained, tmp_path, trained, batch):
    """With drawn weights, and with trained ones: those make scores of some tens, where float32 itself is coarser.

    Beside a float64 reference MindSpore's scores of these images are up to 1.7e-4 off, so the tolerance is Lite's.
    """
    folder, names = real_images
    models = Models(tmp_path, pretrained) if trained else models
    done = run(program, models.file(batch), folder, tmp_path)
    compare(done, tmp_path, folder, names, models, share=1e-4 if trained else 0.0)


@pytest.mark.slow
def test_svt_accuracy_equals_eval(lite, shared_data, pretrained, tmp_path):
    """All 647 words, through run_infer_310.sh and through eval.py: the same words are right, not only as many."""
    import convert_svt

    svt = tmp_path / "svt"
    assert convert_svt.main(["-d", str(shared_data / "svt1"), "-x", str(shared_data / "svt1" / "test.xml"),
                             "-o", str(svt)]) == 0
    table = tmp_path / "eval.tsv"
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run([sys.executable, "eval.py", f"--checkpoint_path={pretrained}", "--device_target=CPU",
                           "--eval_dataset=svt", f"--eval_dataset_path={svt}", f"--save_predictions={table}",
                           "--show_progress=never", "--long_width=0"],  # the C++ program has one width
                          cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = next(line for line in done.stdout.splitlines() if line.startswith("correct num: "))
    assert expected.endswith("total num: 647")
    model = Models(tmp_path, pretrained).file(1)
    annotation = next(path for path in sorted(svt.rglob("*")) if path.name == "annotation.txt")
    done = script("run_infer_310.sh", model, svt, annotation, "svt", DEVICE_TYPE="CPU")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (REPO / "output" / "infer" / "acc.log").read_text().splitlines()
    assert lines[-2] == expected and lines[-1].startswith("result CRNNAccuracy is: 0.")
    mine = dict(line.split("\t")[:2] for line in
                (REPO / "output" / "infer" / "readings.tsv").read_text("utf-8").splitlines())
    theirs = dict(line.split("\t")[::2][:2] for line in table.read_text("utf-8").splitlines()[1:])
    assert {os.path.basename(path): text for path, text in mine.items()} == {
        os.path.basename(path): text for path, text in theirs.items()}


@pytest.mark.slow
def test_broken_images_are_named_and_the_rest_is_read(program, models, dataset, tmp_path):
    folder = shutil.copytree(dataset[0], tmp_path / "data")
    data = (folder / "1.jpg").read_bytes()
    (folder / "2.bmp").write_bytes(b"")
    (folder / "sub" / "cut.jpg").write_bytes(data[:len(data) // 2])
    (folder / "anim.gif").write_bytes(b"GIF89a" + data)
    good = [name for name in dataset[1] if name != "2.bmp"]
    done = run(program, models.file(4), folder, tmp_path)
    assert done.returncode == 1
    errors = done.stderr.decode().splitlines()
    for name in ("2.bmp", "anim.gif", "sub/cut.jpg"):
        assert any(line.startswith(f"error: {folder}/{name}: ") for line in errors)
        assert f"  {name}" in errors
    assert f"3 of {len(good) + 3} images could not be read:" in errors
    done.returncode = 0
    compare(done, tmp_path, folder, good, models)


@pytest.mark.slow
def test_an_earlier_run_is_replaced_and_nothing_else(program, models, dataset, tmp_path):
    run(program, models.file(1), dataset[0], tmp_path)
    (tmp_path / "result_Files" / "notes.txt").write_text("mine")
    (tmp_path / "outside_0.bin").write_text("mine")
    with (tmp_path / "result_Files" / "index.tsv").open("a") as index:
        index.write("a.png\t../outside_0.bin\nb.png\tmissing_0.bin\n\nno tab\n")
    done = run(program, models.file(1), dataset[0] / "x.png", tmp_path)
    assert done.returncode == 0 and list(results(tmp_path)) == ["x.png"]
    assert (tmp_path / "result_Files" / "notes.txt").exists() and (tmp_path / "outside_0.bin").exists()


@pytest.mark.slow
def test_broken_models_are_an_error(program, models, dataset, tmp_path):
    data = bytearray(models.file(1).read_bytes())
    rng = np.random.default_rng(0)
    scattered = bytearray(data)
    for place in rng.integers(0, len(data), 5000):
        scattered[place] = place % 256
    for content in (b"", b"no model", rng.bytes(9000), data[:300], data[:len(data) // 2], data[:-1], scattered):
        (tmp_path / "bad.mindir").write_bytes(content)
        done = run(program, tmp_path / "bad.mindir", dataset[0], tmp_path / "out")
        error = done.stderr.decode(errors="replace")
        assert done.returncode == 2 and f"error: the runtime cannot build the model {tmp_path}/bad.mindir" in error
        assert not done.stdout and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_models_that_do_not_fit_are_an_error(program, models, dataset, tmp_path):
    folder = dataset[0]
    model = shutil.copy(models.file(1), tmp_path / "m.mindir")
    facts = json.loads((models.folder / "batch_1.mindir.json").read_text())
    # Without its checksums, which would tell of the changes first.
    facts = json.dumps({name: value for name, value in facts.items() if not name.startswith("checksum")}, indent=2)
    for text, message in (
        (facts.replace('"image_width": 100', '"image_width": 160'), "not (1, 3, 32, 160) as its JSON file says"),
        (facts.replace(CHARACTERS, "abc").replace("37", "4").replace('k": 36', 'k": 3'), "scores of 37 classes, but"),
        ("{}", "does not tell the label_dict"),
    ):
        (tmp_path / "m.mindir.json").write_text(text)
        done = run(program, model, folder, tmp_path)
        assert done.returncode == 2 and message in done.stderr.decode(), done.stderr
    (tmp_path / "m.mindir.json").write_text(facts)
    done = run(program, model, folder, tmp_path, "--batch_size=2")
    assert done.returncode == 2 and b"not batch_size 2; leave --batch_size out" in done.stderr
    (tmp_path / "m.mindir.json").unlink()
    done = run(program, model, folder, tmp_path)
    assert done.returncode == 0 and b"m.mindir.json is missing; taking the characters a to z" in done.stderr


@pytest.mark.slow
def test_wrong_command_lines(program, dataset, tmp_path):
    good = ("--mindir_path", tmp_path, "--dataset_path", dataset[0], "--device_type=CPU")
    for words, message in (
        ((), "--mindir_path is missing"), (("--mindir_path=x",), "--dataset_path is missing"),
        (("x",), "cannot read 'x'"),
        (("--nothing=1",), "there is no option --nothing"), (("--mindir_path",), "--mindir_path needs a value"),
        ((*good, "--device_id=-1"), "--device_id is '-1'"), ((*good, "--threads=0"), "--threads is '0'"),
        ((*good, "--batch_size=two"), "--batch_size is 'two'"), (good, f"mindir_path {tmp_path} is not a file"),
        ((*good[:2], "--dataset_path=/nowhere"), "dataset_path /nowhere does not exist"),
        ((*good[:2], "--dataset_path", tmp_path), "holds no image"),
        (("--mindir_path", __file__, *good[2:4], "--device_type", "TPU"), "device_type 'TPU' is not known"),
    ):
        done = cpp.run(program, *words, env=QUIET)
        assert done.returncode == 2 and not done.stdout, words
        assert done.stderr.decode().startswith("error: ") and message in done.stderr.decode(), done.stderr
    done = cpp.run(program, "--help", env=QUIET)
    assert done.returncode == 0 and b"Usage: crnn_infer" in done.stdout


def damaged_graphs(data: bytes, count: int):
    """Yields copies with some bytes changed outside the weights: names, shapes, settings, lengths."""
    from mindspore.train import mind_ir_pb2 as pb

    model = pb.ModelProto()
    model.ParseFromString(data)
    outside = np.ones(len(data), bool)
    for parameter in model.graph.parameter:
        start = data.find(parameter.raw_data)
        outside[start:start + len(parameter.raw_data)] = False
    places = np.flatnonzero(outside)
    rng = np.random.default_rng(0)
    for number in range(count):
        copy = bytearray(data)
        for place in rng.choice(places, 1 + number):
            copy[place] = rng.choice((0, 1, 127, 255))
        yield bytes(copy)


@pytest.mark.slow
def test_sanitizers_find_nothing(lite, models, dataset, tmp_path):
    """The program itself; see test_cpp_parts.py for the rest. The runtime leaks, so leaks are not counted."""
    program = cpp.build("--sanitize", lite) / "crnn_infer"
    options = "detect_leaks=0:allocator_may_return_null=1"
    done = run(program, models.file(4), dataset[0], tmp_path, ASAN_OPTIONS=options)
    compare(done, tmp_path, *dataset, models)
    for content in (b"", np.random.default_rng(1).bytes(9000), models.file(1).read_bytes()[:100000]):
        (tmp_path / "bad.mindir").write_bytes(content)
        assert run(program, tmp_path / "bad.mindir", dataset[0], tmp_path, ASAN_OPTIONS=options).returncode == 2
    codes = set()
    for content in damaged_graphs(models.file(1).read_bytes(), 8):
        (tmp_path / "bad.mindir").write_bytes(content)
        done = run(program, tmp_path / "bad.mindir", dataset[0] / "x.png", tmp_path, ASAN_OPTIONS=options)
        assert done.returncode in (0, 2) and bool(done.stdout) == (done.returncode == 0), done.stderr
        codes.add(done.returncode)
    assert 2 in codes


def script(name, *words, **environment):
    environment = {**os.environ, **environment}
    return subprocess.run(["bash", f"scripts/{name}", *map(str, words)], cwd=REPO, capture_output=True, text=True,
                          env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run_infer_310.sh", "run_infer_cpp.sh"])
def test_the_scripts_build_run_and_score(lite, models, dataset, name):
    folder, names = dataset
    names = [name for name in names if name not in ("sub/0.PNG", "x.png")]  # each stem once
    readings = GreedyDecoder(Charset(CHARACTERS))(models.logits([folder / name for name in names]))
    wrong = {names[1], names[4]}
    lines = [f"{name},{'wrong' if name in wrong else reading.text}\n"
             for name, reading in zip(names, readings, strict=True)]
    (folder / "annotation.txt").write_text("".join(lines))
    words = [models.file(1), folder, folder / "annotation.txt", "iiit5k", *(["CPU"] if "cpp" in name else [])]
    done = script(name, *words, DEVICE_TYPE="CPU")
    assert done.returncode == 1, "0.png and sub/deeper/x.png have no result under the name of the model zoo"
    (folder / "annotation.txt").write_text("".join(line for line in lines if not line.startswith(("0.", "sub/"))))
    done = script(name, *words, DEVICE_TYPE="CPU")
    assert done.returncode == 0, done.stderr[-3000:]
    score = (REPO / "output" / "infer" / "acc.log").read_text()
    assert f"correct num: {6 - 2} , total num: 6" in score and "result CRNNAccuracy is: 0.66" in score
    assert len((REPO / "output" / "infer" / "readings.tsv").read_text().splitlines()) == len(dataset[1])


@pytest.mark.slow
def test_links_with_the_ascend_runtime(models, dataset, tmp_path):
    """Built with MindSpore 1.10 for Ascend; it cannot start here, which must be loud."""
    cpp.require("bash", "readelf")
    done = subprocess.run(["bash", "tools/fetch_lite.sh", "--ascend"], cwd=REPO, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mindspore-ascend cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    ascend = done.stdout.splitlines()[-1]
    environment = {"BUILD_DIR": str(tmp_path / "build"), "MINDSPORE_PATH": ascend}
    program = cpp.build(**environment) / "crnn_infer"
    libraries = subprocess.run(["readelf", "-d", program], capture_output=True, text=True).stdout
    assert "[libmindspore.so]" in libraries and "extendrt" not in libraries
    words = (models.file(1), dataset[0], dataset[0] / "annotation.txt", "iiit5k")
    done = script("run_infer_310.sh", *words, **environment)
    assert done.returncode == 2 and "the program failed with exit code 127" in done.stderr, done.stderr


def test_scripts_refuse_wrong_arguments(tmp_path):
    cpp.require("bash")
    (tmp_path / "m.mindir").write_text("")
    model = tmp_path / "m.mindir"
    for words, message in (((), "Usage"), ((model, tmp_path, model), "Usage"),
                           ((tmp_path / "x", tmp_path, model, "svt"), "is not a file"),
                           ((model, model, model, "svt"), "DATA_PATH .* is not a folder"),
                           ((model, tmp_path, tmp_path, "svt"), "ANN_FILE_PATH .* is not a file"),
                           ((model, tmp_path, model, "svt", "x"), "DEVICE_ID x is not a whole number"),
                           ((model, tmp_path, model, "svt", "0", "-x"), "cannot read the option -x")):
        done = script("run_infer_310.sh", *words)
        assert done.returncode == 2, words
        assert re.search(message, done.stderr), done.stderr
    done = script("run_infer_cpp.sh", model, tmp_path, model, "svt", "TPU")
    assert done.returncode == 2 and "DEVICE_TYPE TPU is not known" in done.stderr
    assert "Usage" in script("run_infer_cpp.sh", model, tmp_path, model, "svt").stderr
