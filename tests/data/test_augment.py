"""Augmentation: one true mapping, effects where asked for, and nothing that depends on threads or resuming."""
import dataclasses
import time

import cv2
import numpy as np
import pytest

from src.common.errors import ConfigError
from src.convert.lmdb_writer import LmdbWriter
from src.data import samples
from src.data.augment import (
    DRAWS,
    PRESETS,
    Augmenter,
    Strengths,
    _rectangle_of_quadrilateral,
    create_augment,
    parse_strengths,
)
from src.data.options import AugmentOptions
from src.data.preprocess import InputSpec, decode_image, resize
from src.dataset import create_dataset
from tests.word_sets import config, make_set, same

SPEC = InputSpec()


def configured(**keys):
    return create_augment(AugmentOptions.from_config(config(**keys)), SPEC)
EFFECTS = [field.name for field in dataclasses.fields(Strengths)]


def smooth(height=40, width=160):
    """A smooth picture, so that a small error of the mapping is a small error of the pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [128 + 100 * np.sin(x / 17 + c) * np.cos(y / 9 - c) for c in range(3)]
    return np.stack(planes, -1).astype(np.uint8)


def word(text="augment", height=48, width=200):
    image = np.full((height, width, 3), (40, 60, 50), np.uint8)
    cv2.putText(image, text, (6, height - 14), cv2.FONT_HERSHEY_DUPLEX, 1.2, (230, 220, 240), 2, cv2.LINE_AA)
    return image


def rng(number):
    return np.random.Generator(np.random.Philox(key=number))


@pytest.mark.parametrize("shape", [(40, 160), (13, 21), (90, 40), (32, 100), (400, 900)])
def test_without_effects_the_mapping_is_the_resizing_of_evaluation(shape):
    image = smooth(*shape)
    result = Augmenter(Strengths(), SPEC)(image, rng(1))
    # cv2.remap rounds places to 1/32 pixel, cv2.resize does not.
    assert np.abs(result.astype(int) - resize(image, SPEC)).max() <= 6
    assert np.abs(result.astype(int) - resize(image, SPEC)).mean() < 0.6


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_does_something_and_only_to_its_share(effect):
    augment = Augmenter(Strengths(**{effect: getattr(PRESETS["strong"], effect)}), SPEC)
    image, plain = word(), resize(word(), SPEC).astype(int)
    changed = np.array([np.abs(augment(image, rng(i)).astype(int) - plain).mean() for i in range(200)])
    share = {"blur": 0.2, "shrink": 0.2, "noise": 0.25, "colour": 0.6, "jpeg": 0.25, "invert": 0.08}.get(effect, 0.5)
    assert abs((changed > 0.5).mean() - share) < 0.12
    assert changed.max() > 2


def test_geometry_keeps_the_word_in_the_picture():
    """A white box around the word stays wholly inside, whatever turns, tilts and bends it."""
    strengths = dataclasses.replace(PRESETS["strong"], crop=0, blur=0, shrink=0, noise=0, colour=0, jpeg=0, invert=0)
    augment = Augmenter(strengths, InputSpec(64, 200))
    image = np.zeros((40, 160, 3), np.uint8)
    image[2:-2, 2:-2] = 255
    for i in range(300):
        result = augment(image, rng(i))
        border = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
        # Bilinear sampling may take a little of the box's edge into the outermost pixels.
        assert np.percentile(border, 90) < 140, i
        assert (result > 128).mean() > 0.3, i


def test_rotation_of_long_words_is_less():
    augment = Augmenter(Strengths(rotation=45), InputSpec(64, 640))
    image = np.zeros((32, 320, 3), np.uint8)
    image[14:18] = 255
    for i in range(100):
        result = augment(image, rng(i))[..., 0]
        columns = np.flatnonzero(result.max(0) > 128)
        left, right = (np.flatnonzero(result[:, c] > 128).mean() for c in (columns[5], columns[-5]))
        assert abs(left - right) / 64 < 0.6


def test_an_image_of_few_pixels_is_spared():
    augment = Augmenter(Strengths(shrink=8), SPEC)
    image = cv2.resize(word(), (42, 10), interpolation=cv2.INTER_AREA)
    plain = resize(image, SPEC).astype(int)
    assert max(np.abs(augment(image, rng(i)).astype(int) - plain).mean() for i in range(60)) < 6


def test_noise_stays_below_the_contrast():
    augment = Augmenter(Strengths(noise=100), SPEC)
    faint = (word() // 32 + 100).astype(np.uint8)
    plain = resize(faint, SPEC)
    assert max((augment(faint, rng(i)).astype(int) - plain).std() for i in range(60)) < 2 * plain.std()


def test_words_stay_readable_by_correlation():
    """Light changes leave the word where it was; strong ones still leave more than noise."""
    plain = resize(word(), SPEC).astype(float).mean(2).ravel()
    for preset, least in (("light", 0.6), ("strong", 0.3)):
        augment = Augmenter(PRESETS[preset], SPEC)
        found = [abs(np.corrcoef(plain, augment(word(), rng(i)).mean(2).ravel())[0, 1]) for i in range(200)]
        assert np.mean(found) > least


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (33000, 2), (32, 40000), (70000, 1)])
def test_odd_shapes(shape):
    for spec in (SPEC, InputSpec(widths=(64, 100, 256))):
        augment = Augmenter(PRESETS["strong"], spec)
        image = np.full((*shape, 3), 77, np.uint8)
        results = [augment(image, rng(i)) for i in range(30)]
        assert all(result.shape[0] == 32 and result.dtype == np.uint8 and result.shape[2] == 3 for result in results)
        assert all(result.shape[1] == 100 or spec.keep_ratio for result in results)


@pytest.mark.parametrize("spec", [SPEC, InputSpec(40, 128), InputSpec(widths=(64, 100, 256))])
def test_images_together_are_changed_as_alone(spec):
    images = [smooth(10 + 3 * i, 40 + 7 * (i % 9)) for i in range(37)]
    draws = np.stack([rng(i).random(DRAWS) for i in range(37)])
    for preset in ("light", "strong"):
        augment = Augmenter(PRESETS[preset], spec)
        alone = [augment(image, rng(i)) for i, image in enumerate(images)]
        for first, last in ((0, 37), (5, 22), (30, 37)):
            for a, b in zip(alone[first:last], augment.several(images[first:last], draws[first:last]), strict=True):
                np.testing.assert_array_equal(a, b)
    assert augment.several([], draws[:0]) == []


def test_projections_are_those_of_opencv():
    random = np.random.default_rng(5)
    for _ in range(50):
        width, height = random.uniform(1, 400, 2)
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
        moved = corners - (width / 2, height / 2) + random.uniform(-0.3, 0.3, (4, 2)) * min(width, height)
        found = np.array(_rectangle_of_quadrilateral(*moved.T[..., None], np.array([width]), np.array([height])))
        expected = cv2.getPerspectiveTransform(moved.astype(np.float32), corners.astype(np.float32))
        np.testing.assert_allclose(found[..., 0], expected, rtol=1e-3, atol=1e-3)


def test_a_loader_and_a_call_change_an_image_alike(tmp_path):
    """What an image gets follows from seed, epoch, place and number, as numpy's own generator gives it."""
    folder = make_set(tmp_path / "set", 40)
    dataset = create_dataset("iiit5k", folder, 8, config=config(augment="strong", seed=7))
    augment, order = dataset.samples.augment, dataset.order(2)
    for step, batch in enumerate(dataset.epoch(2)):
        for i, image in enumerate(batch.image):
            place = 8 * step + i
            number = int(batch.index[i])
            assert number == order[place]
            key = np.array([7 << 32 | 2, place << 32 | number], np.uint64)
            image_of_set = decode_image(dataset.source.read(number))
            expected = augment(image_of_set, np.random.Generator(np.random.Philox(key=key)))
            np.testing.assert_array_equal(np.rint(image * 127.5 + 127.5).transpose(1, 2, 0), expected)


