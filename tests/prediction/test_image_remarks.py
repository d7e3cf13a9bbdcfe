"""What predict.py says of images that its rules may surprise somebody with, and words that stand on end."""
import cv2
import numpy as np
import pytest
from PIL import Image

import predict
from src.prediction.image_remarks import orientation_of, remarks
from src.recogniser import Recogniser, Result
from tests.words import draw_word


def result(text="word", confidence=0.9, unsure=False):
    return Result(text, confidence, unsure, 0, None, 1.0, 10, None)


def noise(height, width):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_one_colour():
    (said,) = remarks(b"", np.full((20, 60, 3), 7, np.uint8), result("a", 0.2, True), False)
    assert said.startswith("has one colour all over") and remarks(b"", noise(20, 60), result(), False) == []
    nearly = np.full((20, 60, 3), 7, np.uint8)
    for place in ((0, 59, 2), (19, 0, 0)):
        other = nearly.copy()
        other[place] = 8
        assert remarks(b"", other, result(), False) == []


@pytest.mark.parametrize(("size", "read", "rotated", "said"), [
    ((60, 20), result("abc"), False, True),
    ((60, 20), result("abc"), True, False),
    ((60, 20), result("i"), False, False),  # a single character is often so
    ((60, 20), result("i", unsure=True), False, True),
    ((30, 20), result("abc"), False, False),
])
def test_much_higher_than_wide(size, read, rotated, said):
    found = remarks(b"", noise(*size), read, rotated)
    assert any("--rotate_tall" in line for line in found) == said


def test_like_a_photograph():
    (said,) = remarks(b"", noise(400, 600), result(confidence=0.2), False)
    assert "is 600 x 400 pixels" in said and "--find_words" in said
    assert remarks(b"", noise(400, 600), result(confidence=0.8), False) == []


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_orientation_tag(tmp_path, ending):
    image = Image.fromarray(noise(20, 60))
    tags = image.getexif()
    tags[0x0112] = 6
    image.save(tmp_path / f"tagged.{ending}", exif=tags)
    image.save(tmp_path / f"plain.{ending}")
    data = (tmp_path / f"tagged.{ending}").read_bytes()
    assert orientation_of(data) == 6 and orientation_of((tmp_path / f"plain.{ending}").read_bytes()) == 1
    assert "orientation tag (6), which is ignored" in remarks(data, noise(20, 60), result(), False)[0]


def test_predict_says_it(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "one.png"), np.full((30, 90, 3), 200, np.uint8))
    assert predict.main([str(tmp_path)]) == 0
    assert "one.png has one colour all over" in capsys.readouterr().err


def test_words_on_end_are_read():
    words = ["street", "hotel", "coffee"]
    upright = [draw_word(word) for word in words]
    turned = [np.ascontiguousarray(np.rot90(image, turns)) for image, turns in zip(upright, (1, 3, 1), strict=True)]
    plain, both = Recogniser(), Recogniser(rotate_tall=True)
    assert [found.text for found in plain.read(upright)] == words
    assert [found.text for found in both.read(upright)] == words
    assert not any(found.text in words for found in plain.read(turned))
    found = both.read(turned)
    assert [one.text for one in found] == words and [one.turned for one in found] == [270, 90, 270]
