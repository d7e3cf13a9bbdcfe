"""The same seed gives the same run, bit for bit, however the images reach it and however the disk lists its files."""
import os

import pytest

from src.data.image_files import find_images
from src.data.lmdb_source import find_databases
from tests.training.test_resume import assert_same_end, data, run, whole  # noqa: F401 - fixtures, and what they need


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--loader=processes", "--num_parallel_workers=2"),
                                     ("--num_parallel_workers=4",)], ids=["again", "processes", "threads"])
def test_the_same_seed_gives_the_same_run(data, whole, tmp_path, options):  # noqa: F811
    code, losses = run(data, tmp_path, *options)
    assert code == 0 and losses == whole[0]
    assert_same_end(tmp_path, whole)


@pytest.mark.slow
def test_another_seed_gives_another_run(data, whole, tmp_path):  # noqa: F811
    _, losses = run(data, tmp_path, "--seed=8", "--epoch_size=1")
    assert losses[0] != whole[0][0]


def test_the_order_of_files_on_the_disk_does_not_matter(tmp_path, monkeypatch):
    for name in ("b/2.png", "b/10.png", "a/1.png", "c.jpg", "d/data.mdb", "a/e/data.mdb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    walk = os.walk

    def turned(path, **options):
        for place, folders, files in walk(path, **options):
            folders.reverse()
            yield place, folders, files[::-1]

    images, databases = find_images([str(tmp_path)]), find_databases(str(tmp_path))
    assert len(images) == 4 and len(databases) == 2
    monkeypatch.setattr(os, "walk", turned)
    assert find_images([str(tmp_path)]) == images and find_databases(str(tmp_path)) == databases
