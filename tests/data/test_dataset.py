"""create_dataset: what a batch holds, filters, arguments, MindSpore."""
import os
import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest

from src.common.charset import Charset, required_steps
from src.common.errors import ConfigError, DataError
from src.data.batches import LabelTable
from src.data.preprocess import InputSpec, read_image, to_batch
from src.dataset import create_dataset
from tests.word_sets import CHARACTERS, config, evaluate, indices, make_set, train


def test_batch_holds_what_the_files_hold(good):
    spec = InputSpec()
    for batch in evaluate(good):
        assert batch.image.dtype == np.float32 and batch.image.shape == (len(batch), 3, 32, 100)
        assert batch.label.dtype == batch.label_length.dtype == np.int32 and batch.index.dtype == np.int64
        assert batch.label.shape == (len(batch), 23)
        for row, (index, reference, text) in enumerate(zip(batch.index, batch.reference, batch.text, strict=True)):
            assert text == f"word{index}"
            label = [CHARACTERS.index(c) for c in text]
            assert batch.label[row].tolist() == label + [36] * (23 - len(label))
            assert batch.label_length[row] == len(label)
            image = to_batch([read_image(os.path.join(good, reference))], spec)[0]
            np.testing.assert_array_equal(batch.image[row], image)


def test_without_a_configuration_the_classes_are_those_of_the_model_zoo(good):
    dataset = create_dataset("iiit5k", good, is_training=False)
    batch = next(iter(dataset))
    assert batch.image.shape == (1, 3, 32, 100) and batch.text == ["word0"]
    assert batch.label[0].tolist() == [22, 14, 17, 3, 26] + [36] * 18  # a-z, then 0-9, then the blank


def test_input_size_and_charset_from_the_configuration(good):
    batch = next(iter(evaluate(good, image_width=160, image_height=48, label_dict="drow0123456789", blank=14)))
    assert batch.image.shape[2:] == (48, 160) and batch.label[0].tolist()[:6] == [3, 2, 1, 0, 4, 14]
    with pytest.raises(ConfigError, match="blank 36 must be 14"):
        evaluate(good, label_dict="drow0123456789", blank=36)


def test_filters_count_and_name_what_cannot_be_trained_on(tmp_path):
    words = ["fine", "É-T", "x" * 24, "aabbccddeeffgghh", "b b", "good", "fine", "abcdefghijklmnopqrstuvw", "É-T"]
    path = make_set(tmp_path / "d", words=words)
    dataset = train(path, 2)
    report = dataset.report
    # aabbccddeeffgghh: 16 letters, 8 pairs -> exactly 24 steps, so it stays; one more pair would not.
    assert (report.total, report.used, report.outside_charset, report.too_long, report.infeasible) == (9, 5, 3, 1, 0)
    assert set(report.outside_characters) == {"é", "-", " "}
    assert len(report.examples) == 4 and "'É-T' (outside the charset; 1/1.jpg)" in report.examples
    summary = report.summary()
    assert "5 of 9 words used for training" in summary and "3 with characters outside the charset" in summary
    assert "1 longer than max_text_length 23" in summary and "1 do not fill a batch" in summary
    assert "\n" not in summary
    assert set(sum(indices(dataset), [])) <= {0, 3, 5, 6, 7}
    narrow = train(path, 2, image_width=98).report  # 24 steps: ceil(ceil(98 / 2) / 2) - 1
    assert (narrow.steps, narrow.infeasible) == (24, 0)
    narrow = train(path, 2, image_width=96).report
    assert (narrow.steps, narrow.infeasible, narrow.used) == (23, 1, 4)
    assert "1 that need more than 23 CTC steps" in narrow.summary()
    assert train(path, 2, max_text_length=4).report.too_long == 3


def test_evaluation_drops_nothing_and_cuts_nothing(tmp_path):
    words = ["fine", "É-T", "x" * 30, "abc"]
    dataset = evaluate(make_set(tmp_path / "d", words=words), 3)
    batches = list(dataset)
    assert sum((b.text for b in batches), []) == words
    assert {b.label.shape[1] for b in batches} == {30} and batches[0].label_length.tolist() == [4, 1, 30]
    report = dataset.report
    assert (report.total, report.used, report.outside_charset, report.too_long) == (4, 4, 1, 1)
    assert "4 words (protocol whole: 4 of 4 words count), all evaluated; beyond the network" in report.summary()


def test_nothing_left_to_train_on(tmp_path):
    path = make_set(tmp_path / "d", words=["É", "x" * 40])
    with pytest.raises(DataError, match="0 of 2 words used.*nothing is left to train on"):
        train(path, 1)
    assert sum(len(b) for b in evaluate(path)) == 2


