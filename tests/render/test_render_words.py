"""Words to draw and the file names they get."""
from collections import Counter
from urllib.parse import unquote

import numpy as np
import pytest

from src.common.errors import ConfigError, DataError
from src.render.layout import chunks, escape, unescape
from src.render.made_up import joined_words, random_codes, random_numbers, random_words
from src.render.words import SPLITS, WORD_LIST, plan_words, read_lexicon


def test_embedded_word_list():
    words = read_lexicon(WORD_LIST)
    assert len(words) == len(set(words)) > 5000
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "has no word in it"), (b"\n \n", "has no word in it"), (b"ab\x07c\n", "line 1.*control character U.0007"),
    (b"good\nzero\xe2\x80\x8bwidth\n", "line 2.*U.200B"), (b"\xff\xfe", "not UTF-8"), (b"x" * 61, "61 characters"),
])
def test_lexicons_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lexicon(path)


def test_lexicon_is_read_as_it_is(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffCaf\u00e9\r\n\r\n New York \na/b\n".encode())
    assert read_lexicon(path) == ["Caf\u00e9", "New York", "a/b"]
    with pytest.raises(DataError, match="does not exist"):
        read_lexicon(tmp_path / "none.txt")


def test_random_words_and_numbers():
    words = random_words(500, 3, 9, 1)
    assert len(set(words)) == 500 and {len(word) for word in words} == set(range(3, 10))
    assert words == random_words(500, 3, 9, 1) != random_words(500, 3, 9, 2)
    numbers = random_numbers(200, 1, 23, 1)
    assert all(number.isdecimal() and len(number) <= 11 for number in numbers)
    assert max(map(len, random_numbers(2000, 1, 23, 1))) == 11
    assert len(random_numbers(100, 1, 1, 1)) == 10
    for shortest in (11, 12, 13, 30):
        assert {len(number) for number in random_numbers(20, shortest, 40, 1)} == {shortest}


def test_splits_have_no_word_in_common():
    words = [f"w{number:x}" for number in range(300)] + ["don't", "dont", "DON'T"]
    plan = plan_words(words, {"train": 2000, "val": 200, "test": 300}, seed=4, digits_ratio=0.3)
    seen = {split: {"".join(filter(str.isalnum, plan.lexicon[row])) for row in plan.rows[split].tolist()}
            for split in SPLITS}
    assert not seen["train"] & seen["val"] and not seen["train"] & seen["test"] and not seen["val"] & seen["test"]
    assert plan.left_out == {"given twice": 1}
    assert all(len(plan.rows[split]) == count for split, count in (("train", 2000), ("val", 200), ("test", 300)))
    for split in SPLITS:
        digits = np.mean([plan.lexicon[row].isdecimal() for row in plan.rows[split].tolist()])
        assert abs(digits - 0.3) < 0.1
    common = plan_words(words, {"train": 2000, "test": 300}, seed=4, disjoint=False)
    assert len(set(common.rows["train"].tolist()) & set(common.rows["test"].tolist())) > 100


def test_words_come_equally_often():
    words = [f"{letter}{other}x" for letter in "abcdefgh" for other in "abcdef"]
    plan = plan_words(words, {"train": 96}, digits_ratio=0.0, scene_lengths=False)
    assert set(Counter(plan.rows["train"].tolist()).values()) == {2}


def test_shares_of_what_signs_show():
    plan = plan_words(None, {"train": 20000, "val": 500}, digits_ratio=0.1, codes_ratio=0.09)
    drawn = [plan.lexicon[row] for row in plan.rows["train"].tolist()]
    share = {name: np.mean([test(word) for word in drawn]) for name, test in {
        "single": lambda word: len(word) == 1, "number": str.isdecimal, "long": lambda word: len(word) >= 12,
        "mixed": lambda word: word.isalnum() and not word.isalpha() and not word.isdecimal()}.items()}
    assert 0.04 < share["single"] < 0.06 and 0.09 < share["number"] < 0.13
    assert 0.06 < share["long"] < 0.1 and 0.015 < share["mixed"] < 0.04
    assert {word for word in drawn if len(word) == 1} == set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert len(set(plan.lexicon)) == len(plan.lexicon)
    without = plan_words(None, {"train": 3000}, digits_ratio=0.0)
    assert all(without.lexicon[row].isalpha() for row in without.rows["train"].tolist())


def test_codes_and_joined_words():
    codes = random_codes(300, 2, 8, 1)
    assert len(set(codes)) == 300 and codes == random_codes(300, 2, 8, 1) != random_codes(300, 2, 8, 2)
    assert all(word.isalnum() and word == word.lower() and 2 <= len(word) <= 8 for word in codes)
    assert all(any(map(str.isdecimal, word)) and not word.isdecimal() for word in codes)
    words = ["street", "market", "don't", "of", "caf\u00e9"]
    joined = joined_words(20, words, 23, 1)
    assert joined and all(12 <= len(word) <= 20 for word in joined)
    assert all(set(word.removeprefix("www").removesuffix("com")) <= set("streetmarket") for word in joined)
    assert joined_words(20, words, 11, 1) == [] == joined_words(20, ["of"], 23, 1)


def test_no_number_is_shorter_than_the_shortest_word():
    plan = plan_words(["a" * 15, "b" * 20], {"train": 200}, min_length=15, digits_ratio=0.5)
    drawn = [plan.lexicon[row] for row in plan.rows["train"].tolist()]
    assert min(map(len, drawn)) == 15 and 50 < sum(map(str.isdecimal, drawn)) < 150


def test_lengths_follow_photographs_or_the_lexicon():
    scene = plan_words(None, {"train": 4000}, digits_ratio=0.0)
    lexicon = plan_words(None, {"train": 4000}, digits_ratio=0.0, scene_lengths=False)
    means = [np.mean([len(plan.lexicon[row]) for row in plan.rows["train"].tolist()]) for plan in (scene, lexicon)]
    assert 4.6 < means[0] < 5.9 and means[1] > 6.5
    short = plan_words(None, {"train": 500}, min_length=3, max_length=5)
    assert {len(short.lexicon[row]) for row in short.rows["train"].tolist()} == {3, 4, 5}
    assert sum(short.left_out.values()) > 1000


@pytest.mark.parametrize(("words", "counts", "options", "message"), [
    (["a"], {"train": 5, "test": 5}, {"digits_ratio": 0}, "1 different words are too few for 2 splits"),
    (["abc"], {"train": 5}, {"max_length": 2, "digits_ratio": 0}, "no word of 1 to 2 characters"),
    ([], {"train": 5}, {"digits_ratio": 0}, "no word"),
    (["a\nb"], {"train": 5}, {}, "control character"),
    (["a"], {"train": -1}, {}, "--train must be 0 or more, not -1"),
    (["a"], {"train": 0}, {}, "nothing to draw"),
    (["a"], {"train": 1}, {"min_length": 4, "max_length": 3}, "--min_length 4 is more than --max_length 3"),
    (["a"], {"train": 1}, {"min_length": 0}, "between 1 and 60"),
    (["a"], {"train": 1}, {"digits_ratio": 1.5}, "between 0 and 1"),
    (["a"], {"train": 1}, {"codes_ratio": 0.95}, "codes_ratio must be between 0 and what --digits_ratio leaves, 0.9"),
    (["a"], {"train": 1}, {"seed": -1}, "--seed"),
    (["a"], {"extra": 1}, {}, "unknown"),
])
def test_bad_parameters(words, counts, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        plan_words(words, counts, **options)


def test_two_and_three_words_are_just_enough():
    plan = plan_words(["aa", "bb", "cc"], {"train": 5, "val": 5, "test": 5}, digits_ratio=0)
    assert sorted(row for split in SPLITS for row in set(plan.rows[split].tolist())) == [0, 1, 2]


# file names


@pytest.mark.parametrize("word", ["Lube", "a/b", "a_b", "50%", 'say "hi"', "caf\u00e9", "..", "a.b-c~d", "\u4e2d",
                                  "\\"])
def test_escaped_words_are_safe_and_reversible(word):
    escaped = escape(word)
    assert unquote(escaped) == unescape(escaped) == word
    assert escaped.isascii() and not set(escaped) & set("/_ \\\"'.")


@pytest.mark.parametrize("word", ["\u00e9" * 60, "\U0001d4d0" * 60, "a" + "\u4e2d" * 30])
def test_names_are_no_longer_than_file_systems_allow(word):
    chunk = next(chunks({"train": 1000}))
    name = chunk.path(999, word, 123_456_789).rpartition("/")[2]
    assert name.isascii() and 240 < len(name) <= 255
    number, middle, row = name.split("_")
    assert (number, row) == ("200", "123456789.jpg") and unescape(middle) is None
    assert middle.endswith("~") and len(unquote(middle)) > 15 and word.startswith(unquote(middle)[:-1])


def test_folders_belong_to_one_split_and_images_to_one_number():
    found = list(chunks({"train": 2500, "val": 0, "test": 10}))
    assert [(chunk.folder, chunk.split, chunk.first, chunk.count) for chunk in found] == [
        (1, "train", 0, 1000), (2, "train", 1000, 1000), (3, "train", 2000, 500), (4, "test", 0, 10)]
    numbers = [chunk.index(position) for chunk in found for position in range(chunk.count)]
    assert len(set(numbers)) == 2510
    assert found[1].path(203, "Lube", 45484) == "./2/2/4_Lube_45484.jpg"
