"""Words on whole photographs: the cuts, the order, what is printed and drawn. The detector is a stand-in but once."""
import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import predict
from src.common.errors import ConfigError
from src.photographs.draw import draw_words
from src.photographs.split import word_columns
from src.photographs.words import cut_words, reading_order

WHITE = 255


def line(text, size=40):
    """A line of text, dark on white, and the columns of its letters."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left + 8, bottom - top + 8), WHITE)
    ImageDraw.Draw(image).text((4 - left, 4 - top), text, fill=30, font=font)
    return cv2.cvtColor(np.array(image), cv2.COLOR_GRAY2BGR)


def rectangle(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def photograph(texts=("bridge", "harbour  market"), angle=0.0):
    """A grey picture with lines below each other, and their corners, turned by an angle in degrees."""
    picture, lines, top = np.full((300, 500, 3), 255, np.uint8), [], 60
    for text in texts:
        image = line(text)
        height, width = image.shape[:2]
        picture[top:top + height, 90:90 + width] = image
        lines.append(rectangle(90, top, 90 + width, top + height))
        top += height + 40
    turn = cv2.getRotationMatrix2D((250, 150), angle, 1.0)
    turned = cv2.warpAffine(picture, turn, (500, 300), borderValue=(255, 255, 255))
    return turned, [corners @ turn[:, :2].T.astype(np.float32) + turn[:, 2].astype(np.float32) for corners in lines]


@pytest.mark.parametrize("text", ["harbour", "illness", "MINIMUM", "a", "2026"])
def test_a_word_stays_whole(text):
    image = line(text)
    assert word_columns(image) == [(0, image.shape[1])]
    assert word_columns(255 - image) == [(0, image.shape[1])]


@pytest.mark.parametrize("text", ["harbour  market", "OPEN  DAILY"])
def test_a_line_is_cut_in_its_gap(text):
    image = line(text)
    ink = np.flatnonzero(image[:, :, 0].min(0) < 128)
    wide = np.argmax(np.diff(ink))  # the widest gap, counted from the pixels
    (begin, cut), (again, end) = word_columns(image)
    assert (begin, again, end) == (0, cut, image.shape[1]) and ink[wide] < cut < ink[wide + 1]
    assert word_columns(image[:, :, 0]) == word_columns(image)


@pytest.mark.parametrize("angle", [0.0, 12.0, -20.0])
def test_crops_are_upright(angle):
    picture, lines = photograph(("bridge",), angle)
    (word,) = cut_words(picture, lines)
    straight = line("bridge")
    assert word.image.shape == straight.shape
    assert np.corrcoef(word.image.ravel(), straight.ravel())[0, 1] > 0.9
    np.testing.assert_allclose(word.corners, lines[0], atol=1)


def test_parts_of_a_line_have_their_own_corners():
    picture, lines = photograph(("harbour  market",))
    left, right = cut_words(picture, lines)
    assert left.bounds[0] == 90 and right.bounds[2] == lines[0][1, 0]
    assert left.bounds[2] == pytest.approx(right.bounds[0])
    assert left.image.shape[1] + right.image.shape[1] == lines[0][1, 0] - 90


def test_a_line_on_its_side_is_turned_and_a_speck_left_out():
    picture, lines = photograph(("bridge",))
    left, top, right, bottom = *lines[0][0], *lines[0][2]
    turned = np.ascontiguousarray(cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE))
    corners = rectangle(299 - bottom, left, 299 - top, right)  # pixels of the turned picture
    (word,) = cut_words(turned, [corners, rectangle(0, 0, 2, 2)])
    assert np.corrcoef(word.image.ravel(), line("bridge").ravel())[0, 1] > 0.9


def test_reading_order():
    boxes = [rectangle(200, 12, 260, 40), rectangle(10, 100, 60, 130), rectangle(10, 10, 90, 42),
             rectangle(100, 95, 160, 131), rectangle(100, 14, 180, 44)]
    assert reading_order(boxes) == [2, 4, 0, 1, 3] and reading_order([]) == []


def test_the_picture_shows_boxes_and_leaves_the_photograph():
    picture, lines = photograph()
    before = picture.copy()
    drawn = draw_words(picture, [(lines[0], "Zürich")])
    np.testing.assert_array_equal(picture, before)
    changed = np.flatnonzero((drawn != picture).any(axis=(1, 2)))
    assert drawn.shape == picture.shape and 20 < changed.min() < 60 and changed.max() < lines[1][0, 1]


class StandIn:
    """Finds the lines of the drawn photograph, the lower first."""

    def find(self, image):
        return np.stack(photograph()[1][::-1]) if image.std() else np.zeros((0, 4, 2), np.float32)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr("src.prediction.photographs.TextDetector", StandIn)


def test_words_are_printed_with_their_boxes(stand_in, tmp_path, capsys):
    path = tmp_path / "street.png"
    cv2.imwrite(str(path), photograph()[0])
    assert predict.main(["--find_words", str(path), f"--picture={tmp_path / 'out.png'}"]) == 0
    out, err = capsys.readouterr()
    rows = [row.split("\t") for row in out.splitlines()]
    assert [row[:2] for row in rows] == [[str(path), text] for text in ("bridge", "harbour", "market")]
    assert rows[0][3].split()[0] == "90,60" and f"picture: {tmp_path / 'out.png'}" in err
    assert cv2.imread(str(tmp_path / "out.png")).shape == (300, 500, 3)
    assert predict.main(["--find_words", str(path), "--output=jsonl"]) == 0
    entries = [json.loads(row) for row in capsys.readouterr()[0].splitlines()]
    assert entries[0]["box"][0] == [90, 60] and [entry["text"] for entry in entries] == ["bridge", "harbour", "market"]


def test_faults_of_one_photograph_leave_the_others(stand_in, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "b.png"), np.full((90, 90, 3), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "c.png"), photograph()[0])
    code = predict.main(["--find_words", str(tmp_path), f"--picture={tmp_path / 'out.jpg'}", "--output=csv"])
    out, err = capsys.readouterr()
    assert code == 1 and out.splitlines()[0] == "path,text,confidence,box,unsure" and len(out.splitlines()) == 4
    assert f"note: no words found on {tmp_path / 'b.png'}" in err and "1 of 3 images could not be read" in err
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out_2.jpg", "out_3.jpg"]


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    cv2.imwrite(str(tmp_path / "c.png"), photograph()[0])
    with pytest.raises(ConfigError, match="find_words needs the package rapidocr: `pip install -r requirements-photos"):
        predict.main(["--find_words", str(tmp_path / "c.png")])


def test_the_detector_finds_drawn_words(tmp_path, capsys):
    pytest.importorskip("rapidocr", reason="needs `pip install -r requirements-photos.txt`")
    cv2.imwrite(str(tmp_path / "c.png"), photograph()[0])
    assert predict.main(["--find_words", str(tmp_path / "c.png")]) == 0
    texts = [row.split("\t")[1] for row in capsys.readouterr()[0].splitlines()]
    assert texts[0] == "bridge" and "".join(texts[1:]) == "harbourmarket"
