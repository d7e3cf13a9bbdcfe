"""Variable width: how images are fitted and padded, and how batches of one width come about."""
import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError
from src.data.preprocess import InputSpec, read_image, resize, to_batch, width_for_steps
from src.dataset import create_dataset
from src.network.description import num_steps
from tests.word_sets import config, indices, same

WIDTHS = "40, 64, 100, 200"
SPEC = InputSpec(widths=(40, 64, 100, 200))


def make(folder, ratios, words=None, broken=()):
    """A data set of images 32 high and of the given widths in units of the height."""
    folder.mkdir()
    lines = []
    for i, ratio in enumerate(ratios):
        image = np.random.default_rng(i).integers(0, 256, (32, max(1, round(32 * ratio)), 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        if i in broken:
            (folder / f"{i}.png").write_text("no image")
        lines.append(f"{i}.png,{words[i] if words else f'w{i}'}\n")
    (folder / "annotation.txt").write_text("".join(lines))
    return str(folder)


def dataset(path, batch_size=8, is_training=False, **keys):
    keys = {"keep_ratio": True, "bucket_widths": WIDTHS, **keys}
    return create_dataset("iiit5k", path, batch_size, is_training=is_training, config=config(**keys))


def test_the_least_width_for_ctc_steps():
    for steps in range(1, 200):
        width = width_for_steps(steps)
        assert num_steps(width) >= steps > num_steps(width - 1)


def test_spec_from_the_configuration():
    assert InputSpec.from_config(None) == InputSpec() and not InputSpec().keep_ratio
    assert InputSpec.from_config(config(image_width=160)) == InputSpec(32, 160)
    assert InputSpec.from_config(config(bucket_widths=WIDTHS)).widths == ()
    assert InputSpec.from_config(config(keep_ratio=True, bucket_widths=WIDTHS)).widths == SPEC.widths
    assert InputSpec.from_config(config(keep_ratio=True)).widths == (64, 100, 160, 256, 512)
    assert InputSpec.from_config(config(keep_ratio=True, image_width=10)).widths == (8, 16, 24, 52)  # two are 8
    assert InputSpec.from_config(config(keep_ratio=True, bucket_widths="5, 64")).widths == (5, 64)
    for widths in ("64, 64", "100, 64", "4, 64"):
        with pytest.raises(ConfigError, match="must rise and begin with 5 or more"):
            InputSpec.from_config(config(keep_ratio=True, bucket_widths=widths))
    with pytest.raises(ConfigError, match="expected whole numbers"):
        InputSpec.from_config(config(keep_ratio=True, bucket_widths="64, x"))


@pytest.mark.parametrize("shape, fitted", [((32, 50), 50), ((64, 100), 50), ((16, 25), 50), ((31, 47), 49),
                                           ((99, 1), 1), ((32, 1000), 200), ((10, 70), 200)])
def test_ratio_is_kept_up_to_the_largest_width(shape, fitted):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    result = resize(image, SPEC)
    assert result.shape == (32, fitted, 3)
    np.testing.assert_array_equal(result, cv2.resize(image, (fitted, 32), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_array_equal(resize(result, SPEC), result)


def test_padding_repeats_the_last_column():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, width, 3), np.uint8) for width in (30, 64, 51)]
    batch = to_batch(images, SPEC)
    assert batch.shape == (3, 3, 32, 64) and batch.flags.c_contiguous
    for image, planes in zip(images, batch, strict=True):
        expected = np.concatenate([image, np.repeat(image[:, -1:], 64 - image.shape[1], axis=1)], axis=1)
        np.testing.assert_allclose(planes, (expected.transpose(2, 0, 1) - 127.5) / 127.5, atol=1e-6)
    assert to_batch(images, SPEC, 65).shape[3] == 100 and to_batch(images, SPEC, 999).shape[3] == 200
    assert to_batch([], SPEC).shape == (0, 3, 32, 40) and to_batch(images[:1], SPEC).shape == (1, 3, 32, 40)


def test_evaluation_reads_every_image_once_at_its_own_width(tmp_path):
    ratios = np.random.default_rng(1).uniform(0.1, 9, 90)
    path = make(tmp_path / "d", ratios, broken=[5, 60])
    data = dataset(path, 8)
    batches = list(data)
    assert sorted(sum(indices(batches), [])) == [i for i in range(90) if i not in (5, 60)]
    assert len(data.corrupted) == 2 and data.squeezed == (np.round(32 * np.delete(ratios, [5, 60])) > 200).sum() > 0
    assert data.get_dataset_size() <= len(batches) <= data.get_dataset_size() + 3
    assert {batch.image.shape[3] for batch in batches} == set(SPEC.widths)
    for batch in batches:
        assert len(batch) <= 8
        for image, i, text in zip(batch.image, batch.index, batch.text, strict=True):
            assert text == f"w{i}"
            # The width of an image does not depend on its neighbours in the batch.
            np.testing.assert_array_equal(image, to_batch([read_image(f"{path}/{i}.png")], SPEC)[0])
    for width in SPEC.widths:
        sizes = [len(batch) for batch in batches if batch.image.shape[3] == width]
        assert sizes[:-1] == [8] * (len(sizes) - 1)
    for a, b in zip(batches, dataset(path, 8, num_parallel_workers=5), strict=True):
        same(a, b)
    for a, b in zip(batches[3:], dataset(path, 8).epoch(0, 3), strict=True):
        same(a, b)


def test_training_batches(tmp_path):
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 20, 300)
    words = ["".join(rng.choice(list("abcdefgh"), length)) for length in lengths]
    path = make(tmp_path / "d", lengths * 0.35, words, broken=[7])
    data = dataset(path, 8, True, seed=5)
    epochs = [list(data.epoch(epoch)) for epoch in (0, 1)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [8] * 37
        seen = sum(indices(batches), [])
        assert len(set(seen)) >= 294 and 7 not in seen
        spread = [np.ptp(batch.label_length) for batch in batches]
        assert np.mean(spread) < 4  # 19 letters apart without sorting
        order = [batch.label_length.max() for batch in batches]
        assert order != sorted(order) and order != sorted(order, reverse=True)
    assert indices(epochs[0]) != indices(epochs[1])
    for a, b in zip(epochs[1][30:], dataset(path, 8, True, seed=5, num_parallel_workers=4).epoch(1, 30), strict=True):
        same(a, b)
    assert {batch.image.shape[3] for batch in epochs[0]} <= set(SPEC.widths)


def test_training_batches_are_wide_enough_for_ctc(tmp_path):
    # Narrow images with long words: 20 letters and 19 repeats need 39 steps.
    path = make(tmp_path / "d", [1] * 16, ["a" * 20] * 16)
    data = dataset(path, 8, True)
    assert data.report.used == 16 and data.report.steps == num_steps(200)
    for batch in data:
        assert batch.image.shape[3] == 200 and num_steps(200) >= 39 > num_steps(100)
    assert {batch.image.shape[3] for batch in dataset(path)} == {40}  # evaluation does not look at the words


def test_shards_share_an_epoch(tmp_path):
    path = make(tmp_path / "d", [1] * 64)
    parts = [create_dataset("iiit5k", path, 8, 2, shard, True, config(keep_ratio=True)) for shard in (0, 1)]
    seen = [sum(indices(part.epoch(3)), []) for part in parts]
    assert sorted(seen[0] + seen[1]) == list(range(64)) and len(seen[0]) == 32
