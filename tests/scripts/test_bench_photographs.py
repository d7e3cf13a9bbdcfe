"""benchmarks/bench_photographs.py: what counts as found."""
import numpy as np
import pytest

from benchmarks.bench_photographs import annotated, matches, overlap, plain
from src.common.errors import DataError
from src.photographs.words import FoundWord


def word(left, top, right, bottom):
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return FoundWord(corners, np.zeros((2, 2, 3), np.uint8))


def test_overlap():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1 and overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)


def test_a_word_is_found_where_half_overlaps():
    words = [((0, 0, 10, 10), "a"), ((100, 0, 120, 10), "b"), ((0, 50, 10, 60), "c")]
    found = [word(101, 0, 120, 10), word(0, 0, 10, 10), word(0, 55, 40, 60)]
    assert matches(words, found) == [1, 0, None] and matches(words, []) == [None] * 3


def test_annotation(tmp_path):
    (tmp_path / "test.xml").write_text(
        "<tagset><image><imageName>img/1.jpg</imageName><lex>DOOR,O'NEIL</lex><taggedRectangles>"
        '<taggedRectangle height="7" width="8" x="1" y="2"><tag>DOOR</tag></taggedRectangle>'
        "</taggedRectangles></image></tagset>")
    assert annotated(tmp_path) == [(tmp_path / "img/1.jpg", [((1, 2, 9, 9), "door")], ["door", "oneil"])]
    assert plain("O'Neil 7") == "oneil7"
    with pytest.raises(DataError, match=r"holds no test\.xml"):
        annotated(tmp_path / "none")
