"""Mixing parts of a set with given shares, and batches of words of similar length."""
import collections

import cv2
import numpy as np
import pytest

from convert_lmdb import main
from src.common.errors import ConfigError
from src.data.order import group_by_length, mixture, parse_mixture
from src.dataset import create_dataset
from tests.word_sets import config, indices, make_set

PARTS = [("MJ/train", 0, 60), ("MJ/valid", 60, 80), ("ST", 80, 100)]


def test_parse():
    assert parse_mixture("MJ:0.5,ST:0.5") == {"MJ": 0.5, "ST": 0.5}
    assert parse_mixture(" MJ/train/ : 3 , a:b : 1") == {"MJ/train": 0.75, "a:b": 0.25}
    for text in ("MJ", "MJ:", ":1", "MJ:0,ST:1", "MJ:-1", "MJ:nan", "MJ:inf", "MJ:1,MJ:2", "MJ:1,,ST:1", ","):
        with pytest.raises(ConfigError, match="expected each part once with a share above 0"):
            parse_mixture(text)


def test_shares_are_kept_and_every_sample_comes_equally_often():
    kept = np.array([i for i in range(100) if i % 10])  # 54 + 18 + 18
    chosen, mix = mixture("ST:0.5,MJ:0.5", PARTS, kept)
    assert len(chosen) == len(mix) == 90 and sorted(chosen) == kept.tolist()
    drawn = [chosen[mix.draw(np.random.default_rng(seed))] for seed in range(3)]
    for order in drawn:
        count = collections.Counter(order.tolist())
        assert len(order) == 90 and sum(n for i, n in count.items() if i >= 80) == 45
        assert {count[i] for i in kept[kept >= 80]} == {2, 3} and max(count[i] for i in range(80)) == 1
        # Shuffled through: neither half holds one part alone.
        assert 10 < (order[:45] >= 80).sum() < 35
    assert not np.array_equal(drawn[0], drawn[1]) and set(drawn[0]) != set(drawn[1])
    np.testing.assert_array_equal(drawn[0], chosen[mix.draw(np.random.default_rng(0))])
    assert mix.summary() == "mixed 50 % ST (18), 50 % MJ (72)"
    chosen, mix = mixture("MJ/valid:1", PARTS, kept)
    assert chosen.tolist() == [i for i in range(60, 80) if i % 10]
    assert sorted(mix.draw(np.random.default_rng(0))) == list(range(18))


@pytest.mark.parametrize("text, message", [
    ("M:1", "there is no part M; parts: MJ/train, MJ/valid, ST"), ("MJ:1,MJ/valid:1", "MJ/valid and MJ both hold"),
    ("MJ/valid:1", "nothing of MJ/valid can be trained on")])
def test_wrong_names(text, message):
    with pytest.raises(ConfigError, match=message):
        mixture(text, PARTS, np.arange(10))


def test_group_by_length():
    rng = np.random.default_rng(0)
    order, length = rng.permutation(1000), rng.integers(1, 20, 1000)
    result = group_by_length(order, length, 12, np.random.default_rng(1))
    assert sorted(result) == list(range(1000)) and not np.array_equal(result, order)
    np.testing.assert_array_equal(result[996:], order[996:])
    of = dict(zip(order.tolist(), length.tolist(), strict=True))
    rows = [[of[i] for i in row] for row in result[:996].reshape(-1, 12).tolist()]
    assert np.mean([max(row) - min(row) for row in rows]) < 2
    longest = [max(row) for row in rows[:32]]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))
    assert set(result[:384]) == set(order[:384])  # a window of 32 batches
    assert group_by_length(order[:5], length[:5], 12, rng).tolist() == order[:5].tolist()


def test_lmdb_training_with_shares(tmp_path):
    for name, count in (("MJ", 64), ("ST", 16), ("other", 8)):
        folder = make_set(tmp_path / f"set_{name}", count)
        assert main(["-d", "iiit5k", "-p", folder, "-o", str(tmp_path / "all" / name)]) == 0
    path = str(tmp_path / "all")
    data = create_dataset("lmdb", path, 8, config=config(train_mix="MJ:1,ST:1"))
    assert (data.report.used, data.report.total, data.report.unmixed, data.get_dataset_size()) == (80, 88, 8, 10)
    assert "80 of 88 words used for training; mixed 50 % MJ (64), 50 % ST (16); 8 in parts" in data.report.summary()
    for epoch in (0, 1):
        batches = list(data.epoch(epoch))
        seen = np.array(sum(indices(batches), []))
        assert len(seen) == 80 and (seen < 64).sum() == 40 and seen.max() < 80
        for batch in batches:
            for image, i, reference in zip(batch.image, batch.index, batch.reference, strict=True):
                name, number = ("MJ", i) if i < 64 else ("ST", i - 64)
                assert reference == f"{name}:image-{number + 1:09d}"
                assert image.shape == (3, 32, 100)
    plain = create_dataset("lmdb", path, 8, config=config())
    assert sorted(sum(indices(plain), [])) == list(range(88)) and plain.report.mixture == ""
    with pytest.raises(ConfigError, match="train_mix 'a:1' is for lmdb, not for iiit5k"):
        create_dataset("iiit5k", str(tmp_path / "set_MJ"), 8, config=config(train_mix="a:1"))
    evaluation = create_dataset("lmdb", path, 8, is_training=False, config=config(train_mix="a:1"))
    assert evaluation.num_samples == 88 and cv2.imread(str(tmp_path / "set_MJ/0/0.png")) is not None
