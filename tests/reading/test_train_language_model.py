import pytest

import train_language_model
from src.common.charset import Charset
from src.common.errors import ConfigError
from src.reading.language_model import CharacterModel

DEFAULT = Charset("abcdefghijklmnopqrstuvwxyz0123456789")


def test_trains_saves_and_reports(tmp_path, capsys):
    (tmp_path / "words.txt").write_text("".join(f"{a}{b}ing\n" for a in "klmprst" for b in "aeiou") + "Ö\n")
    (tmp_path / "more.txt").write_text("sing\n")
    files = [str(tmp_path / name) for name in ("words.txt", "more.txt")]
    assert train_language_model.main([*files, "-o", str(tmp_path / "out.lm"), "--order", "3"]) == 0
    model = CharacterModel.load(tmp_path / "out.lm", DEFAULT)
    assert model.order == 3
    assert model.word_log_probs(["ring"])[0] > model.word_log_probs(["rgni"])[0] + 5
    out = capsys.readouterr().out
    assert "1 words were left out" in out and "36 words" in out and "perplexity" in out


def test_another_charset(tmp_path):
    (tmp_path / "words.txt").write_text("123\n456\n")
    train_language_model.main([str(tmp_path / "words.txt"), "-o", str(tmp_path / "m"), "--label_dict", "0123456789"])
    assert CharacterModel.load(tmp_path / "m", Charset("0123456789")).order == 6


def test_mistakes_are_one_sentence(tmp_path):
    (tmp_path / "words.txt").write_text("one\n")
    words = str(tmp_path / "words.txt")
    with pytest.raises(ConfigError, match="does not exist"):
        train_language_model.main([words, "-o", str(tmp_path / "no" / "m")])
    with pytest.raises(ConfigError, match="order"):
        train_language_model.main([words, "-o", str(tmp_path / "m"), "--order", "0"])
    with pytest.raises(ConfigError, match="no word"):
        train_language_model.main([words, "-o", str(tmp_path / "m"), "--label_dict", "0123456789"])
    with pytest.raises(FileNotFoundError):
        train_language_model.main([str(tmp_path / "absent"), "-o", str(tmp_path / "m")])


def test_the_word_list_is_not_overwritten(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("market\n")
    with pytest.raises(ConfigError, match="words.txt is read and would be overwritten"):
        train_language_model.main([str(words), "-o", str(words)])
    assert words.read_text() == "market\n"
