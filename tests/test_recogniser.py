"""The class people import: every form of an image, one or many, the same reading as the programs give."""
import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import eval_onnx
import predict
from src.common.errors import CheckpointError, ConfigError, DataError
from src.recogniser import PRETRAINED_ONNX, Recogniser, to_array
from tests.words import WORDS, draw_word

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser()


@pytest.fixture(scope="module")
def folder(drawn_words):
    return drawn_words(12)


def test_every_form_of_an_image_reads_the_same(recogniser, folder):
    path = folder / "03.png"
    array = cv2.imread(str(path))
    forms = [path, str(path), path.read_bytes(), array, Image.open(path), Image.open(io.BytesIO(path.read_bytes()))]
    alone = [recogniser.read(form) for form in forms]
    assert {result.text for result in alone} == {alone[0].text} and alone[0].text
    assert {result.confidence for result in alone} == {alone[0].confidence}
    assert recogniser.read(forms) == alone and recogniser.read(iter(forms)) == alone
    assert recogniser.read([]) == []
    with open(path, "rb") as file, io.BytesIO(path.read_bytes()) as pipe:
        assert recogniser.read(file) == recogniser.read(pipe) == alone[0]


@pytest.mark.parametrize(("images", "said"), [
    (None, "got NoneType; cv2.imread returns None"), (5, "got int"), ("", "''"),
    (io.StringIO("text"), "open as text"),
    ([np.zeros((32, 90), np.uint8), np.zeros((32, 90))], "image 1, counted from 0: "),
    ([b"no image"], "image 0, counted from 0: "), (["/no/such.png"], "^/no/such.png"), (io.BytesIO(b""), "image")])
def test_what_cannot_be_read_is_named(recogniser, images, said):
    with pytest.raises(DataError, match=said):
        recogniser.read(images)


@pytest.mark.parametrize(("given", "said"), [
    ({"lexicon": [None]}, "None, which is no str"), ({"lexicon": b"words"}, "got bytes"), ({"lexicon": 5}, "got int"),
    ({"model": 5}, "got int"), ({"model": b"a.onnx"}, "got bytes"),
    ({"lexicon": ["walk"], "decoder": "greedy"}, "decoder='greedy'"),
    ({"lexicon": ["walk"], "decoder": "beam", "language_model": "x.lm"}, "language_model='x.lm'"),
    ({"language_model": str(REPO)}, "is a folder"), ({"lexicon": REPO}, "is a folder"),
    ({"decoder": "beam", "beam_width": 1001}, "beam_width")])
def test_options_that_cannot_be_used(given, said):
    with pytest.raises(ConfigError, match=said):
        assert Recogniser(**given).decoding


def test_the_ending_of_a_network_may_be_in_capitals(folder, tmp_path):
    copy = tmp_path / "COPY.ONNX"
    copy.write_bytes(PRETRAINED_ONNX.read_bytes())
    assert Recogniser(copy).read(folder / "03.png") == Recogniser().read(folder / "03.png")


@pytest.mark.parametrize("count", [-1, 2.5, "a"])
def test_how_many_other_readings(recogniser, folder, count):
    result = recogniser.read(folder / "03.png")
    with pytest.raises(ValueError, match="whole number"):
        result.next_best(count)
    assert result.next_best(0) == [] and len(result.next_best(2)) == 2


def test_forms_of_pixels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (to_array(grey) == grey[..., None]).all() and to_array(grey).shape == (3, 4, 3)
    assert (to_array(Image.fromarray(grey)) == grey[..., None]).all()
    colours = np.random.default_rng(1).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    assert (to_array(Image.fromarray(colours)) == colours[..., ::-1]).all()  # PIL has red first
    see_through = np.dstack([colours, np.full((3, 4), 128, np.uint8)])
    done, data = cv2.imencode(".png", see_through)
    assert done and (to_array(see_through) == to_array(data.tobytes())).all()
    assert (to_array(Image.fromarray(see_through[..., [2, 1, 0, 3]])) == to_array(see_through)).all()


@pytest.mark.parametrize(("image", "part"), [
    (np.zeros((3, 4), np.float32), "float32"), (np.zeros((3, 4, 2), np.uint8), "shape"), (7, "int"),
    (np.zeros((0, 4), np.uint8), "shape"), (b"no image", "not a readable image"), ("nowhere.png", "nowhere.png"),
    (Image.new("I;16", (4, 3)), "8 bits")])
def test_what_is_no_image(image, part):
    with pytest.raises(DataError, match=part):
        to_array(image)