def test_too_little_for_one_batch(good):
    with pytest.raises(DataError, match="70 words are too few for one batch of 36 on each of 2 cards"):
        train(good, 36, 2)


@pytest.mark.parametrize("arguments, message", [
    ({"batch_size": 0}, "batch_size 0"), ({"num_shards": 2, "shard_id": 2}, "shard_id 2"),
    ({"num_shards": 0}, "num_shards"), ({"config": config(num_parallel_workers=-1)}, "num_parallel_workers -1"),
    ({"config": config(max_text_length=0)}, "max_text_length 0"), ({"config": config(image_width=0)}, "image size")])
def test_arguments_out_of_range(good, arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_dataset("iiit5k", good, **arguments)


def test_synth_takes_the_annotation_of_the_purpose(tmp_path):
    path = make_set(tmp_path / "d", 20, layout="synth")
    os.remove(os.path.join(path, "annotation_test.txt"))
    dataset = create_dataset("synth", path, 5, config=config())
    assert sorted(sum(indices(dataset), [])) == list(range(20))
    with pytest.raises(DataError, match="no annotation_test.txt; text files there: annotation_train.txt, lexicon.txt"):
        create_dataset("synth", path, 5, is_training=False)


def test_label_table_equals_the_charset():
    rng = np.random.default_rng(0)
    letters = list("abcABC019-é漢\U0001f600 İ")
    texts = ["".join(rng.choice(letters, rng.integers(0, 9))) for _ in range(500)] + ["", "aabb"]
    for charset in (Charset(CHARACTERS), Charset("cbaABC"), Charset("9漢\U0001f600i̇")):
        table = LabelTable(texts, charset)
        padded = table.padded(np.arange(len(texts)), 20)
        for i, text in enumerate(texts):
            label = charset.encode("".join(c for c in charset.fold(text) if c in charset.characters))
            assert padded[i].tolist() == label.tolist() + [charset.blank] * (20 - len(label))
            assert table.length[i] == len(label) and table.required[i] == required_steps(label)
            assert table.text_length[i] == len(charset.fold(text))
            assert table.outside[i] == table.text_length[i] - len(label)
        used = np.zeros(len(texts), bool)
        used[:40] = True
        outside = {c for text in texts[:40] for c in charset.unknown(text)}
        assert set(table.outside_characters(used)) == outside
    nothing = LabelTable(["漢", ""], Charset("ab"))
    assert nothing.padded(np.array([0, 1]), 3).tolist() == [[2, 2, 2]] * 2


def test_an_iterator_left_open_does_not_keep_the_program_alive(good, repo):
    code = ("import sys; from src.dataset import create_dataset\n"
            f"it = iter(create_dataset('iiit5k', {good!r}, 1, is_training=False)); next(it)\n"
            "print('mindspore' in sys.modules)")
    result = subprocess.run([sys.executable, "-c", code], cwd=repo, timeout=180, capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout.strip() == "False", result.stderr


def _with_empty_words(tmp_path, kind):
    words = ["word0", "", "word2", "###", "word4", "  ", "word6", "word7"]
    if kind == "lmdb":
        environment = lmdb.open(str(tmp_path / "d"), map_size=1 << 22)
        with environment.begin(write=True) as transaction:
            for i, word in enumerate(words, 1):
                image = cv2.imencode(".png", np.full((20, 50, 3), 9 * i, np.uint8))[1].tobytes()
                transaction.put(b"image-%09d" % i, image)
                transaction.put(b"label-%09d" % i, word.encode())
            transaction.put(b"num-samples", b"8")
        environment.close()
        return str(tmp_path / "d")
    return make_set(tmp_path / "d", words=words, layout="synth" if kind == "synth" else "iiit5k")


@pytest.mark.parametrize("kind", ["lmdb", "list", "iiit5k", "synth", "svtp"])
def test_words_without_text(tmp_path, kind):
    """One rule for all sources: left out of training, counted and named; evaluation counts them, too."""
    path = _with_empty_words(tmp_path, kind)
    dataset = create_dataset(kind, path, 1, config=config(label_dict=CHARACTERS + "#"))
    assert (dataset.report.total, dataset.report.used, dataset.report.without_text) == (8, 5, 3)
    summary = dataset.report.summary()
    assert "5 of 8 words used for training" in summary and "left out: 3 without text (empty, or ###)" in summary
    assert "'###' (without text; " in summary and "'' (without text; " in summary
    assert all((batch.label_length > 0).all() for batch in dataset.epoch())
    evaluation = create_dataset(kind, path, 3, is_training=False, config=config())
    assert sum(map(len, evaluation)) == 8 and "3 without text" in evaluation.report.summary()