def test_input_is_left_alone():
    image = word()
    before = image.copy()
    for i in range(50):
        Augmenter(PRESETS["strong"], SPEC)(image, rng(i))
    np.testing.assert_array_equal(image, before)


def test_keep_ratio_gives_the_ratio_of_the_box():
    augment = Augmenter(Strengths(colour=0.5), InputSpec(widths=(64, 100, 160, 256)))
    assert {augment(smooth(40, 160), rng(i)).shape for i in range(20)} == {(32, 128, 3)}
    assert augment(smooth(20, 600), rng(0)).shape == (32, 512, 3)


def test_one_effect_does_not_change_the_next():
    with_geometry = Augmenter(Strengths(rotation=10, invert=0.5), SPEC)
    without = Augmenter(Strengths(invert=0.5), SPEC)
    inverted = [[augment(word(), rng(i)).mean() > 128 for i in range(50)] for augment in (with_geometry, without)]
    assert inverted[0] == inverted[1] and 10 < sum(inverted[0]) < 40


def test_batches_do_not_depend_on_how_many_images_are_held(tmp_path, monkeypatch):
    folder = make_set(tmp_path / "set", 40, broken=(5, 20))
    found = []
    for held in (samples._HELD, 0, 30000):
        monkeypatch.setattr(samples, "_HELD", held)
        found.append(list(create_dataset("iiit5k", folder, 8, config=config(augment="light")).epoch(1)))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            same(a, b)


