"""Characters, classes, blank, folding."""
import numpy as np
import pytest

from src.common.charset import Charset, code_points, normalise, required_steps
from src.common.errors import ConfigError, DataError
from src.data.labels import LabelTable

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


LATIN = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("characters, text, folded", [
    ("abcçdefgğhıijklmnoöprsştuüvyz", "İSTANBUL IRMAK ılık",
     "istanbul ırmak ılık"),  # Turkish: I belongs to the letter without a dot
    (LATIN + "ığş", "İT IT", "it it"),  # letters of many languages
    (LATIN + "é", "café CAFÉ", "café café"),
    (LATIN + "́", "CAFÉ", "café"),  # the accent is a class of its own
    ("οδσς", "ΟΔΟΣ", "οδος"),  # final sigma
    ("οδσ", "ΟΔΟΣ οδος", "οδοσ οδοσ"),
    (LATIN, "ſtraße ẞ K", "straße ß k"),  # long s; sharp s; the sign for kelvin
    ("aAé", "AÉ", "AÉ"),  # tells case: nothing is changed for it
])
def test_case_folding_keeps_the_number_of_characters(characters, text, folded):
    charset = Charset(characters)
    assert charset.fold(text) == folded
    assert normalise(text, charset) == folded or set(characters) <= set(LATIN + "0123456789")
    assert all(len(charset.fold(c)) == 1 for c in "İIßẞǅΣſµ" if len(characters) > 20
               and "́" not in characters)


def test_accents_typed_behind_their_letters():
    assert Charset("abcdeé").characters == "abcdeé"
    assert Charset("abcdé").characters == "abcdé", "nothing is there twice: a class of its own"


@pytest.mark.parametrize("characters", [
    "कऩक़ऩ",  # Devanagari: NFC would take the letter with a dot apart
    "凉凉郎郎龍",  # the same ideograph twice, once for compatibility
    "郎凉",
    "가가",  # Hangul: a syllable and its parts
    "ÅΩabµſǅ",  # signs that are letters elsewhere
    "abc  　",
    "ABCİıi",
])
def test_every_character_of_a_charset_stays_itself(characters):
    charset = Charset(characters)
    assert charset.characters == characters
    for number, c in enumerate(characters):
        assert charset.fold(c) == normalise(c, charset) == c and charset.encode(c).tolist() == [number]
        assert charset.decode([number]) == c and charset.unknown(c) == []


def test_canonically_equal_texts_are_one_label():
    charset = Charset("कक़न")
    assert charset.encode("क़").tolist() == charset.encode("क़").tolist() == [1]
    assert Charset("aÅ").encode("Å").tolist() == Charset("aÅ").encode("Å").tolist() == [1]


def test_characters_that_no_picture_shows_are_no_part_of_a_label():
    plain, hebrew = Charset("abcdefghijklmnopqrstuvwxyz"), Charset("אבגדהוזחטיכלמנסעפצקרשתםןץףך")
    for text in ("WA\u00adLK", "walk\u200b", "\ufeffwalk", "\u2068walk\u2069", "walk\u2060"):
        assert plain.fold(text) == "walk" and plain.unknown(text) == [] and normalise(text, plain) == "walk"
    assert hebrew.encode("\u200fשלום\u200e").tolist() == hebrew.encode("שלום").tolist()
    assert Charset("ab\u200b").encode("a\u200bb").tolist() == [0, 2, 1]  # where it is a class, it stays
    assert plain.unknown("a\u200cb") == ["\u200c"]  # changes how Persian and Indian letters look
    table = LabelTable(["\u200e\u200f", "a\u200b", "\ufeff###"], plain)
    assert table.without_text.tolist() == [True, False, True] and table.outside.tolist() == [0, 0, 3]


def test_white_space_behind_a_character(tmp_path):
    """German, Russian and other lists that people use have a tab or a blank there."""
    path = tmp_path / "characters.txt"
    path.write_bytes("p\t\nы \n \né\nक़\n".encode())
    assert Charset.from_config(str(path)).characters == "pы éक़"


def test_texts_that_are_not_composed(tmp_path):
    charset = Charset(LATIN)
    assert normalise("Café", charset) == normalise("Café", charset) == "caf"


def test_labels_and_truths_know_the_same_letters():
    """What a label takes for a letter of the charset is that letter in a truth, too."""
    charset = Charset("abcdefghijklmnopqrstuvwxyz0123456789")
    characters = [*map(chr, range(0x3000)), *map(chr, range(0xA640, 0xAB70)), *map(chr, range(0xFB00, 0xFFF0))]
    folded = [charset.fold(c) for c in characters]
    assert {c: f for c, f in zip(characters, folded, strict=True)
            if f and charset.unknown(f) == [] and normalise(c, charset) != f} == {}
    assert normalise("\u017ft\u0131ll", charset) == charset.fold("\u017ft\u0131ll") == "still"


def test_blanks_of_all_widths_are_one_class():
    """French numbers have no-break blanks, Japanese words ideographic ones; the picture shows a blank."""
    charset = Charset("abc ")
    for blank in "\u00a0\u2009\u202f\u3000":
        assert charset.fold(f"a{blank}B") == normalise(f"a{blank}B", charset) == "a b"
        assert Charset("abc").unknown(f"a{blank}b") == [blank] and Charset(f"ab {blank}").fold(blank) == blank
