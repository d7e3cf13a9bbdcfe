"""Labels by a stronger reader: what is kept, what is counted, and how right they are where the words are known."""
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError, DataError
from src.data.list_source import ListSource
from tools import pseudo_label
from tools.pseudo_label import compared, label, main, slightly_changed


def drawn(seed=0):
    image = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 255, (30, 90)), (9, 9), 3)
    return cv2.cvtColor(np.clip(128 + image, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def reader(*answers):
    """Gives one answer after the other, and the images that it saw."""
    seen, given = [], iter(answers)

    def read(image):
        seen.append(image)
        return next(given)

    return read, seen


@pytest.mark.parametrize(("answers", "expected"), [
    ([("Top-up!", 0.99), ("top up", 0.98)], ("Top-up!", "")),
    ([("Sale", 0.99), ("Safe", 0.99)], ("", "another reading of the changed copy")),
    ([("Sale", 0.96)], ("", "unsure")),
    ([("Sale", 0.99), ("sale", 0.9)], ("", "unsure")),
    ([("--", 0.99)], ("", "no letter or digit")),
    ([("", 0.0)], ("", "no letter or digit")),
    ([("Café", 0.99)], ("", "other characters")),
])
def test_only_sure_and_stable_readings_are_labels(answers, expected):
    read, seen = reader(*answers)
    assert label(drawn(), read, 0.97) == expected
    assert len(seen) == len(answers) and (seen[0] == drawn()).all()


def test_the_changed_copy_is_another_image_of_the_same_word():
    image = drawn()
    changed = slightly_changed(image)
    assert changed.shape == (26, 76, 3)
    again = cv2.resize(changed, (90, 30)).astype(float)
    assert np.corrcoef(again.ravel(), image.ravel())[0, 1] > 0.9 and again.std() < 0.95 * image.std()
    assert slightly_changed(np.zeros((5, 9, 3), np.uint8)).shape == (5, 9, 3)
    assert compared("To-p 4!") == "top4"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 60, 3), 40 * number, np.uint8))
    (folder / "4.jpg").write_bytes(b"broken")
    (folder / "notes.txt").write_text("no image")
    return folder


def by_grey(image):
    """Reads '1shop' in the darker images and nothing in the others; the image tells by its grey."""
    return ("1-Shop", 0.995) if image.mean() < 60 else ("", 0.0)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(pseudo_label, "rapid_reader", lambda: (by_grey, "a reader"))


def test_a_folder_becomes_a_list(folder, tmp_path, fake, capsys):
    out = tmp_path / "out"
    assert main([str(folder), "-o", str(out)]) == 0
    source = ListSource(str(out), "train")
    assert [(source.reference(i), source.text(i)) for i in range(len(source))] == [("img/0.png", "1-Shop"),
                                                                                  ("img/1.png", "1-Shop")]
    assert source.read(1) == (folder / "1.png").read_bytes() and len(list((out / "img").iterdir())) == 2
    assert "2 of 5 images got a word (a reader, confidence 0.97); left out: 2 no letter or digit, 1 no image" \
        in capsys.readouterr().out
    with pytest.raises(DataError, match="already holds labels.tsv"):
        main([str(folder), "-o", str(out)])


def test_how_right_the_labels_are(folder, fake, capsys):
    (folder / "labels.tsv").write_text("0.png\t1shop\n1.png\tother\n2.png\t1shop\n")
    assert main(["--check", f"list:{folder}"]) == 0
    assert "2 of 3 words get a label, 1 of them the right one (50.0 %)" in capsys.readouterr().out


def test_messages(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(ConfigError, match="pip install rapidocr onnxruntime"):
        main([str(folder), "-o", str(tmp_path / "out")])
    for arguments in ([], [str(folder)], ["--check", f"list:{folder}", "-o", str(tmp_path / "out")]):
        with pytest.raises(SystemExit):
            main(arguments)
    with pytest.raises(DataError, match="is not a folder"):
        main([str(tmp_path / "none"), "-o", str(tmp_path / "out")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        main([str(tmp_path / "empty"), "-o", str(tmp_path / "out")])


def test_how_the_library_is_called(monkeypatch):
    """Recognition alone, and a crop without text is an empty reading (shape of the results: RapidOCR 3.10)."""
    calls = []

    class Engine:
        def __init__(self, params):
            assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 1

        def __call__(self, image, **flags):
            calls.append(flags)
            return SimpleNamespace(txts=("Shop",), scores=(0.5,)) if image.any() else \
                SimpleNamespace(txts=None, scores=None)

    module = ModuleType("rapidocr")
    module.RapidOCR = Engine
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.10.0")
    read, name = pseudo_label.rapid_reader()
    assert name == "RapidOCR 3.10.0" and read(np.ones((4, 4, 3), np.uint8)) == ("Shop", 0.5)
    assert read(np.zeros((4, 4, 3), np.uint8)) == ("", 0.0)
    assert calls[0] == {"use_det": False, "use_cls": False, "use_rec": True}
