"""Which words count in evaluation."""
import pytest

from src.common.errors import ConfigError, DataError
from src.data.protocol import select_words
from src.dataset import create_dataset, open_source
from tests.word_sets import config

WORDS = ["Door", "it's", "of", "a", "311", "Café", "two words", "AB1", "x-y", "№12", "٣٣٣"]


def source(folder, name, words=WORDS, **files):
    folder.mkdir(exist_ok=True)
    (folder / "annotation.txt").write_text("".join(f"i/{i}.png\t{word}\n" for i, word in enumerate(words)))
    for file, content in files.items():
        (folder / f"{file}.txt").write_text(content)
    return open_source(name, str(folder), "test")


def kept(*arguments):
    return select_words(*arguments).numbers.tolist()


def test_rules(tmp_path):
    ic03, ic13, ic15 = (source(tmp_path / name, name) for name in ("ic03", "ic13", "ic15"))
    assert kept(ic03) == kept(ic03, "860") == kept(ic13) == kept(ic13, "857") == [0, 4, 7]
    assert kept(ic13, "1015") == kept(ic15, "1922") == [0, 2, 3, 4, 7]
    assert kept(ic15) == kept(ic15, "2077") == kept(ic13, "whole") == list(range(len(WORDS)))
    for name in ("svt", "svtp", "cute80", "iiit5k"):
        assert kept(source(tmp_path / name, name)) == list(range(len(WORDS)))


def test_summary_says_how_many_and_why(tmp_path):
    summary = select_words(source(tmp_path / "d", "ic13")).summary()
    assert summary.startswith("protocol 857: 3 of 11 words count; dropped 8: a non-alphanumeric character or fewer "
                              "than 3 characters, such as \"it's\" (i/1.png), 'of' (i/2.png)")
    assert summary.endswith("; the whole benchmark has 857") and "\n" not in summary
    full = source(tmp_path / "full", "ic13", ["word"] * 857 + ["no"])
    assert "857 of 858 words count; dropped 1" in select_words(full).summary() and select_words(full).note == ""
    assert "the 1811 need a list" in select_words(source(tmp_path / "e", "ic15")).summary()
    assert select_words(source(tmp_path / "chosen", "ic15", ["word"] * 1811)).note == ""  # chosen already
    assert len(select_words(source(tmp_path / "d", "ic13")).examples) == 5
    assert select_words(source(tmp_path / "all", "ic13", ["word"] * 857)).dropped == {}


def test_lists_go_before_rules(tmp_path):
    ic15 = source(tmp_path / "a", "ic15", protocol_1811="i/4.png\n\n1.png\n")
    assert kept(ic15) == kept(ic15, "1811") == [1, 4] and "protocol 1811: 2 of 11" in select_words(ic15).summary()
    assert kept(source(tmp_path / "b", "ic03", protocol_860="./i/0.png\n")) == [0]
    assert kept(source(tmp_path / "c", "ic03", protocol_867="i/0.png\ni/1.png\n"), "867") == [0, 1]
    assert kept(source(tmp_path / "twice", "ic03", protocol_867="i/3.png\n3.png\n"), "867") == [3]
    with pytest.raises(DataError, match=r"protocol_867.txt, line 2: the set has no image gone.png"):
        select_words(source(tmp_path / "c", "ic03", protocol_867="0.png\ngone.png\n"), "867")


def test_what_only_a_list_tells(tmp_path):
    with pytest.raises(DataError, match="ic03: the 867 words were chosen by eye: put the list.*protocol_867.txt"):
        select_words(source(tmp_path / "a", "ic03"), "867")
    assert len(kept(source(tmp_path / "b", "ic03", ["it's"] * 867), "867")) == 867


def test_a_protocol_of_another_set(tmp_path):
    with pytest.raises(ConfigError, match="860 belongs to ic03; for ic13: standard, whole, 857, 1015"):
        select_words(source(tmp_path / "a", "ic13"), "860")
    with pytest.raises(ConfigError, match="857 belongs to ic13; for svt: standard, whole$"):
        select_words(source(tmp_path / "b", "svt"), "857")
    with pytest.raises(ConfigError, match="eval_protocol 12: expected standard, whole or one of 860"):
        select_words(source(tmp_path / "b", "svt"), "12")
    with pytest.raises(DataError, match="none of its 2 words counts in eval_protocol 857"):
        select_words(source(tmp_path / "c", "ic13", ["a", "b"]))


def test_create_dataset_applies_it_in_evaluation_only(tmp_path):
    words = ["Door", "it's", "of", "three"]
    source(tmp_path / "d", "ic13", words)
    path = str(tmp_path / "d")
    (tmp_path / "d" / "i").mkdir()
    import cv2
    import numpy as np
    for i in range(4):
        cv2.imwrite(f"{path}/i/{i}.png", np.full((9, 9, 3), i, np.uint8))
    for protocol, expected in (("standard", [0, 3]), ("1015", [0, 2, 3]), ("whole", [0, 1, 2, 3])):
        dataset = create_dataset("ic13", path, 3, is_training=False, config=config(eval_protocol=protocol))
        assert [i for batch in dataset for i in batch.index.tolist()] == expected
        assert [text for batch in dataset for text in batch.text] == [words[i] for i in expected]
        assert dataset.num_samples == dataset.report.used == len(expected) and dataset.report.total == 4
        assert (dataset.report.outside_charset > 0) == (1 in expected)
    training = create_dataset("ic13", path, 1, config=config(eval_protocol="857"))
    assert training.report.used == 3 and training.report.selection is None
