"""The list of checksums in a checkpoint, with every kind of damage to the list itself."""
import json

import numpy as np
import pytest

from src.network.checksum import KEY, METHOD_KEY, checksum_entries, find_fault, has_checksums

ARRAYS = {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float32), "fact": "1"}


def whole():
    return {**ARRAYS, **checksum_entries(ARRAYS)}


def test_what_was_written_is_sound():
    assert find_fault(whole()) == ""


@pytest.mark.parametrize("lost", [KEY, METHOD_KEY])
def test_a_file_that_lost_one_of_its_entries_still_counts_as_one_with_checksums(lost):
    content = whole()
    del content[lost]
    assert has_checksums(content) and find_fault(content)


@pytest.mark.parametrize("expected", ["", "nonsense", "7", "null", '"ab"', "[]", "[1]", "[[]]",
                                      json.dumps(sorted({*ARRAYS, METHOD_KEY})), "{", '{"a": NaN'])
def test_a_list_that_is_none(expected):
    assert find_fault({**whole(), KEY: expected}) == "its list of checksums is missing or damaged"


def test_entries_added_lost_and_changed():
    assert "(extra)" in find_fault({**whole(), "extra": np.zeros(1, np.float32)})
    fewer = whole()
    del fewer["b"]
    assert "(b)" in find_fault(fewer)
    for other in (np.zeros(6, np.float32), ARRAYS["a"].reshape(2, 3), ARRAYS["a"].astype(np.float64)):
        assert find_fault({**whole(), "a": other}) == "a is not what was written"
    assert find_fault({**whole(), "fact": "2"}) == "fact is not what was written"
