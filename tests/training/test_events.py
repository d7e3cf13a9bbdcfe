"""TensorBoard's events of a run: what is in them, going on, faults; read by TensorBoard itself in the slow test."""
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from src.data.batches import Batch
from src.reading.reading import Reading
from src.training.events import READINGS, TAGS
from src.training.records import Metrics
from src.training.sample_readings import SampleReadings


def events(folder):
    """The events of all files in the order of writing, taken out of the records by their length fields."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir(), key=lambda path: int(path.suffix[1:])):
        data, place = path.read_bytes(), 0
        while place < len(data):
            size = struct.unpack_from("<Q", data, place)[0]
            found.append(Event.FromString(data[place + 12:place + 12 + size]))
            place += 16 + size
    return found


def scalars(folder):
    return [(event.step, value.tag, round(value.simple_value, 4)) for event in events(folder)
            for value in event.summary.value if value.HasField("simple_value")]


def short_run(folder, first=1, last=4, **options):
    with Metrics(folder, 2, 10, events=True, **options) as metrics:
        metrics.sample_sheet = lambda: np.full((50, 90, 3), (10, 20, 200), np.uint8)
        for done in range(first, last + 1):
            metrics.note_step(done, 1, False, 2.0 * done, 0.5, 3.0, skipped=done == 2)
        metrics.note_evaluation(last, 1, SimpleNamespace(accuracy=0.25, cer=0.5))
        return metrics.where()


def test_the_numbers_of_the_table_and_a_picture(tmp_path):
    where = short_run(tmp_path)
    assert where == (f"the run is in {tmp_path}: log.txt, metrics.csv, curves.png; to look at its curves: tensorboard "
                     f"--logdir={tmp_path / 'tensorboard'}")
    found = [item for item in scalars(tmp_path) if item[1] != TAGS["images_per_second"]]
    assert found == [(2, "train/loss", 2.0), (2, "train/learning_rate", 0.5), (2, "train/gradient_norm", 3.0),
                     (2, "train/skipped_steps", 1.0), (4, "train/loss", 7.0), (4, "train/learning_rate", 0.5),
                     (4, "train/gradient_norm", 3.0), (4, "train/skipped_steps", 1.0),
                     (4, "validation/accuracy", 0.25), (4, "validation/cer", 0.5)]
    assert {item[1] for item in scalars(tmp_path)} == {*TAGS.values()}
    (picture,) = [value.image for event in events(tmp_path) for value in event.summary.value if value.tag == READINGS]
    image = cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (picture.height, picture.width, 3) == (50, 90, 3) and tuple(image[0, 0]) == (10, 20, 200)


def test_going_on_crosses_out_what_is_done_again_and_a_new_run_begins_anew(tmp_path):
    short_run(tmp_path)
    short_run(tmp_path, 3, 6, goes_on=True, start=2)
    (again,) = [event for event in events(tmp_path) if event.session_log.status == SessionLog.START]
    assert again.step == 3
    assert [step for step, tag, _ in scalars(tmp_path) if tag == "train/loss"] == [2, 4, 4, 6]
    for _ in range(2):
        short_run(tmp_path)
    assert len([*(tmp_path / "tensorboard").iterdir()]) == 1
    assert len([*(tmp_path / "tensorboard.previous").iterdir()]) == 1


def test_faults_are_told_once_and_training_goes_on(tmp_path, capsys, monkeypatch):
    (tmp_path / "tensorboard").mkdir()
    full = OSError(28, "No space")
    monkeypatch.setattr("src.training.records.Events.add_row", lambda *_: (_ for _ in ()).throw(full))
    short_run(tmp_path)
    message = f"warning: {tmp_path / 'tensorboard'} cannot be written (No space); training goes on without it"
    assert capsys.readouterr().err.splitlines() == [message]
    monkeypatch.setattr("src.training.records.Events.__init__", lambda *_: (_ for _ in ()).throw(OSError(13, "Denied")))
    where = short_run(tmp_path)
    assert capsys.readouterr().err.count("cannot be written (Denied)") == 1 and "tensorboard" not in where


def test_one_key_turns_it_off(tmp_path):
    with Metrics(tmp_path, 1, 10, events=False) as metrics:
        metrics.note_step(1, 1, True, 1.0, 0.5, 3.0, False)
    assert not (tmp_path / "tensorboard").exists()


def test_sample_readings_are_the_first_words_of_an_evaluation():
    samples = SampleReadings(127.5, 127.5)
    assert samples.sheet() is None
    level = np.linspace(-1, 1, 20, dtype=np.float32)
    batches = [Batch(np.tile(level[first:first + 10, None, None, None], (1, 3, 32, 100)), np.zeros((10, 4), np.int32),
                     np.full(10, 4, np.int32), ["word"] * 10, [f"{number}.png" for number in range(first, first + 10)],
                     np.arange(first, first + 10)) for first in (0, 10)]
    for batch in samples.watch(batches):
        samples.note(batch.reference, ["word"] * 10, [Reading("word", 1.0)] * 10)
    sheet = samples.sheet()
    assert sheet.shape[0] == 4 * (64 + 58 + 10) + 10, "16 words in four rows"
    assert tuple(sheet[40, 100]) == (0, 0, 0), "the darkest one comes first"


@pytest.mark.slow
def test_tensorboard_reads_them(tmp_path):
    pytest.importorskip("tensorboard", reason="needs `pip install tensorboard==2.21.0`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short_run(tmp_path)
    short_run(tmp_path, 3, 6, goes_on=True, start=2)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {*found.Tags()["scalars"]} == {*TAGS.values()} and found.Tags()["images"] == [READINGS]
    assert [event.step for event in found.Scalars("train/loss")] == [2, 4, 6]
    assert found.Scalars("validation/accuracy")[-1].value == pytest.approx(0.25)
    assert (found.Images(READINGS)[-1].width, found.Images(READINGS)[-1].height) == (90, 50)
