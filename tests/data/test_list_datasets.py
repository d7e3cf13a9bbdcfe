"""The ground truth of IC13 and IC15 as it comes, SVT as the model zoo left it, and the plain lists."""
import pytest

from src.common.errors import DataError
from src.dataset import create_dataset, evaluation_split, open_source

IC13 = ('\ufeffword_1.png, "Tiredness"\r\nword_2.png, "1,000"\r\nword_3.png, "\\"So\\\\"\nword_4.png, "it"s"\n'
        'w 5.png,"x"\n')
IC13_WORDS = [("word_1.png", "Tiredness"), ("word_2.png", "1,000"), ("word_3.png", '"So\\'), ("word_4.png", 'it"s'),
              ("w 5.png", "x")]


def content(name, path, split="test"):
    source = open_source(name, str(path), split)
    return [(source.reference(i), source.text(i)) for i in range(len(source))]


def put(path, text="bytes"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def test_ic13_test_set_with_images_in_their_folder(tmp_path):
    put(tmp_path / "Challenge2_Test_Task3_GT.txt", IC13)
    put(tmp_path / "Challenge2_Test_Task3_Images" / "word_1.png")
    assert content("ic13", tmp_path) == IC13_WORDS
    source = open_source("ic13", str(tmp_path), "test")
    source.check()
    assert source.read(0) == b"bytes" and source.location(0).endswith("Challenge2_Test_Task3_Images/word_1.png")
    assert content("ic13", tmp_path / "Challenge2_Test_Task3_GT.txt") == IC13_WORDS


def test_ic13_images_beside_the_file_as_the_model_zoo_wanted(tmp_path):
    put(tmp_path / "Challenge2_Test_Task3_GT.txt", IC13)
    put(tmp_path / "word_1.png", "beside")
    assert open_source("ic13", str(tmp_path), "test").read(0) == b"beside"


def test_ic13_splits_in_one_folder(tmp_path):
    put(tmp_path / "Challenge2_Test_Task3_GT.txt", 'word_1.png, "test"')
    put(tmp_path / "Challenge2_Training_Task3_Images_GT" / "gt.txt", 'word_1.png, "train"')
    assert content("ic13", tmp_path, "train") == [("word_1.png", "train")]
    assert content("ic13", tmp_path, "test") == [("word_1.png", "test")]
    assert content("ic13", tmp_path / "Challenge2_Training_Task3_Images_GT") == [("word_1.png", "train")]


@pytest.mark.parametrize("line, reason", [
    ('word_2.png, "open', "expected path, comma and word in quotes"),
    ("word_2.png", "expected path"), ('word_2.png, "', "expected path, comma and word in quotes"),
    ('../word_2.png, "x"', "climbs out"), (', "x"', "path of the image")])
def test_ic13_bad_line_is_named(tmp_path, line, reason):
    put(tmp_path / "gt.txt", f'word_1.png, "ok"\n{line}\n')
    with pytest.raises(DataError, match=f"gt.txt, line 2: .*{reason}"):
        content("ic13", tmp_path)


def test_ic15_reads_its_own_file(tmp_path):
    put(tmp_path / "Challenge4_Test_Task3_GT.txt", '\ufeffword_1.png, "JOINT"\r\nword_2.png, "$4.00, or"')
    put(tmp_path / "ch4_test_word_images_gt" / "word_1.png")
    put(tmp_path / "ch4_training_word_images_gt" / "gt.txt", '\ufeffword_1.png, "[06]"')
    assert content("ic15", tmp_path) == [("word_1.png", "JOINT"), ("word_2.png", "$4.00, or")]
    assert open_source("ic15", str(tmp_path), "test").read(0) == b"bytes"
    assert content("ic15", tmp_path, "train") == [("word_1.png", "[06]")]


@pytest.mark.parametrize("name", ["ic03", "ic13", "ic15", "svt", "svtp", "cute80", "iiit5k", "list"])
def test_folder_and_annotation(tmp_path, name):
    put(tmp_path / "annotation.txt", "a.png,WORD\nb.png\ttwo, words\n")
    assert content(name, tmp_path) == [("a.png", "WORD"), ("b.png", "two, words")]
    source = open_source(name, str(tmp_path), "test")
    assert source.name == name and source.lexicon_names() == ()
    put(tmp_path / "lexicon_50.txt", "a.png\tWORD\tOTHER\n")
    assert source.lexicon_names() == ("50",) and source.lexicon("50", 0) == ["WORD", "OTHER"]
    with pytest.raises(DataError, match="lexicon_50.txt has no lexicon for b.png"):
        source.lexicon("50", 1)
    with pytest.raises(DataError, match=f"{name}: there is no 'full' lexicon"):
        source.shared_lexicon("full")
    put(tmp_path / "x" / "labels.tsv", "a.png\tWORD\n")
    assert content(name, tmp_path / "x") == [("a.png", "WORD")]


def test_list_forms(tmp_path):
    put(tmp_path / "rec_gt_train.txt", "train/word 1.jpg\tGenaxis Theatre\ntrain/2.png\ta,b\r\n")
    put(tmp_path / "rec_gt_test.txt", "test/1.png JOINT\n\ntest/2 x.JPEG 62-03, b\ntest/3.v1.jpg   x.png\n")
    assert content("list", tmp_path, "train") == [("train/word 1.jpg", "Genaxis Theatre"), ("train/2.png", "a,b")]
    assert content("list", tmp_path) == [("test/1.png", "JOINT"), ("test/2 x.JPEG", "62-03, b"),
                                         ("test/3.v1.jpg", "x.png")]
    assert content("list", tmp_path / "rec_gt_train.txt")[1] == ("train/2.png", "a,b")
    with pytest.raises(DataError, match="holds no annotation.txt; expected .*labels.tsv"):
        content("list", tmp_path, "val")


def test_validation_list_while_training(tmp_path):
    told = []
    put(tmp_path / "annotation.txt", "a.png\tall\n")
    put(tmp_path / "rec_gt_test.txt", "t.png\ttest\n")
    assert evaluation_split("list", str(tmp_path), told.append) == "test"
    assert len(told) == 1 and "has no validation list (rec_gt_val.txt, val_list.txt, val.txt)" in told[0]
    put(tmp_path / "rec_gt_val.txt", "v.png\tval\n")
    assert evaluation_split("list", str(tmp_path), told.append) == "val"
    assert content("list", tmp_path, "val") == [("v.png", "val")] and content("list", tmp_path) == [("a.png", "all")]
    assert evaluation_split("list", str(tmp_path / "rec_gt_test.txt"), told.append) == "test"
    assert evaluation_split("synth", str(tmp_path), told.append) == "val"
    assert evaluation_split("svt", str(tmp_path), told.append) == "test" and len(told) == 1
    put(tmp_path / "unfinished.txt")
    with pytest.raises(DataError, match="unfinished conversion"):
        content("list", tmp_path, "val")


@pytest.mark.parametrize("line", ["a.jpg", "word", "a.jpg\tb\tc", "a.jpg ", "../a.jpg word"])
def test_list_bad_line_is_named(tmp_path, line):
    put(tmp_path / "gt.txt", f"a.jpg\tok\n{line}\n")
    with pytest.raises(DataError, match="gt.txt, line 2: "):
        content("list", tmp_path)


def test_svt_annotation_of_the_model_zoo(tmp_path):
    put(tmp_path / "annotation_train.txt", "img/14_03_0_LIVING.jpg,LIVING,1\nimg/14_03_1_ROOM.jpg,ROOM,0\n")
    put(tmp_path / "lexicon_ann_train.txt", "ROOM,BAR\nLIVING,INN\n")
    assert content("svt", tmp_path) == [("img/14_03_0_LIVING.jpg", "LIVING"), ("img/14_03_1_ROOM.jpg", "ROOM")]
    source = open_source("svt", str(tmp_path), "test")
    assert source.lexicon_names() == ("50",) and source.shared_lexicon("50") is None
    assert source.lexicon("50", 0) == ["LIVING", "INN"] and source.lexicon("50", 1) == ["ROOM", "BAR"]
    put(tmp_path / "lexicon_ann_train.txt", "ROOM,BAR\n")
    with pytest.raises(DataError, match="has no line 2, wanted for img/14_03_0_LIVING.jpg"):
        open_source("svt", str(tmp_path), "test").lexicon("50", 0)


def test_svt_folder_of_crops_of_the_model_zoo(tmp_path):
    for name in ("14_03_0_LIVING.jpg", "02_01_11_7TH.jpg", "notes.md"):
        put(tmp_path / name)
    assert content("svt", tmp_path) == [("02_01_11_7TH.jpg", "7TH"), ("14_03_0_LIVING.jpg", "LIVING")]
    assert open_source("svt", str(tmp_path), "test").read(0) == b"bytes"
    assert open_source("svt", str(tmp_path), "test").lexicon_names() == ()
    put(tmp_path / "street.jpg")
    with pytest.raises(DataError, match="street.jpg does not end in a number and a word"):
        content("svt", tmp_path)
    with pytest.raises(DataError, match="holds no annotation.txt"):
        put(tmp_path / "x" / "street.jpg")
        content("svt", tmp_path / "x")


def test_genuine_lists(shared_data):
    words = content("ic15", shared_data / "ic15_train", "train")
    assert len(words) == 4468 and words[0] == ("images/word_1.jpg", "Genaxis Theatre")
    assert sum(word.isalnum() for _, word in words) == 4056
    source = open_source("svt", str(shared_data / "svt1_train_crops" / "labels.tsv"), "train")
    source.check()
    assert len(source) == 257 and source.text(0) == "LIVING"


def test_genuine_mjsynth_samples(tmp_path, shared_data):
    folder = shared_data / "mjsynth"
    names = [line.split("\t") for line in (folder / "samples/labels.tsv").read_text().splitlines()]
    (tmp_path / "lexicon.txt").symlink_to((folder / "lexicon.txt").resolve())
    (tmp_path / "images").symlink_to((folder / "samples/images").resolve())
    rows = [name.rsplit("_", 1)[1].removesuffix(".jpg") for name, _ in names]
    lines = [f"./{name} {row}\n" for (name, _), row in zip(names, rows, strict=True)]
    put(tmp_path / "annotation_test.txt", "".join(lines))
    dataset = create_dataset("synth", str(tmp_path), 4, is_training=False)
    batches = list(dataset)
    assert sum((batch.text for batch in batches), []) == [word for _, word in names] and len(names) == 15
    assert not dataset.corrupted and all(batch.image.std() > 0.1 for batch in batches)
