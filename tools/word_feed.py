"""Words drawn without end by worker processes, as input-sized images and labels, for tools/train_twin.py.

A worker is a plain subprocess that writes chunks of bytes to its standard output; it needs numpy, OpenCV and Pillow.
"""
import contextlib
import math
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.common.charset import Charset, required_steps
from src.common.errors import CRNNError
from src.data.preprocess import InputSpec, resize
from src.network.description import num_steps
from src.render import FontFace, RenderStyle, WordRenderer
from src.render.words import plan_words

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 256  # images a worker hands over at a time
CHARSET = Charset("abcdefghijklmnopqrstuvwxyz0123456789")


@dataclass(frozen=True)
class Layout:
    """Sizes of images and labels.

    Attributes:
        width: columns of an image.
    """

    width: int = InputSpec().width

    @property
    def spec(self) -> InputSpec:
        """How a drawn word becomes an image."""
        return InputSpec(width=self.width)

    @property
    def columns(self) -> int:
        """Columns of the labels: the network's time steps, no longer word can be written in them."""
        return num_steps(self.width)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        return self.spec.height, self.width, 3


NARROW = Layout()
"""100 columns, as in default_config.yaml."""


@dataclass(frozen=True)
class Words:
    """What the images show.

    Attributes:
        lexicon: distinct words.
        rows: (M,) int32, the lexicon row of image number i is ``rows[i % M]``.
    """

    lexicon: list[str]
    rows: np.ndarray


@dataclass(frozen=True)
class Chunk:
    """Images with their labels.

    Attributes:
        images: (n, 32, width, 3) uint8 BGR.
        labels: (n, steps of the network) uint8 class indices, padded with the blank.
        lengths: (n,) uint8.
    """

    images: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def is_feasible(word: str, layout: Layout = NARROW) -> bool:
    """Whether all characters are in the charset and CTC can write the word in the network's steps."""
    return not CHARSET.unknown(word) and required_steps(CHARSET.encode(word)) <= layout.columns


def plan_feed(words: Iterable[str] | None, count: int, validation: int, seed: int, digits_ratio: float = 0.1,
              strings_share: float = 0.05, layout: Layout = NARROW, codes_ratio: float = 0.09) -> tuple[Words, Words]:
    """Chooses the words of training and validation images; no lexicon word is in both.

    Args:
        words: lexicon; ``None`` takes the English word list of the project.
        count: training images after which the words come again (the images differ all the same).
        validation: images for validation.
        seed: of all choices.
        digits_ratio: share of images that show a number.
        strings_share: share of training images that show random letters and digits.
        layout: what the network can write.
        codes_ratio: share of images that show what is in no dictionary, see :func:`plan_words`.
    """
    if words is not None:
        words = [word for word in words if is_feasible(word, layout)]
    plan = plan_words(words, {"train": count, "val": validation}, seed=seed, digits_ratio=digits_ratio,
                      codes_ratio=min(codes_ratio, 1 - digits_ratio))
    lexicon, rows = list(plan.lexicon), plan.rows["train"]
    if strings_share:
        strings = plan_words(None, {"train": max(1, round(count * strings_share))}, seed=seed, random_strings=True,
                             digits_ratio=0, max_length=12)
        rows = np.concatenate([rows[:count - len(strings.rows["train"])], strings.rows["train"] + len(lexicon)])
        lexicon += strings.lexicon
    able = np.array([is_feasible(word, layout) for word in lexicon])
    held_out = plan.rows["val"][able[plan.rows["val"]]]
    rows = np.random.default_rng((seed, 5)).permutation(rows[able[rows]])
    return Words(lexicon, rows.astype(np.int32)), Words(lexicon, held_out.astype(np.int32))


