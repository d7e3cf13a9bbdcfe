"""eval.py's decoders, lexicons and table of predictions, with a network whose readings are known."""
import os

import numpy as np
import pytest

import eval as eval_program
from src.common.errors import ConfigError, DataError
from src.reading.greedy import GreedyDecoder
from src.reading.model_training import train_model
from tests.stub_network import CHARSET, install, logits_of, write_image

TRUTHS = ["House", "tree", "car", "Street"]
READ = ["hause", "tree", "cat", "strect"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    install(monkeypatch, READ)
    folder = tmp_path / "set"
    for number in range(len(TRUTHS)):
        write_image(folder / f"{number}.png", number)
    (folder / "annotation.txt").write_text("".join(f"{n}.png,{word}\n" for n, word in enumerate(TRUTHS)))
    (folder / "lexicon_50.txt").write_text("0.png\tHOUSE\tmouse\n1.png\ttree\tthree\n2.png\tbus\tcat\n"
                                           "3.png\tStreet\tstrong\n")
    return folder


def evaluate(data, *options):
    return eval_program.main(["--eval_dataset=iiit5k", f"--eval_dataset_path={data}", "--show_progress=never",
                              "--batch_size=3", "--num_parallel_workers=1", *options])


def test_greedy_is_the_default(data, capsys):
    assert evaluate(data) == 0
    out = capsys.readouterr().out
    assert "greedy decoder" in out and "correct num: 1 , total num: 4" in out
    assert "word accuracy: 25.00 %" in out and f"CER: {3 / 18:.4f}" in out  # o>a, r>t, e>c over 5 + 4 + 3 + 6


def test_lexicon_of_each_image(data, capsys):
    evaluate(data, "--lexicon=50")
    out = capsys.readouterr().out
    assert "correct num: 3 , total num: 4" in out and "one for each image" in out
    assert "lexicon: 8 words\n" in out
    assert "the truths of 1 of 4 images are not in their lexicon and cannot be read, such as 'car' (2.png)" in out


def test_lexicon_for_all(data, tmp_path, capsys):
    (data / "lexicon_full.txt").write_text("house\ntree\ncar\nstreet\n")
    evaluate(data, "--lexicon=full")
    assert "correct num: 4 , total num: 4" in capsys.readouterr().out
    words = tmp_path / "words.txt"
    words.write_text("house\ntrée\nStreet\nstreet\n")
    evaluate(data, f"--lexicon={words}", "--decoder=lexicon")
    out = capsys.readouterr().out
    # "trée" is "tre" by the protocol, the best word for the image that shows "tree" is one of the others.
    assert "correct num: 2 , total num: 4" in out and "lexicon: 4 words, 1 duplicates" in out
    assert "the truths of 2 of 4 images are not in their lexicon and cannot be read, such as 'tree' (1.png)" in out


def test_beam_with_a_language_model(data, tmp_path, capsys):
    evaluate(data, "--decoder=beam", "--beam_width=3")
    assert "beam decoder, 3 prefixes\n" in capsys.readouterr().out
    model, _ = train_model(["house"] * 9 + ["street"] * 9, CHARSET, 3)
    path = tmp_path / "words.lm"
    model.save(path)
    evaluate(data, f"--language_model={path}")
    assert f"beam decoder, 10 prefixes, language model {path}\n" in capsys.readouterr().out
    for options in ((), ("--language_model=none",), ("--language_model=none", "--decoder=greedy")):
        evaluate(data, *options)
        hint = "" if options else "; predict.py adds --language_model=pretrained/words_en_fr.lm"
        assert f"\ngreedy decoder{hint}\n" in capsys.readouterr().out
    evaluate(data, "--language_model=None", "--decoder=beam")
    assert "beam decoder, 10 prefixes\n" in capsys.readouterr().out


def test_images_that_were_squeezed_are_counted(data, capsys):
    evaluate(data)
    assert "keep_ratio: " not in capsys.readouterr().out
    evaluate(data, "--keep_ratio=True", "--bucket_widths=16,50")  # the images are 60 wide
    assert ("keep_ratio: 4 images were too wide for the largest of bucket_widths, 50, and were squeezed to it\n"
            in capsys.readouterr().out)


def test_table_of_predictions(data, tmp_path, capsys):
    (data / "annotation.txt").write_text("0.png,a\\b\n1.png,tree\n2.png\tcar\n3.png,St,reet\n")
    table = tmp_path / "new" / "table.tsv"
    evaluate(data, f"--save_predictions={table}", "--temperature=2")
    assert f"predictions: {table}\n" in capsys.readouterr().out
    lines = [line.split("\t") for line in table.read_text().split("\n")]
    assert lines[0] == ["path", "truth", "prediction", "confidence"] and lines[-1] == [""]
    assert [line[:3] for line in lines[1:-1]] == [["0.png", "a\\\\b", "hause"], ["1.png", "tree", "tree"],
                                                 ["2.png", "car", "cat"], ["3.png", "St,reet", "strect"]]
    expected = GreedyDecoder(CHARSET, 2.0)(np.stack([logits_of(text) for text in READ], axis=1))
    assert [line[3] for line in lines[1:-1]] == [f"{reading.confidence:.6f}" for reading in expected]
    assert [path.name for path in table.parent.iterdir()] == ["table.tsv"]


def test_file_names_that_are_not_utf8(tmp_path, monkeypatch, capsys):
    install(monkeypatch, READ)
    write_image(tmp_path / "set" / "a.png", 1)
    (tmp_path / "set" / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/set/caf\xe9_0_tree.png"))
    table = tmp_path / "table.tsv"
    eval_program.main(["--eval_dataset=svt", f"--eval_dataset_path={tmp_path / 'set'}", "--show_progress=never",
                       "--print_predictions=True", f"--save_predictions={table}", "--num_parallel_workers=1"])
    assert " , caf\\xe9_0_tree.png\n" in capsys.readouterr().out
    assert table.read_text(encoding="utf-8").split("\n")[1].startswith("caf\\\\xe9_0_tree.png\ttree\ttree\t")


def test_fields_of_the_table_are_escaped(tmp_path):
    from src.evaluation.predictions import PredictionFile
    from src.reading.reading import Reading
    path = tmp_path / "table.tsv"
    with PredictionFile(str(path)) as file:
        file.add(["a\tb"], ["c\nd"], [Reading("e\\", 0.5)])
    assert path.read_text().split("\n")[1] == "a\\tb\tc\\nd\te\\\\\t0.500000"


@pytest.mark.parametrize("name", ["0.png", "annotation.txt", "notes.txt"])
def test_a_file_that_is_no_table_of_predictions_is_not_lost(data, name):
    (data / "notes.txt").write_text("path\ttruth\n")
    before = (data / name).read_bytes()
    with pytest.raises(ConfigError, match=f"{name} exists and is no table of predictions"):
        evaluate(data, f"--save_predictions={data / name}")
    assert (data / name).read_bytes() == before


def test_an_earlier_table_and_an_empty_file_are_replaced(data, tmp_path):
    table = tmp_path / "table.tsv"
    table.touch()
    evaluate(data, f"--save_predictions={table}", "--temperature=2")
    first = table.read_text()
    evaluate(data, f"--save_predictions={table}")
    assert table.read_text() != first and len(table.read_text().splitlines()) == 5


def test_a_table_that_is_not_finished_is_not_there(tmp_path):
    from src.evaluation.predictions import PredictionFile
    with pytest.raises(KeyError), PredictionFile(str(tmp_path / "table.tsv")):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("options", "error", "message"), [
    (["--lexicon=1k"], DataError, "there is no '1k' lexicon .*lexicons there: 50"),
    (["--lexicon=nowhere.txt"], ConfigError, "lexicon nowhere.txt does not exist"),
    (["--lexicon=50", "--decoder=greedy"], ConfigError, "decoder greedy cannot use a lexicon"),
    (["--decoder=lexicon"], ConfigError, "needs its words"),
    (["--language_model=nowhere.lm"], ConfigError, "language_model nowhere.lm does not exist"),
    (["--language_model=x", "--decoder=greedy"], ConfigError, "cannot use a language model"),
    (["--decoder=best"], ConfigError, "expected one of auto, greedy, beam, lexicon"),
    (["--beam_width=0"], ConfigError, "1 to 1000"),
    (["--beam_width=100000"], ConfigError, "1 to 1000"),
    (["--language_model={folder}"], ConfigError, "is a folder; make one"),
    (["--lexicon={folder}"], ConfigError, "is a folder: expected"),
    (["--image_folder=nowhere"], ConfigError, "image_folder nowhere is no folder"),
    (["--temperature=0"], ConfigError, "above 0"),
    (["--save_predictions={folder}"], ConfigError, "is a folder"),
])
def test_mistakes_are_named(data, options, error, message):
    with pytest.raises(error, match=message):
        evaluate(data, *[option.format(folder=data) for option in options])


def test_a_lexicon_that_lacks_an_image(data):
    (data / "lexicon_50.txt").write_text("0.png\tHOUSE\tmouse\n")
    with pytest.raises(DataError, match="lexicon_50.txt has no lexicon for 1.png"):
        evaluate(data, "--lexicon=50")


def test_lexicon_without_usable_words(data, tmp_path):
    (tmp_path / "words.txt").write_text("---\n")
    with pytest.raises(ConfigError, match="no word that the charset can write"):
        evaluate(data, f"--lexicon={tmp_path / 'words.txt'}")


@pytest.mark.parametrize("kind", ["svt", "ic03"])
def test_sets_as_their_authors_publish_them(tmp_path, monkeypatch, capsys, kind):
    """A raw folder is converted once, beside the results; one with an annotation is read as it is."""
    install(monkeypatch, READ)
    name = {"svt": "test.xml", "ic03": "words.xml"}[kind]
    folder = tmp_path / "raw"
    entries = []
    for number, word in enumerate(TRUTHS):
        write_image(folder / f"{number}.png", number, 40)
        entries.append(f'<image><imageName>{number}.png</imageName><taggedRectangles><taggedRectangle x="0" y="0" '
                       f'width="40" height="32"><tag>{word}</tag></taggedRectangle></taggedRectangles></image>')
    (folder / name).write_text(f"<tagset>{''.join(entries)}</tagset>")
    before = sorted(folder.iterdir())
    options = [f"--eval_dataset={kind}", f"--output_dir={tmp_path / 'out'}"]
    for _ in range(2):
        assert evaluate(folder, *options) == 0
        read = capsys.readouterr()
        assert "correct num: 1 , total num: 4" in read.out
        assert f"note: {folder}: converted from {name}, in {tmp_path / 'out'}/converted/{kind}-" in read.err
    assert sorted(folder.iterdir()) == before, "nothing is written where the data lies"
    (folder / "annotation.txt").write_text("1.png,tree\n")
    assert evaluate(folder, *options) == 0
    read = capsys.readouterr()
    assert "correct num: 1 , total num: 1" in read.out and "converted" not in read.err
    assert f"note: {folder}: annotation.txt is read, not {name} of the set's authors beside it" in read.err
    assert evaluate(folder / name, *options) == 0
    read = capsys.readouterr()
    assert "total num: 4" in read.out and f"converted from {name}" in read.err
