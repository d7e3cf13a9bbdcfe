import zlib

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import language_model
from src.reading.language_model import CharacterModel, Use

ABC = Charset("abc")
WORDS = ["abba", "cab", "abc", "baa", "aab", "bb", "cabba", "abba"]


def witten_bell(words, history, symbol, order, uniform):
    """p(symbol | history) by recounting everything; "^" pads, "$" ends."""
    if order == 0:
        return uniform[symbol]
    context = ("^" * order + history)[len(history) + 1:] if order > 1 else ""
    followers = []
    for word in words:
        padded = "^" * (order - 1) + word + "$"
        followers += [padded[i + order - 1] for i in range(len(word) + 1) if padded[i:i + order - 1] == context]
    lower = witten_bell(words, history, symbol, order - 1, uniform)
    kinds = len(set(followers))
    return (followers.count(symbol) + kinds * lower) / (len(followers) + kinds) if followers else lower


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_against_a_plain_recount(order):
    model, left_out = CharacterModel.train(WORDS, ABC, order)
    assert left_out == []
    for history in ["", "a", "ab", "abb", "cc", "ccc", "bab", "abbab"]:
        state = np.zeros(1, np.int64)
        for c in ABC.encode(history):
            state = model.advance(state, np.array([c]))
        got = np.exp(model.log_probs(state)[0])
        expected = [witten_bell(WORDS, history, s, order, dict.fromkeys("abc$", 1 / 4)) for s in "abc$"]
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        assert got.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("order", [1, 2, 4, 5])
def test_tied_characters_share_what_is_counted(order):
    """Against the plain recount with every digit written as one, of which each has an equal part."""
    charset = Charset("ab012")
    words = ["a0", "a1", "b20", "ab", "ba", "a12b", "0"]
    model, _ = CharacterModel.train(words, charset, order, tied="0123456789")
    plain = [word.replace("1", "0").replace("2", "0") for word in words]
    for history in ("", "a", "1", "2b", "ab", "012", "bb2"):
        state = np.zeros(1, np.int64)
        for c in charset.encode(history):
            state = model.advance(state, np.array([c]))
        got = np.exp(model.log_probs(state)[0])
        mapped = history.replace("1", "0").replace("2", "0")
        expected = [witten_bell(plain, mapped, s, order, {"a": 1 / 6, "b": 1 / 6, "0": 1 / 2, "$": 1 / 6})
                    for s in "ab0$"]
        np.testing.assert_allclose(got, [*expected[:2], *[expected[2] / 3] * 3, expected[3]], rtol=1e-5)
        chars = np.array([[4, 0]])
        some = model.log_probs_of(state[:, None], chars)[0, 0]
        np.testing.assert_array_equal(some, model.log_probs(state)[0, [4, 0]])


def test_looking_contexts_up_and_searching_them_find_the_same(monkeypatch):
    states = np.arange(4**4).reshape(16, 16)
    table, _ = CharacterModel.train(WORDS, ABC, 5)
    for largest in (1, 4, 64):
        monkeypatch.setattr(language_model, "_LARGEST_TABLE", largest)
        searched, _ = CharacterModel.train(WORDS, ABC, 5)
        np.testing.assert_array_equal(table.log_probs(states), searched.log_probs(states))


def test_a_count_is_as_good_as_repeating_a_word():
    repeated, _ = CharacterModel.train(["abba"] * 3 + ["cab"] * 2 + ["!"], ABC, 3)
    counted, left_out = CharacterModel.train(["abba", "!", "cab"], ABC, 3, counts=[3, 7, 2])
    np.testing.assert_array_equal(repeated.log_probs(np.arange(16)), counted.log_probs(np.arange(16)))
    assert left_out == ["!"]


def test_perplexity_is_the_definition_and_falls_with_the_order_on_unseen_words(shared_data):
    words = (shared_data / "mjsynth" / "lexicon.txt").read_text().split()[::4]
    train, held_out = words[0::10] + words[1::10] + words[2::10], words[5::40]
    charset = Charset("0123456789abcdefghijklmnopqrstuvwxyz")
    values = [CharacterModel.train(train, charset, order)[0].perplexity(held_out) for order in (1, 2, 3, 4)]
    assert values == sorted(values, reverse=True) and values[0] < 37 and values[3] < 0.7 * values[0]
    model, _ = CharacterModel.train(train, charset, 3)
    log_p = model.word_log_probs(held_out)
    assert values[2] == pytest.approx(np.exp(-log_p.sum() / sum(len(w) + 1 for w in held_out)))