@pytest.mark.parametrize("keep_ratio", [False, True])
def test_batches_depend_neither_on_threads_nor_on_resuming(tmp_path, keep_ratio):
    folder = make_set(tmp_path / "set", 70, broken=(5, 20))

    def batches(start=0, **keys):
        options = config(augment="strong", keep_ratio=keep_ratio, **keys)
        return list(create_dataset("iiit5k", folder, 8, config=options).epoch(3, start))

    reference = batches(num_parallel_workers=1)
    for workers, start in ((3, 0), (2, 5)):
        for a, b in zip(reference[start:], batches(start, num_parallel_workers=workers), strict=True):
            same(a, b)
    other = batches(seed=4)[0]
    assert not np.array_equal(other.image, reference[0].image)


def test_a_word_that_comes_again_in_an_epoch_looks_different(tmp_path):
    for name, count in (("REAL", 4), ("SYNTH", 60)):
        writer = LmdbWriter(str(tmp_path / name), "test")
        for i in range(count):
            writer.add(i, cv2.imencode(".png", word(f"{name[0]}{i}"))[1].tobytes(), f"{name[0]}{i}")
        writer.finish()
    batches = create_dataset("lmdb", str(tmp_path), 8, config=config(train_mix="REAL:0.5,SYNTH:0.5", augment="light"))
    images = {}
    for batch in batches.epoch(0):
        for image, text in zip(batch.image, batch.text, strict=True):
            images.setdefault(text, []).append(image.tobytes())
    repeated = [group for text, group in images.items() if text[0] == "R"]
    assert min(map(len, repeated)) > 4 and all(len(set(group)) == len(group) for group in repeated)


def test_evaluation_is_never_augmented(tmp_path):
    folder = make_set(tmp_path / "set", 20)
    plain, augmented = (next(iter(create_dataset("iiit5k", folder, 8, is_training=False, config=config(augment=name))))
                        for name in ("none", "strong"))
    same(plain, augmented)


def test_settings():
    assert configured() is None and configured(augment="none") is None
    assert configured(augment="light").strengths == PRESETS["light"]
    changed = configured(augment="light", augment_strengths=" rotation: 7.5,jpeg:0 ").strengths
    assert changed == dataclasses.replace(PRESETS["light"], rotation=7.5, jpeg=0)
    assert configured(augment_strengths="curve:0.1").strengths == Strengths(curve=0.1)
    zero = ",".join(f"{name}:0" for name in EFFECTS)
    assert configured(augment="strong", augment_strengths=zero) is None
    for text in ("rotation", "rotation:x", "rotation:-1", "rotation:90", "turn:3", "rotation:1,rotation:2", "jpeg:nan"):
        with pytest.raises(ConfigError, match="augment_strengths"):
            parse_strengths(text, Strengths())
    with pytest.raises(ConfigError, match="augment 'wild': expected one of none, light, strong"):
        configured(augment="wild")


def test_strong_is_stronger_than_light():
    for name in EFFECTS:
        assert 0 < getattr(PRESETS["light"], name) < getattr(PRESETS["strong"], name)


@pytest.mark.slow
def test_cost_of_an_image():
    """12,000 images/s on two cores, decoding and all, leave 160 microseconds of CPU time, about 60 on a free core."""
    augment, images = Augmenter(PRESETS["strong"], SPEC), [word(height=32, width=100)] * 64
    draws = np.random.default_rng(0).random((5, 64, DRAWS))
    rounds = []
    for part in draws:
        start = time.process_time()
        augment.several(images, part)
        rounds.append((time.process_time() - start) / 64)
    assert min(rounds) < 160e-6
