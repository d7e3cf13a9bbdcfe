import json
import zlib

import numpy as np
import pytest

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading import model_training
from src.reading.language_model import CharacterModel, Use
from src.reading.model_training import train_model

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
    model, left_out = train_model(WORDS, ABC, order)
    assert left_out == []
    for history in ["", "a", "ab", "abb", "cc", "ccc", "bab", "abbab"]:
        state = np.zeros(1, np.int64)
        for c in ABC.encode(history):
            state = model.advance(state, np.array([c]))
        got = np.exp(model.log_probs(state)[0])
        expected = [witten_bell(WORDS, history, s, order, dict.fromkeys("abc$", 1 / 4)) for s in "abc$"]
        np.testing.assert_allclose(np.log(got), np.log(expected), atol=1 / 32 + 1e-6)  # kept in sixteenths


@pytest.mark.parametrize("order", [1, 2, 4, 5])
def test_tied_characters_share_what_is_counted(order):
    """Against the plain recount with every digit written as one, of which each has an equal part."""
    charset = Charset("ab012")
    words = ["a0", "a1", "b20", "ab", "ba", "a12b", "0"]
    model, _ = train_model(words, charset, order, tied="0123456789")
    plain = [word.replace("1", "0").replace("2", "0") for word in words]
    for history in ("", "a", "1", "2b", "ab", "012", "bb2"):
        state = np.zeros(1, np.int64)
        for c in charset.encode(history):
            state = model.advance(state, np.array([c]))
        got = np.exp(model.log_probs(state)[0])
        mapped = history.replace("1", "0").replace("2", "0")
        expected = [witten_bell(plain, mapped, s, order, {"a": 1 / 6, "b": 1 / 6, "0": 1 / 2, "$": 1 / 6})
                    for s in "ab0$"]
        expected = np.log([*expected[:2], *[expected[2] / 3] * 3, expected[3]])
        np.testing.assert_allclose(np.log(got), expected, atol=1 / 32 + 1e-6)


def test_one_context_and_many_are_looked_up_alike():
    model, _ = train_model(WORDS, Charset("ab1c2"), 5, tied="12")
    states = np.arange(5**4)
    together = model.log_probs(states.reshape(25, 25)).reshape(-1, 6)
    for state in states.tolist():
        assert model.log_probs_after(state) == together[state].tolist()
        assert model.follow(state, 3) == model.advance(np.array([state]), np.array([3]))[0]


def test_of_too_many_contexts_those_stay_that_tell_most():
    """Against a plain count of what each tells; with a context its shorter ones stay, and one that is gone is read as
    the next shorter one."""
    words = WORDS * 3 + ["abab"] * 20 + ["ccc", "cab"] * 5
    whole, _ = train_model(words, ABC, 3)
    model, _ = train_model(words, ABC, 3, size=8 * (4 + 4))
    assert sum(map(len, model._contexts)) == 8 < sum(map(len, whole._contexts))
    uniform = dict.fromkeys("abc$", 1 / 4)

    def tells(history: str) -> float:
        mine, shorter = ({s: witten_bell(words, history, s, len(history) + n, uniform) for s in "abc$"} for n in (1, 0))
        seen = sum(("^" * len(history) + word + "$")[i:].startswith(history) and i + len(history) < len(
            "^" * len(history) + word + "$") for word in words for i in range(len(word) + 1))
        return seen * sum(p * np.log(p / shorter[s]) for s, p in mine.items())

    pairs = [a + b for a in "^abc" for b in "^abc" if b != "^" or a == "^"]
    letters = dict(zip("^abc", range(4), strict=True))
    kept = {pair for pair in pairs if letters[pair[1]] * 4 + letters[pair[0]] in model._contexts[2].tolist()}
    gone = {pair for pair in pairs if letters[pair[1]] * 4 + letters[pair[0]] in
            set(whole._contexts[2].tolist()) - set(model._contexts[2].tolist())}
    assert kept and gone and min(map(tells, kept)) >= max(map(tells, gone))
    assert {letters[pair[1]] for pair in kept} <= set(model._contexts[1].tolist())
    shorter, _ = train_model(words, ABC, 2)
    for pair in gone:
        got = model.log_probs(np.array([letters[pair[1]] * 4 + letters[pair[0]]]))
        np.testing.assert_array_equal(got, shorter.log_probs(np.array([letters[pair[1]]])))


def test_the_order_is_six_unless_another_is_asked_for():
    assert train_model(WORDS, ABC)[0].order == 6


def test_a_count_is_as_good_as_repeating_a_word():
    repeated, _ = train_model(["abba"] * 3 + ["cab"] * 2 + ["!"], ABC, 3)
    counted, left_out = train_model(["abba", "!", "cab"], ABC, 3, counts=[3, 7, 2])
    np.testing.assert_array_equal(repeated.log_probs(np.arange(16)), counted.log_probs(np.arange(16)))
    assert left_out == ["!"]


def test_perplexity_is_the_definition_and_falls_with_the_order_on_unseen_words(shared_data):
    words = (shared_data / "mjsynth" / "lexicon.txt").read_text().split()[::4]
    train, held_out = words[0::10] + words[1::10] + words[2::10], words[5::40]
    charset = Charset("0123456789abcdefghijklmnopqrstuvwxyz")
    values = [train_model(train, charset, order)[0].perplexity(held_out) for order in (1, 2, 3, 4)]
    assert values == sorted(values, reverse=True) and values[0] < 37 and values[3] < 0.7 * values[0]
    model, _ = train_model(train, charset, 3)
    log_p = model.word_log_probs(held_out)
    assert values[2] == pytest.approx(np.exp(-log_p.sum() / sum(len(w) + 1 for w in held_out)))