def test_words_outside_are_reported_not_scored():
    model, left_out = CharacterModel.train([*WORDS, "xyz", "a!b", "..", "Cab"], ABC, 3)
    assert left_out == ["xyz", ".."]  # "a!b" is "ab" by the protocol
    scores = model.word_log_probs(["abc", "xyz", ""])
    assert np.isnan(scores).tolist() == [False, True, True]
    assert np.isnan(model.perplexity(["xyz"]))
    assert model.perplexity(["abc", "xyz"]) == pytest.approx(model.perplexity(["abc"]))
    with pytest.raises(ConfigError, match="no word"):
        CharacterModel.train(["xyz"], ABC)


def test_saved_and_loaded_is_the_same(tmp_path):
    use = Use(0.7, 1.5, 0.01, 0.9, 1.3)
    model, _ = CharacterModel.train(WORDS, ABC, 4, tied="ab", use=use)
    model.save(tmp_path / "words.model")
    again = CharacterModel.load(tmp_path / "words.model", ABC)
    assert again.use == use and again.tied == "ab"
    states = np.arange(27)  # all contexts of three of the symbols "a or b", "c" and padding
    np.testing.assert_array_equal(model.log_probs(states), again.log_probs(states))
    assert again.order == 4
    with pytest.raises(ConfigError, match="charset"):
        CharacterModel.load(tmp_path / "words.model", Charset("abd"))


def test_the_same_words_give_the_same_bytes(tmp_path):
    for name, words in (("one", WORDS), ("two", WORDS[::-1])):
        CharacterModel.train(words, ABC, 4)[0].save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_earlier_format_is_named(tmp_path):
    with open(tmp_path / "old.lm", "wb") as file:
        np.savez_compressed(file, format="crnn-character-model-1", characters=np.array([97]), order=1,
                            contexts=np.zeros(1, np.int64), symbols=np.zeros(1, np.int32), counts=np.ones(1, np.int32))
    with pytest.raises(ConfigError, match="an earlier version; make it anew"):
        CharacterModel.load(tmp_path / "old.lm", ABC)


@pytest.mark.parametrize("values", [{"weight": -0.1}, {"strange": -1.0}, {"temperature": 0.0}, {"bonus": float("nan")},
                                    {"sure": -1.0}, {"weight": float("nan")}])
def test_settings_out_of_range(values):
    with pytest.raises(ConfigError, match="must be 0 or more"):
        Use(**values)


def test_what_is_not_a_model_is_an_error(tmp_path):
    (tmp_path / "text").write_text("hello")
    np.savez(tmp_path / "other.npz", a=1)
    for name in ("text", "other.npz"):
        with pytest.raises(ConfigError, match="not a language model"):
            CharacterModel.load(tmp_path / name, ABC)
    model, _ = CharacterModel.train(WORDS, ABC, 3)
    model.save(tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:300])
    with pytest.raises(ConfigError, match="not a language model"):
        CharacterModel.load(tmp_path / "cut", ABC)
    data = bytearray((tmp_path / "whole").read_bytes())
    data[80:100] = b"\xff" * 20
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(zlib.error), np.load(tmp_path / "damaged") as file:
        file["format"]
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.ones(3))
    for name in ("damaged", "array.npz"):
        with pytest.raises(ConfigError, match="not a language model"):
            CharacterModel.load(tmp_path / name, ABC)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ConfigError, match="not a language model"):
        CharacterModel.load(tmp_path / "empty", ABC)
    with pytest.raises(FileNotFoundError):
        CharacterModel.load(tmp_path / "absent", ABC)


@pytest.mark.parametrize("order", [0, 40])
def test_order_out_of_range(order):
    with pytest.raises(ConfigError, match="order"):
        CharacterModel.train(WORDS, ABC, order)


def test_order_too_high_for_the_memory(monkeypatch):
    characters = [chr(0x4E00 + i) for i in range(2000)]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(language_model, "_LARGEST_BYTES", 20_000_000)
    words = ["".join(characters[i] for i in rng.integers(0, 2000, 4)) for _ in range(2000)]
    with pytest.raises(ConfigError, match="--order 2"):
        CharacterModel.train(words, Charset("".join(characters)), 3)
