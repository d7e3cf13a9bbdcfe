"""tools/make_language_model.py: how words are spelled and weighed, and its refusal of another wordfreq."""
from importlib import metadata

import pytest

from src.common.errors import ConfigError
from tools import make_language_model
from tools.make_language_model import fold, read_frequencies, word_counts


@pytest.mark.parametrize(("word", "folded"), [
    ("Don't", "dont"), ("café", "cafe"), ("Straße", "strasse"), ("cœur", "coeur"), ("1st", "0st"), ("2,500", "0000"),
    ("Ⅷ", "viii"), ("улица", ""), ("東京", ""), ("-", ""), ("™", "tm"), ("٣", "0")])
def test_spelling(word, folded):
    assert fold(word) == folded


def test_frequent_words_count_more_and_digits_have_their_share():
    english = {"the": 1e-4, "cat": 1e-8, "Cát": 3e-8, "rare": 1e-9, "00": 1e-6, "0": 1e-7, "да": 1e-3}
    counts = word_counts({"en": english, "fr": {"chat": 1e-7, "the": 1e-4}})
    assert list(counts) == sorted(counts) == ["0", "00", "cat", "chat", "rare", "the"]
    assert counts["the"] == round(11000 ** 0.75) and counts["cat"] == round(4 ** 0.75)
    assert counts["chat"] == 1 and counts["rare"] == 1
    digits = counts["0"] + counts["00"]
    assert digits / sum(counts.values()) == pytest.approx(0.1, rel=0.01)
    assert counts["00"] / counts["0"] == pytest.approx(10 ** 0.75, rel=0.1)


@pytest.mark.parametrize("version", ["3.0.0", None])
def test_another_wordfreq_is_refused(monkeypatch, version):
    def found(name):
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(make_language_model.metadata, "version", found)
    with pytest.raises(ConfigError, match=f"3.1.1 is needed, there is {version or 'none'}: pip install wordfreq=="):
        read_frequencies()
