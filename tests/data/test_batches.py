"""Batches: order, shards, resuming, corrupted images, threads."""
import threading
import weakref

import numpy as np
import pytest

from src.common.errors import DataError
from src.dataset import create_dataset
from tests.word_sets import config, evaluate, indices, make_set, same, train


@pytest.mark.parametrize("batch_size", [1, 16, 64, 70, 100])
def test_evaluation_gives_every_sample_once_in_order(good, batch_size):
    dataset = evaluate(good, batch_size)
    batches = list(dataset)
    assert len(batches) == dataset.get_dataset_size() == -(-70 // batch_size)
    assert sum(indices(batches), []) == list(range(70)) and dataset.num_samples == 70
    assert [len(batch) for batch in batches][:-1] == [batch_size] * (len(batches) - 1)
    assert sum((batch.text for batch in batches), []) == [f"word{i}" for i in range(70)]


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_shards_share_the_training_set_out(good, shards):
    datasets = [train(good, 4, shards, rank) for rank in range(shards)]
    steps = 70 // shards // 4
    assert {dataset.get_dataset_size() for dataset in datasets} == {steps}
    left_out = []
    for epoch in range(3):
        batches = [indices(dataset.epoch(epoch)) for dataset in datasets]
        assert all(len(b) == 4 for rank in batches for b in rank) and {len(rank) for rank in batches} == {steps}
        seen = [i for rank in batches for b in rank for i in b]
        assert len(seen) == len(set(seen)) == steps * 4 * shards
        left_out.append(set(range(70)) - set(seen))
        assert len(left_out[-1]) == datasets[0].report.remainder == 70 - steps * 4 * shards
    assert left_out[0] != left_out[1] or not left_out[0]


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_share_the_evaluation_set_out(good, shards):
    seen = [i for rank in range(shards) for b in indices(evaluate(good, 8, shards, rank)) for i in b]
    assert sorted(seen) == list(range(70))


def test_order_depends_on_seed_and_epoch_only(good):
    first = indices(train(good).epoch(2))
    assert first == indices(train(good).epoch(2))
    assert first != indices(train(good).epoch(1)) and first != indices(train(good, seed=4).epoch(2))
    assert sum(first, []) != sorted(sum(first, []))
    dataset = train(good)
    assert [indices(dataset), indices(dataset)] == [indices(dataset.epoch(0)), indices(dataset.epoch(1))]


def shift(image, rng):
    return np.roll(image, int(rng.integers(0, 30)), 1)


@pytest.mark.parametrize("path", ["good", "damaged"])
@pytest.mark.parametrize("batch_size", [4, 7])
def test_threads_and_resuming_change_nothing(request, path, batch_size):
    path = request.getfixturevalue(path)
    reference = list(train(path, batch_size, 2, 1, shift, num_parallel_workers=1).epoch(5))
    for workers, start in ((3, 0), (8, 0), (2, 1), (3, len(reference) - 1), (1, len(reference))):
        resumed = list(train(path, batch_size, 2, 1, shift, num_parallel_workers=workers).epoch(5, start))
        assert len(resumed) == len(reference) - start
        for a, b in zip(reference[start:], resumed, strict=True):
            same(a, b)


def test_augmentation_is_per_sample_and_epoch_and_only_in_training(good):
    rolls = {}

    def record(image, rng):
        rolls.setdefault(image.tobytes(), []).append(int(rng.integers(0, 2**40)))
        return image
    dataset = train(good, 70, augment=record)
    list(dataset.epoch(0)), list(dataset.epoch(0)), list(dataset.epoch(1))
    assert all(len(draws) == 3 and draws[0] == draws[1] != draws[2] for draws in rolls.values())
    assert len({draws[0] for draws in rolls.values()}) == len(rolls) == 70
    calls = []
    list(create_dataset("iiit5k", good, 16, is_training=False, config=config(), augment=calls.append))
    assert not calls


def test_corrupted_images_are_left_out_of_the_evaluation(damaged, capfd):
    dataset = evaluate(damaged, 16)
    batches = list(dataset.epoch())
    assert sum(indices(batches), []) == [i for i in range(70) if i not in (5, 20, 21, 47)]
    assert sorted(dataset.corrupted) == sorted(["2/5.jpg", "2/20.png", "0/21.jpg", "2/47.jpg"])
    list(dataset.epoch())
    error = capfd.readouterr().err
    assert len(dataset.corrupted) == 4
    for name in ("5.jpg: not a readable image", "20.png: not a readable image", "21.jpg: the image is empty",
                 "47.jpg: cannot be read: No such file"):
        assert error.count(name) == 1
    assert sum(indices(evaluate(damaged, 1)), []) == sum(indices(batches), [])


def test_corrupted_images_are_replaced_by_left_over_samples_in_training(damaged):
    dataset = train(damaged, 12)  # 5 batches, 10 samples left over
    replaced = 0
    for epoch in range(6):
        order = dataset.order(epoch)
        seen = indices(dataset.epoch(epoch))
        assert [len(b) for b in seen] == [12] * 5
        for step, batch in enumerate(seen):
            planned = order[step * 12:step * 12 + 12].tolist()
            readable = [i for i in planned if i not in (5, 20, 21, 47)]
            assert batch[:len(readable)] == readable
            assert set(batch[len(readable):]) <= set(order[60:].tolist()) - {5, 20, 21, 47}
            replaced += 12 - len(readable)
    assert replaced > 5 and sorted(dataset.corrupted) == ["0/21.jpg", "2/20.png", "2/47.jpg", "2/5.jpg"]
    assert dataset.repeated == 0


def test_corrupted_images_with_nothing_left_over(damaged):
    shards = [train(damaged, 7, 2, rank) for rank in range(2)]
    for rank in shards:
        batches, order = indices(rank.epoch(0)), rank.order(0).tolist()
        assert [len(b) for b in batches] == [7] * 5
        assert all(len(set(b)) == 7 for b in batches)
        for step, batch in enumerate(batches):
            # Its own samples, then those that follow in the order, from the start again after the last.
            ahead = order[step * 7:] + order[:step * 7]
            assert batch == [i for i in ahead if i not in (5, 20, 21, 47)][:7]
    assert sum(rank.repeated for rank in shards) == 4


def test_two_threads_may_meet_the_same_corrupted_image(damaged, capfd):
    dataset = evaluate(damaged)
    dataset.samples.note(5, "reason")
    dataset.samples.note(5, "reason")
    assert dataset.corrupted == ["2/5.jpg"] and capfd.readouterr().err == "warning: skipped reason\n"


def test_no_image_can_be_read(tmp_path):
    path = make_set(tmp_path / "d", 8, broken=range(8))
    for dataset in (evaluate(path, 4), train(path, 4)):
        with pytest.raises(DataError, match="iiit5k: too few images can be read, [48] cannot; the first: .*/d/.*: "):
            list(dataset)
    for name in (tmp_path / "d").glob("*/*"):
        name.unlink()
    with pytest.raises(DataError, match="images are not below"):
        evaluate(path)


def test_start_step_out_of_range(good):
    for epoch, start in ((-1, 0), (0, -1), (0, 5)):
        with pytest.raises(ValueError, match="start_step"):
            train(good).epoch(epoch, start)


def crnn_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("crnn-data")]


