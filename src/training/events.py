"""The run as events for TensorBoard: `tensorboard --logdir output/tensorboard`."""
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

NAME = "tensorboard"
TAGS = {"loss": "train/loss", "learning_rate": "train/learning_rate", "gradient_norm": "train/gradient_norm",
        "images_per_second": "train/images_per_second", "skipped_steps": "train/skipped_steps",
        "accuracy": "validation/accuracy", "cer": "validation/cer"}
"""Names of the curves by column of ``metrics.csv``."""
READINGS = "validation/readings"


class Events:
    """Writes one file of events into the folder ``tensorboard`` of a run.

    Written at once and by this thread, so that an error is seen where it happens and nothing waits in a queue.

    Args:
        folder: the run's.
        goes_on: an earlier part of the run wrote here; what it wrote after ``start`` is crossed out. Otherwise an
            earlier run's folder becomes ``tensorboard.previous``.
        start: steps that were done before.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, folder: Path, goes_on: bool = False, start: int = 0) -> None:
        place = folder / NAME
        if place.exists() and not goes_on:
            earlier = place.with_name(f"{NAME}.previous")
            shutil.rmtree(earlier, ignore_errors=True)
            place.replace(earlier)
        place.mkdir(parents=True, exist_ok=True)
        # The number keeps two parts of a run apart that begin within one second.
        self._writer = EventsWriter(str(place / "events"), f".{len(list(place.iterdir()))}")
        if goes_on:
            self._write(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def add_row(self, row: Mapping[str, str]) -> None:
        """Writes the numbers of a row of ``metrics.csv``; empty ones have no event."""
        values = [Summary.Value(tag=tag, simple_value=float(row[name])) for name, tag in TAGS.items() if row.get(name)]
        self._write(Event(step=int(row["step"]), summary=Summary(value=values)))

    def add_picture(self, step: int, picture: np.ndarray) -> None:
        """Writes a picture of sample readings, (H, W, 3) uint8 BGR."""
        height, width = picture.shape[:2]
        image = Summary.Image(height=height, width=width, colorspace=3,
                              encoded_image_string=cv2.imencode(".png", picture)[1].tobytes())
        self._write(Event(step=step, summary=Summary(value=[Summary.Value(tag=READINGS, image=image)])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        self._writer.flush()
