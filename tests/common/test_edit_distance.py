import numpy as np
import pytest

from src.common.edit_distance import edit_distances
from tests import ctc_reference as reference


@pytest.mark.parametrize("alphabet", ["ab", "abcdefghij", "aä\U0001f600字"])
def test_against_the_plain_table(alphabet):
    rng = np.random.default_rng(len(alphabet))
    words = ["".join(rng.choice([*alphabet], rng.integers(0, 14))) for _ in range(1200)]
    first, second = words[:600], words[600:]
    assert edit_distances(first, second).tolist() == [reference.levenshtein(a, b) for a, b in zip(first, second,
                                                                                                 strict=True)]


@pytest.mark.parametrize("lengths", [(63, 70), (64, 64), (64, 200), (65, 65), (66, 90), (130, 1), (70, 0)])
def test_long_strings(lengths):
    rng = np.random.default_rng(sum(lengths))
    for _ in range(5):
        a, b = ("".join(rng.choice([*"abc"], n)) for n in lengths)
        assert edit_distances([a, b], [b, a]).tolist() == 2 * [reference.levenshtein(a, b)]


def test_known_values_and_empty_input():
    assert edit_distances(["kitten", "", "", "abc"], ["sitting", "", "abc", "abc"]).tolist() == [3, 0, 3, 0]
    assert edit_distances([], []).tolist() == []
    with pytest.raises(ValueError, match="1 strings against 2"):
        edit_distances(["a"], ["a", "b"])