@pytest.mark.parametrize("order", [1, 3])
def test_a_word_is_as_probable_as_its_characters_one_after_the_other(order):
    """With its end; against the plain recount."""
    words, uniform = ["abc", "cab", "b", "ccacb"], dict.fromkeys("abc$", 1 / 4)
    model, _ = train_model(WORDS, ABC, order)
    expected = [sum(np.log(witten_bell(WORDS, word[:i], s, order, uniform)) for i, s in enumerate(word + "$"))
                for word in words]
    rounded = np.array([len(word) + 1 for word in words]) / 32 + 1e-6  # kept in sixteenths
    assert (np.abs(model.word_log_probs(words) - expected) <= rounded).all()
    characters = sum(map(len, words)) + len(words)
    assert np.log(model.perplexity(words)) == pytest.approx(-sum(expected) / characters, abs=1 / 32)


def test_words_outside_are_reported_not_scored():
    model, left_out = train_model([*WORDS, "xyz", "a!b", "..", "Cab"], ABC, 3)
    assert left_out == ["xyz", ".."]  # "a!b" is "ab" by the protocol
    scores = model.word_log_probs(["abc", "xyz", ""])
    assert np.isnan(scores).tolist() == [False, True, True]
    assert np.isnan(model.perplexity(["xyz"]))
    assert model.perplexity(["abc", "xyz"]) == pytest.approx(model.perplexity(["abc"]))
    with pytest.raises(ConfigError, match="no word"):
        train_model(["xyz"], ABC)


def test_saved_and_loaded_is_the_same(tmp_path):
    use = Use(0.7, 1.5, 0.01, 0.9, 1.3)
    model, _ = train_model(WORDS, ABC, 4, tied="ab", use=use)
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
        train_model(words, ABC, 4)[0].save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_earlier_format_is_named(tmp_path):
    with open(tmp_path / "old.lm", "wb") as file:
        np.savez_compressed(file, format="crnn-character-model-2", characters=np.array([97]))
    with pytest.raises(ConfigError, match="an earlier version; make it anew"):
        CharacterModel.load(tmp_path / "old.lm", ABC)


@pytest.mark.parametrize("values", [{"weight": -0.1}, {"strange": -1.0}, {"temperature": 0.0}, {"bonus": float("nan")},
                                    {"sure": -1.0}, {"unsure": 1.1}, {"weight": float("nan")}])
def test_settings_out_of_range(values):
    with pytest.raises(ConfigError, match="must be 0 or more"):
        Use(**values)


@pytest.mark.parametrize("values", [{"weight": 0.0}, {"strange": 0.0}, {"sure": 0.0}, {"unsure": 0.0}, {"unsure": 1.0}])
def test_settings_at_the_ends_of_their_range(values):
    assert Use(**values) is not None


def test_what_is_not_a_model_is_an_error(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty"):
        with pytest.raises(ConfigError, match="not a language model"):
            CharacterModel.load(tmp_path / name, ABC)
    with pytest.raises(FileNotFoundError):
        CharacterModel.load(tmp_path / "absent", ABC)


def test_every_flipped_bit_is_found(tmp_path):
    model, _ = train_model(WORDS, ABC, 2)
    model.save(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    for place in range(len(data)):
        (tmp_path / "damaged").write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1:])
        with pytest.raises(ConfigError, match="was altered|not a language model"):
            CharacterModel.load(tmp_path / "damaged", ABC)
    (tmp_path / "cut").write_bytes(data[:-1])
    with pytest.raises(ConfigError, match="was altered"):
        CharacterModel.load(tmp_path / "cut", ABC)


@pytest.mark.parametrize("order", [0, 40])
def test_order_out_of_range(order):
    with pytest.raises(ConfigError, match="order"):
        train_model(WORDS, ABC, order)


def test_order_too_high_for_the_memory(monkeypatch):
    characters = [chr(0x4E00 + i) for i in range(2000)]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(model_training, "_LARGEST_BYTES", 20_000_000)
    words = ["".join(characters[i] for i in rng.integers(0, 2000, 4)) for _ in range(2000)]
    with pytest.raises(ConfigError, match="--order 2"):
        train_model(words, Charset("".join(characters)), 3)


@pytest.mark.parametrize("change", [
    {"contexts": [10**30]}, {"contexts": [10**12]}, {"contexts": 5}, {"contexts": [1.5]}, {"bytes": 3},
    {"tied": 5}, {"tied": "ab"}, {"use": 5}, {"use": {"weight": 10**400}}, {"use": {"weight": [1]}},
    {"use": {"odd": 1}}, "[" * 100_000, "[]", "5"])
def test_facts_of_another_kind(tmp_path, change):
    path = tmp_path / "m.lm"
    train_model(["abc", "cab"], Charset("abc"), 3)[0].save(path)
    facts, _, rest = path.read_bytes().partition(b"\n")[2].partition(b"\n")
    data = (change if isinstance(change, str) else json.dumps({**json.loads(facts), **change})).encode() + b"\n" + rest
    path.write_bytes(b"crnn-character-model-3 %08x\n" % zlib.crc32(data) + data)
    with pytest.raises(ConfigError, match="m.lm: not a language model"):
        CharacterModel.load(path, Charset("abc"))


def test_settings_of_a_file_that_cannot_be(tmp_path):
    path = tmp_path / "m.lm"
    train_model(["abc", "cab"], Charset("abc"), 3)[0].save(path)
    head = b"crnn-character-model-3 "
    data = path.read_bytes().partition(b"\n")[2].replace(b'"weight": 0.2', b'"weight": NaN')
    path.write_bytes(head + b"%08x\n" % zlib.crc32(data) + data)
    with pytest.raises(ConfigError, match="m.lm: a language model cannot be used with .*weight=nan"):
        CharacterModel.load(path, Charset("abc"))