def test_leaving_early_ends_the_threads(good):
    iterator = evaluate(good, 1, num_parallel_workers=4).epoch()
    next(iterator)
    assert crnn_threads()
    iterator.close()
    assert not crnn_threads()
    for _ in train(good, 2):
        break
    assert not crnn_threads()


def test_trouble_in_a_thread_reaches_the_caller(good):
    def fail(image, rng):
        raise ZeroDivisionError("in the augmentation")
    with pytest.raises(ZeroDivisionError, match="in the augmentation"):
        list(train(good, augment=fail))
    assert not crnn_threads()
    dataset = evaluate(good)

    def no_handles(i):
        raise OSError(24, "Too many open files")
    dataset.source.read = no_handles
    with pytest.raises(OSError, match="Too many open files"):
        list(dataset)
    assert not dataset.corrupted and not crnn_threads()


def test_only_a_few_batches_are_alive(good):
    alive, most = weakref.WeakValueDictionary(), 0
    dataset = evaluate(good, 1, num_parallel_workers=2)
    make = dataset._make

    def tracked(order, epoch, step):
        batch = make(order, epoch, step)
        alive[step] = batch
        return batch
    dataset._make = tracked
    for batch in dataset:
        most = max(most, len(alive))
        del batch
    assert 0 < most <= 2 + 2 + 1
