"""Labels are what the pictures show: the spelling of drawn words, with every charset, in every form of a set."""
import numpy as np
import pytest

from convert_lmdb import main as convert_lmdb
from src.data.spelling import Speller, spelled
from src.dataset import create_dataset, open_source
from src.render import RenderStyle, write_synth
from src.render.layout import escape
from src.render.renderer import WordRenderer
from tests.word_sets import config, make_set

LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
BOTH = LOWER + LOWER[:26].upper()
WORDS = ["hunk", "(foo-bar)", "it's", "a_b", "10%", "caf\u00e9", "x.y~", "don't", "eye", "2nd"]


@pytest.mark.parametrize("middle, word, expected", [
    ("HUNK", "hunk", "HUNK"), ("%28FOO%2DBAR%29", "(foo-bar)", "(FOO-BAR)"), ("Caf%C3%A9", "caf\u00e9", "Caf\u00e9"),
    ("its", "it's", "it's"), ("Its", "It's", "It's"),  # made by convert_synthtext.py: the lexicon knows
    ("Its", "it's", ""), ("other", "hunk", ""), ("very~", "verylong", None), ("", "hunk", None)])
def test_spelled(middle, word, expected):
    assert spelled(middle, word) == expected


def test_many_at_once_as_one_by_one():
    """Against the plain function, name by name."""
    rng = np.random.default_rng(0)
    lexicon = [*WORDS, "a", "ab", "zz9", "\u00e9t\u00e9"]
    changes = [str.upper, str.lower, str.capitalize, str.swapcase, str.title, lambda word: word[::-1]]
    names, rows = [], []
    for number in range(3000):
        row = int(rng.integers(len(lexicon)))
        middle = escape(changes[rng.integers(len(changes))](lexicon[row]))
        forms = f"./{number}/1_{middle}_{row}.jpg", f"{number}.jpg", f"x/{middle}_{row}.jpg"
        name = forms[rng.choice(3, p=[0.8, 0.1, 0.1])]
        names.append(name.encode())
        rows.append(row)
    data = np.frombuffer(b"".join(names), np.uint8)
    ends = np.cumsum([len(name) for name in names])
    starts = ends - [len(name) for name in names]
    speller = Speller(lexicon)
    parts = [speller.block(data[starts[a]:ends[a + 999]], starts[a:a + 1000] - starts[a], ends[a:a + 1000] - starts[a],
                           np.array(rows[a:a + 1000])) for a in (0, 1000, 2000)]
    texts, index = speller.texts(np.concatenate(parts))
    found = [texts[i] for i in index]
    unknown = contradicted = 0
    for name, row, text in zip(names, rows, found, strict=True):
        parts = name.decode().rpartition("/")[2].split("_")
        told = spelled("_".join(parts[1:-1]) if len(parts) > 2 else "", lexicon[row])
        unknown += told is None
        contradicted += told == ""
        assert text == (told or lexicon[row]), name
    assert (unknown, contradicted) == (speller.unknown, speller.contradicted) and min(unknown, contradicted) > 50
    assert len(texts) == len(set(texts))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A drawn set, and what its renderer says it drew: image bytes -> text."""
    folder, shown, real = tmp_path_factory.mktemp("drawn"), {}, WordRenderer.encode

    def encode(self, word, index):
        text, data = real(self, word, index)
        shown[data] = text
        return text, data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WordRenderer, "encode", encode)
        write_synth(folder / "set", train=60, val=10, test=10, words=WORDS, style=RenderStyle.preset("easy"), workers=1,
                    progress=False, digits_ratio=0.0, disjoint=False)
    return folder / "set", shown


@pytest.mark.parametrize("characters", [LOWER, BOTH, BOTH + "()-'_%.~\u00e9\u00c9", "(" + LOWER])
def test_labels_are_what_was_drawn(drawn, tmp_path, characters):
    """Every charset, as files and as an LMDB: the label of each image is the text drawn on it."""
    folder, shown = drawn
    convert_lmdb(["-d", "synth", "-p", str(folder), "-o", str(tmp_path / "lmdb")])
    for kind, path in (("synth", folder), ("lmdb", tmp_path / "lmdb")):
        dataset = create_dataset(kind, str(path), 4, config=config(label_dict=characters))
        seen = 0
        for batch in dataset.epoch():
            for number, label, length, reference in zip(batch.index, batch.label, batch.label_length, batch.reference,
                                                        strict=True):
                text = shown[dataset.source.read(number)]
                folded = text if any(c.isupper() for c in characters) else text.lower()
                assert "".join(characters[i] for i in label[:length]) == folded, reference
                seen += 1
        assert seen == len(dataset) * 4 > 0 and not dataset.report.spelling
    assert any(text.isupper() for text in shown.values()) and any(text.istitle() for text in shown.values())


def test_what_names_do_not_tell_is_said(tmp_path):
    folder = make_set(tmp_path / "synth", 40, layout="synth")
    told = create_dataset("synth", folder, 4, config=config()).report.summary()
    asked = create_dataset("synth", folder, 4, config=config(label_dict=LOWER + "W")).report.summary()
    assert "spelled" not in told and "40 words are spelled as the lexicon has them" in asked
    (tmp_path / "synth" / "annotation_train.txt").write_text("".join(f"./0/1_other_{i}.png {i}\n" for i in range(40)))
    (tmp_path / "synth" / "0" / "1_other_0.png").write_bytes((tmp_path / "synth" / "0" / "0.png").read_bytes())
    assert open_source("synth", folder, "train").contradicted == 40
    wrong = create_dataset("synth", folder, 4, config=config()).report.summary()
    assert "40 file names tell of another word than their row of lexicon.txt" in wrong


@pytest.mark.parametrize("kind", ["iiit5k", "svt", "ic13", "list"])
def test_a_set_in_one_case_is_said(tmp_path, kind):
    """IIIT5K and SVT are annotated in capitals, whatever their pictures show."""
    words = [f"{a}{b}" for a in "ABCDE" for b in "VWXYZ"]
    folder = make_set(tmp_path / "a", words=words)
    said = create_dataset(kind, folder, 4, config=config(label_dict=BOTH)).report.summary()
    assert "all 25 words are in upper case" in said
    assert "upper case" not in create_dataset(kind, folder, 4, config=config()).report.summary()
    mixed = make_set(tmp_path / "b", words=[*words[1:], "Av"])
    assert "upper case" not in create_dataset(kind, mixed, 4, config=config(label_dict=BOTH)).report.summary()
