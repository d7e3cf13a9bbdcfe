"""long_width: which images it is for, their batches in evaluation, and that training does not know it."""
import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError
from src.data.preprocess import InputSpec, read_image, resize, to_batch
from src.dataset import create_dataset
from tests.data.test_keep_ratio import make
from tests.word_sets import config, indices

SPEC = InputSpec(long_width=200)


@pytest.mark.parametrize("shape, width", [((32, 223), 100), ((32, 224), 200), ((32, 100), 100), ((10, 70), 200),
                                          ((10, 69), 100), ((99, 1), 100), ((32, 900), 200)])
def test_images_seven_times_as_wide_as_high_are_long(shape, width):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(resize(image, SPEC), cv2.resize(image, (width, 32), interpolation=cv2.INTER_LINEAR))
    assert to_batch([image], SPEC).shape == (1, 3, 32, width)
    np.testing.assert_array_equal(resize(image, InputSpec()), cv2.resize(image, (100, 32)))


def test_one_batch_has_one_width():
    images = [np.zeros((32, width, 3), np.uint8) for width in (100, 300)]
    with pytest.raises(ValueError, match="must have one width"):
        to_batch(images, SPEC)
    assert to_batch(images, InputSpec()).shape == (2, 3, 32, 100)
    assert to_batch([], SPEC).shape == (0, 3, 32, 100)


def test_spec_from_the_configuration():
    assert InputSpec.from_config(config(long_width=200)) == SPEC and SPEC.all_widths == (100, 200)
    assert InputSpec.from_config(config(image_width=160)).all_widths == (160,)
    for keys in ({"long_width": 100}, {"long_width": 50}, {"long_width": 200, "image_width": 250},
                 {"long_width": 2000, "keep_ratio": True}):
        with pytest.raises(ConfigError, match="must be more than image_width"):
            InputSpec.from_config(config(**keys))


@pytest.mark.parametrize("loader", ["threads", "processes"])
def test_evaluation_reads_every_image_once_at_its_own_width(tmp_path, loader):
    ratios = np.random.default_rng(1).uniform(1, 12, 50)
    path = make(tmp_path / "d", ratios, broken=[5])
    batches = list(create_dataset("iiit5k", path, 8, is_training=False,
                                  config=config(long_width=200, loader=loader, num_parallel_workers=2)))
    assert sorted(sum(indices(batches), [])) == [i for i in range(50) if i != 5]
    for batch in batches:
        for image, i in zip(batch.image, batch.index, strict=True):
            np.testing.assert_array_equal(image, to_batch([read_image(f"{path}/{i}.png")], SPEC)[0])
    assert {batch.image.shape[3] for batch in batches} == {100, 200}


def test_training_and_its_words_do_not_change(tmp_path):
    path = make(tmp_path / "d", [3, 9] * 8, ["ab", "a" * 13] * 8)  # 13 equal letters need 25 of the 24 steps
    data = create_dataset("iiit5k", path, 4, is_training=True, config=config(long_width=200))
    assert data.report.used == 8 and {batch.image.shape for batch in data} == {(4, 3, 32, 100)}
    assert create_dataset("iiit5k", path, 4, is_training=False, config=config(long_width=200)).report.steps == 49
