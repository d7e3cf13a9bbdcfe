"""Characters, classes, blank, folding."""
import numpy as np
import pytest

from src.common.charset import Charset, code_points, normalise, required_steps
from src.common.errors import ConfigError, DataError

DIGITS_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def test_classes_blank_and_folding():
    charset = Charset(DIGITS_LETTERS)
    assert (charset.blank, charset.class_num, charset.case_sensitive) == (36, 37, False)
    assert charset.fold("PRIVATE") == "private"
    indices = charset.encode("Az09")
    assert indices.dtype == np.int32 and indices.tolist() == [10, 35, 0, 9]
    assert charset.decode(indices) == "az09"
    assert charset.encode("").shape == (0,)
    assert charset == Charset(DIGITS_LETTERS) != Charset("abc")


def test_upper_case_makes_it_case_sensitive():
    charset = Charset("abAB")
    assert charset.case_sensitive and charset.fold("aB") == "aB"
    assert charset.encode("aB").tolist() == [0, 3]


def test_unknown_characters_are_named_once_in_order():
    charset = Charset(DIGITS_LETTERS)
    assert charset.unknown("É-x-É!") == ["é", "-", "!"]
    with pytest.raises(DataError, match=r"'é' '-'.*charset"):
        charset.encode("É-x")


@pytest.mark.parametrize("index", [-1, 36, 37])
def test_decode_refuses_blank_and_outside(index):
    with pytest.raises(ValueError, match=str(index)):
        Charset(DIGITS_LETTERS).decode([1, index])


@pytest.mark.parametrize("value, message", [("", "at least one"), (123456789, "quotes"), ("abca", "'a' more than once"),
                                            (None, "at least one"), ("ab\nc", "line break")])
def test_bad_characters(value, message):
    with pytest.raises(ConfigError, match=message):
        Charset.from_config(value)


def test_from_file(tmp_path):
    path = tmp_path / "characters.txt"
    path.write_bytes("\ufeffa\r\nß\r\n \r\n漢\r\n".encode())
    assert Charset.from_config(str(path)).characters == "aß 漢"
    path.write_text("a\nbc\n")
    with pytest.raises(ConfigError, match=r"characters.txt, line 2.*'bc'"):
        Charset.from_config(str(path))
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        Charset.from_config(str(path))
    with pytest.raises(ConfigError, match="nothere.txt.*No such file"):
        Charset.from_config(str(tmp_path / "nothere.txt"))


def test_any_string_is_a_charset():
    assert Charset.from_config("ab./ ").characters == "ab./ "


@pytest.mark.parametrize("word, steps", [("", 0), ("a", 1), ("hello", 6), ("aaa", 5), ("abab", 4), ("aabbcc", 9)])
def test_required_steps(word, steps):
    assert required_steps(Charset(DIGITS_LETTERS).encode(word)) == steps


def test_normalise_follows_the_protocol():
    assert normalise("It's 10%!", Charset(DIGITS_LETTERS)) == "its10"
    assert normalise("Café", Charset(DIGITS_LETTERS)) == "caf"
    assert normalise("A1", Charset("0123456789")) == "a1"  # a digit reader must not be forgiven the letters
    assert normalise("Cab!?", Charset("abcABC!")) == "Cab!?"
    assert normalise("Don't", Charset("abcdefghijklmnopqrstuvwxyz'")) == "don't"


def test_code_points_pad_with_zero():
    codes, lengths = code_points(["ab", "", "\U0001f600"])
    assert codes.tolist() == [[97, 98], [0, 0], [0x1F600, 0]] and lengths.tolist() == [2, 0, 1]