def draw_chunk(renderer: WordRenderer, words: Words, first: int, count: int = CHUNK,
               layout: Layout = NARROW) -> Chunk:
    """Draws the images with the numbers from ``first`` on."""
    images = np.empty((count, *layout.image_shape), np.uint8)
    labels = np.full((count, layout.columns), CHARSET.blank, np.uint8)
    spec = layout.spec
    lengths = np.empty(count, np.uint8)
    for place in range(count):
        number = first + place
        text, data = renderer.encode(words.lexicon[words.rows[number % len(words.rows)]], number)
        images[place] = resize(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), spec)
        classes = CHARSET.encode(text)
        labels[place, :len(classes)], lengths[place] = classes, len(classes)
    return Chunk(images, labels, lengths)


def work() -> None:
    """Body of a worker: its share of the words comes in on standard input, chunks go out until nobody reads them."""
    cv2.setNumThreads(1)
    setup, words, first, step, layout = pickle.load(sys.stdin.buffer)
    renderer, out = WordRenderer(*setup), sys.stdout.buffer
    try:
        while True:
            chunk = draw_chunk(renderer, words, first, layout=layout)
            for array in (chunk.images, chunk.labels, chunk.lengths):
                out.write(array.data)
            out.flush()
            first += step
    except (BrokenPipeError, KeyboardInterrupt):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class WordFeed:
    """Worker processes and one thread each that takes what they draw.

    Args:
        style: of the words.
        fonts: faces to draw with.
        words: what to draw.
        workers: processes.
        seed: of the images.
        first: number of the first image; a resumed run goes on where it was.
        layout: sizes of images and labels.
    """

    def __init__(self, style: RenderStyle, fonts: list[FontFace], words: Words, workers: int, seed: int,
                 first: int = 0, layout: Layout = NARROW):
        self._layout = layout
        self._queue: queue.Queue[Chunk | None] = queue.Queue(2 * workers)
        self._closed = False
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tools.word_feed import work; work()"
        self._processes: list[subprocess.Popen] = []
        self._threads: list[threading.Thread] = []
        for number in range(workers):
            # A session of their own: Ctrl-C reaches the training program alone, which then ends them.
            process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)
            self._processes.append(process)
            setup = ((style, fonts, seed), words, first + number * CHUNK, workers * CHUNK, layout)
            self._threads.append(threading.Thread(target=self._follow, args=(process, setup), daemon=True))
            self._threads[-1].start()

    def _follow(self, process: subprocess.Popen, setup: tuple) -> None:
        """Sends a worker its setup and takes its chunks."""
        layout = self._layout
        split = CHUNK * math.prod(layout.image_shape)
        try:
            pickle.dump(setup, process.stdin)
            process.stdin.close()
            while True:
                data = np.empty(split + CHUNK * (layout.columns + 1), np.uint8)
                if process.stdout.readinto(data) < len(data):
                    break
                images, labels, lengths = np.split(data, [split, split + CHUNK * layout.columns])
                self._queue.put(Chunk(images.reshape(CHUNK, *layout.image_shape),
                                      labels.reshape(CHUNK, layout.columns), lengths))
        except (OSError, ValueError):
            pass  # the pipe was closed; whether it should have been is for `take` to say
        if not self._closed:
            self._queue.put(None)

    def take(self, wait: bool) -> Chunk | None:
        """The next chunk; None where there is none yet and ``wait`` is false.

        Raises:
            CRNNError: a worker ended.
        """
        try:
            chunk = self._queue.get(wait, 180 if wait else None)
        except queue.Empty:
            if not wait:
                return None
            raise CRNNError("the drawing processes gave no image for 3 minutes: use fewer --workers") from None
        if chunk is None:
            raise CRNNError("a drawing process ended, see its message above")
        return chunk

    def close(self) -> None:
        """Ends the workers and their threads and closes the pipes between them; chunks not taken yet are gone."""
        self._closed = True
        for process in self._processes:
            process.kill()
        for process, thread in zip(self._processes, self._threads, strict=False):
            process.wait()
            while thread.is_alive():  # it may wait for a place in the queue
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._queue.get_nowait()
                thread.join(0.02)
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what the worker was still to get cannot be written any more
                    pipe.close()
