"""Captions of pictures: letters that OpenCV's font lacks come from the font packages."""
import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from src.common.captions import font_file, write_caption
from src.common.picture import draw_sheet
from src.demo.alignment import draw_alignment
from src.photographs.draw import draw_words
from src.recogniser import Character
from src.render.sheet import contact_sheet

BLUE = (200, 40, 20)


def caption(text, room=300, scale=1.0):
    picture = np.full((60, 300, 3), 255, np.uint8)
    write_caption(picture, text, (5, 40), scale, BLUE, room)
    return picture


def test_ascii_is_drawn_by_opencv():
    expected = np.full((60, 300, 3), 255, np.uint8)
    cv2.putText(expected, "Zurich", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, BLUE, 1, cv2.LINE_AA)
    assert np.array_equal(caption("Zurich"), expected)


@pytest.mark.parametrize("text", ["Zürich", "Łódź", "Straße", "Москва", "Αθήνα"])
def test_other_letters_are_drawn_as_they_are(text):
    """As Pillow alone draws them with that font, which has a shape of its own for each."""
    font = ImageFont.truetype(font_file(text), 28)
    shapes = {bytes(font.getmask(c)) for c in {*text, "\U0010fffe"}}
    assert len(shapes) == len({*text}) + 1
    expected = Image.new("RGB", (300, 60), "white")
    ImageDraw.Draw(expected).text((5, 40), text, font=font, fill=BLUE, anchor="ls")
    assert np.array_equal(caption(text), np.asarray(expected))
    assert not np.array_equal(caption(text), caption(text.encode("ascii", "replace").decode()))


def test_what_no_font_has_is_a_question_mark():
    assert font_file("\ue000") is None  # of private use
    assert np.array_equal(caption("a\ue000"), caption("a?"))


def test_wide_texts_stay_in_their_room():
    for text in ("ü" * 40, "u" * 40):
        columns = np.flatnonzero((caption(text, room=150) != 255).any(axis=(0, 2)))
        assert columns[0] >= 4 and 130 < columns[-1] <= 5 + 152, text


def test_sheets_and_photographs_have_them():
    image = np.full((32, 100, 3), 128, np.uint8)
    corners = np.array([[40, 40], [140, 40], [140, 80], [40, 80]], np.float32)
    for draw in (lambda text: contact_sheet([(text, image)]), lambda text: draw_sheet([(image, text, 0.5, text)]),
                 lambda text: draw_words(np.full((120, 200, 3), 90, np.uint8), [(corners, text)]),
                 lambda text: draw_alignment(image, [Character(text, (0, 1), (20, 60))])):
        pictures = [draw(text) for text in ("Zürich", "Z?rich", "Zörich", "Zурich")]
        assert all((one != other).any() for n, one in enumerate(pictures) for other in pictures[:n])
