"""The picture of a training batch."""
import cv2
import numpy as np
import pytest

import train as train_program
from src.common.charset import Charset
from src.common.errors import DataError
from src.data.preprocess import InputSpec, to_batch
from src.data.show_batch import input_images, show_batch
from src.dataset import create_dataset
from tests.word_sets import CHARACTERS, config, make_set


def test_input_becomes_pictures_again():
    spec = InputSpec(32, 60)
    images = [np.random.default_rng(i).integers(0, 256, (32, 60, 3), dtype=np.uint8) for i in range(3)]
    for image, shown in zip(images, input_images(to_batch(images, spec), spec), strict=True):
        np.testing.assert_array_equal(image, shown)


def fed(path, width, keep_ratio):
    """What the network should be fed of a file, (32, width, 3)."""
    image = cv2.imread(path)
    own = round(32 * image.shape[1] / image.shape[0]) if keep_ratio else width
    return np.pad(cv2.resize(image, (own, 32)), ((0, 0), (0, width - own), (0, 0)), mode="edge")


@pytest.mark.parametrize("keep_ratio", [False, True])
def test_what_is_drawn_is_the_first_batch(tmp_path, keep_ratio):
    folder = make_set(tmp_path / "set", 40)
    dataset = create_dataset("iiit5k", folder, 13, config=config(keep_ratio=keep_ratio))
    path = tmp_path / "new" / "batch.png"
    assert show_batch(dataset, Charset(CHARACTERS), str(path)) == 13
    picture = cv2.imread(str(path))
    rows, columns = picture.shape[0] // 64, picture.shape[1] // 190
    assert (rows, columns) == (3, 6) and picture.shape == (3 * 64, 6 * 190, 3)
    cells = picture.reshape(rows, 64, columns, 190, 3).swapaxes(1, 2).reshape(-1, 64, 190, 3)
    assert (cells[13:] == 255).all()
    batch = next(iter(dataset.epoch(0)))
    width = batch.image.shape[3]
    assert (width == 100) == (not keep_ratio), "the first batch is one of another width than 100"
    images = [fed(f"{folder}/{name}", width, keep_ratio) for name in batch.reference]
    captions = set()
    for number, cell in enumerate(cells[:13]):
        # The images are grey at the top and at the left, the sheet is white around them.
        drawn = cell[2:2 + (cell[2:46, 2, 0] < 255).sum(), 2:2 + (cell[2, 2:, 0] < 255).sum()]
        assert drawn.shape[1] / drawn.shape[0] == pytest.approx(width / 32, rel=0.03), "not distorted"
        back = cv2.resize(drawn, (width, 32)).astype(int)
        distances = [np.abs(back - image).mean() for image in images]
        assert np.argmin(distances) == number and distances[number] < 4
        captions.add((cell[48:, :, 0] < 128).tobytes())
    assert len(captions) == 13, "each has its own word below"


def test_train_draws_and_ends(tmp_path, capsys, monkeypatch):
    path = tmp_path / "batch.png"
    words = ["--train_dataset=iiit5k", f"--train_dataset_path={make_set(tmp_path / 'set', 40)}", "--batch_size=8",
             "--augment=strong", f"--show_batch={path}", f"--output_dir={tmp_path / 'out'}"]
    monkeypatch.setattr("src.training.run.build_trainer", lambda *_: pytest.fail("it trains"))
    assert train_program.main(words) == 0
    assert "8 images of the first batch" in capsys.readouterr().out
    assert cv2.imread(str(path)) is not None and not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="must end in .png or .jpg"):
        train_program.main([*words, "--show_batch=x"])


def test_what_a_resumed_run_would_be_fed(tmp_path, monkeypatch):
    from src.crnn import build_network
    from src.network.checkpoint import write_checkpoint

    path, seen = tmp_path / "wide.ckpt", []
    write_checkpoint(path, build_network("V2", 37, hidden_size=8), {"label_dict": CHARACTERS, "image_width": 160})
    monkeypatch.setattr("src.training.preview.show_batch", lambda dataset, *_: seen.append(dataset.spec.width))
    words = make_set(tmp_path / "set", 20)
    for options in ([], [f"--resume_ckpt={path}"]):
        train_program.main(["--train_dataset=iiit5k", f"--train_dataset_path={words}", "--batch_size=8",
                            "--show_batch=x.png", "--device_target=CPU", *options])
    assert seen == [100, 160]
