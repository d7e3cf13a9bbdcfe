"""Reading samples from several threads."""
import sys
import threading
import time

import numpy as np

from src.data.preprocess import InputSpec
from src.data.samples import SampleReader


class Source:
    def reference(self, number):
        return str(number)


class SlowStream:
    """A standard error on which every write lets the other threads go first."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        time.sleep(0.01)
        self.text += text


def test_warnings_of_threads_keep_their_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := SlowStream())
    reader = SampleReader(Source(), np.arange(4), InputSpec(), 1, None)
    threads = [threading.Thread(target=reader.note, args=(number, f"image {number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stream.text.splitlines()) == [f"warning: skipped image {number}" for number in range(4)]