def test_a_reading_does_not_depend_on_its_neighbours(recogniser, folder):
    """Bit for bit: every number of an image in 8 bits has a fixed scale."""
    paths = sorted(folder.iterdir())
    together = recogniser.read(paths)
    for path, result in zip(paths, together, strict=True):
        alone = recogniser.read(path)
        assert (alone.text, alone.confidence) == (result.text, result.confidence)
        assert np.array_equal(alone._logits, result._logits)


@pytest.mark.parametrize("lexicon", [False, True])
def test_programs_read_the_same(recogniser, folder, tmp_path, capsys, lexicon):
    """predict.py and eval_onnx.py, in batches of another size."""
    (tmp_path / "words").write_text("\n".join(WORDS))
    (folder / "annotation.txt").write_text("".join(f"{n:02d}.png,{WORDS[n]}\n" for n in range(12)))
    words = [f"--lexicon={tmp_path / 'words'}"] if lexicon else ["--decoder=greedy"]
    reader = Recogniser(lexicon=tmp_path / "words") if lexicon else Recogniser(decoder="greedy")
    expected = [(str(p), r.text, f"{r.confidence:.4f}") for p in sorted(folder.glob("*.png")) for r in [reader.read(p)]]
    capsys.readouterr()
    assert predict.main([*words, "--batch_size=5", str(folder)]) == 0
    assert [tuple(line.split("\t")[:3]) for line in capsys.readouterr().out.splitlines()] == expected
    table = tmp_path / "x.tsv"
    eval_onnx.main([*words, f"--onnx_file={PRETRAINED_ONNX}", "--batch_size=7", "--eval_dataset=list",
                    f"--eval_dataset_path={folder}", f"--save_predictions={table}", "--device_target=CPU"])
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    assert [(str(folder / path), text, f"{float(p):.4f}") for path, _, text, p in rows] == expected


def test_lexicon_of_words_and_beam(recogniser, folder):
    words = [WORDS[n] for n in range(12)]
    results = Recogniser(lexicon=words).read(sorted(folder.glob("*.png")))
    assert {result.text for result in results} <= set(words)
    beam = Recogniser(decoder="beam", beam_width=3)
    assert beam.decoding.description.startswith("beam decoder, 3 prefixes")
    assert sum(a.text == b.text for a, b in zip(beam.read(sorted(folder.glob("*.png"))),
                                                recogniser.read(sorted(folder.glob("*.png"))), strict=True)) >= 10
    others = Recogniser(lexicon=words).read(folder / "03.png").next_best(3)
    assert all(other.text in words for other in others)


def test_places_of_characters():
    """A word drawn on the right third of a wide image stands there, in pixels of that image."""
    word = draw_word("hat", 1)
    image = np.full((word.shape[0], 3 * word.shape[1], 3), word[0, 0], np.uint8)
    image[:, -word.shape[1]:] = word
    recogniser = Recogniser(decoder="greedy")
    result = recogniser.read(image)
    assert result.text and "".join(c.text for c in result.characters) == result.text
    edges = [edge for character in result.characters for edge in character.columns]
    assert edges[0] >= 0.6 * image.shape[1] and max(edges) <= image.shape[1]
    starts = [character.columns[0] for character in result.characters]
    assert starts == sorted(starts)
    large = cv2.resize(image, None, fx=2, fy=2)
    again = recogniser.read(large)
    if again.text == result.text:
        np.testing.assert_allclose([c.columns for c in again.characters],
                                   2 * np.array([c.columns for c in result.characters]), atol=0.1 * image.shape[1])


def test_checkpoint_reads_through_mindspore(folder):
    paths = sorted(folder.glob("*.png"))
    results = Recogniser(REPO / "pretrained" / "crnn_v2.ckpt", device_target="CPU").read(paths)
    onnx = Recogniser(REPO / "pretrained" / "crnn_v2_fp16.onnx").read(paths)
    assert [r.text for r in results] == [r.text for r in onnx]
    np.testing.assert_allclose([r.confidence for r in results], [r.confidence for r in onnx], atol=2e-3)


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        Recogniser(tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match="both checkpoint_path and onnx_file"):
        Recogniser("x.onnx", checkpoint_path="y.ckpt")
    with pytest.raises(CheckpointError, match="exported with model_version 'V2', but the call says 'V1'"):
        Recogniser(model_version="V1")
    assert Recogniser(temperature=1).temperature == 1 != Recogniser().temperature
    with pytest.raises(AttributeError, match="beam_width"):
        Recogniser(beam_widht=3)


def test_reading_an_onnx_file_stays_light(folder):
    """What makes the start slow must not come back: MindSpore, scipy, the onnx package, PIL."""
    code = ("import sys; from src.recogniser import Recogniser\n"
            f"Recogniser().read({str(folder / '00.png')!r})\n"
            "heavy = {'mindspore', 'scipy', 'onnx', 'PIL', 'lmdb', 'rapidfuzz', 'src.dataset'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr
