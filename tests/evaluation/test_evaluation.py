"""The evaluation loop: the same class scores at any batch size, and every word once."""
import json
import threading

import mindspore as ms
import numpy as np
import pytest

from src.common.charset import Charset
from src.data.batches import Batch
from src.distributed.ranks import Ranks
from src.evaluation import loop
from src.evaluation.loop import evaluate
from src.network.forward import network_forward
from src.reading.reading import Reading
from src.reading.selection import Decoding
from src.recogniser import Recogniser
from tests.network.test_crnn import seeded_network

COUNT = 10


def test_class_scores_do_not_depend_on_the_batch_size():
    ms.set_context(mode=ms.GRAPH_MODE)
    net = seeded_network("V2")
    images = np.random.default_rng(5).uniform(-1, 1, (COUNT, 3, 32, 100)).astype(np.float32)
    expected = net(ms.Tensor(images)).asnumpy()
    assert np.abs(expected[:, :1] - expected[:, 1:]).max(axis=(0, 2)).min() > 0.01, "images alike would prove nothing"
    for size in (1, 4, 16):
        forward = network_forward(net, size)
        found = [forward(images[first:first + size]) for first in range(0, COUNT, size)]
        np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-5)


@pytest.mark.parametrize(("singly", "computed"), [(False, [8, 8, 8]), (True, [8, 8, 1])])
def test_an_image_alone_is_not_filled_up_where_asked(singly, computed):
    sizes = []

    class Network:
        training = False

        def set_train(self, mode):
            pass

        def __call__(self, images):
            sizes.append(len(images))
            return ms.Tensor(np.zeros((24, len(images), 37), np.float32))

    forward = network_forward(Network(), 8, singly)
    for count in (8, 3, 1):
        assert forward(np.zeros((count, 3, 32, 100), np.float32)).shape == (24, count, 37)
    assert sizes == computed


def test_a_recogniser_reads_an_image_alone(monkeypatch, pretrained):
    """With a checkpoint, too: filled up to 64 it took 64 times as long."""
    asked = []
    monkeypatch.setattr("src.network.trained.network_forward", lambda net, size, singly=False: asked.append(singly))
    Recogniser(pretrained, device_target="CPU")
    assert asked == [True]


def test_forward_gives_training_mode_back():
    net = seeded_network("V2").set_train(True)
    network_forward(net, 2)(np.zeros((1, 3, 32, 100), np.float32))
    assert net.training


@pytest.mark.parametrize("size", [1, 3, 10])
def test_every_word_is_counted_once(size):
    words = [f"word{n}" for n in range(COUNT)]
    batches = []
    for first in range(0, COUNT, size):
        index, own = np.arange(first, min(first + size, COUNT)), words[first:first + size]
        batches.append(Batch(index, np.zeros((len(own), 1)), np.zeros(len(own)), own, own, index))
    seen = []
    result = evaluate(lambda images: images, batches,
                      Decoding(lambda numbers: [Reading(f"WORD{n}" if n != 3 else "else", 1.0) for n in numbers], ""),
                      Charset("abcdefghijklmnopqrstuvwxyz0123456789"),
                      lambda references, truths, readings: seen.extend(truths))
    assert (result.correct, result.total) == (9, 10) and seen == words


class Threads(Ranks):
    """Ranks that are threads of this process; what they gather goes through JSON, as between processes."""

    def gather(self, value):
        self.posts[self.rank] = json.dumps(value)
        self.messages.append(len(value) if isinstance(value, list) else 1)
        self.barrier.wait(30)
        found = [json.loads(text) for text in self.posts]
        self.barrier.wait(30)
        return found


@pytest.mark.parametrize("shares", [[[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]], [[], list(range(10)), []], [[], [], []]])
def test_ranks_send_what_they_read_to_the_first_in_pieces(monkeypatch, shares):
    monkeypatch.setattr(loop, "ROWS", 2)
    charset, words = Charset("abcdefghijklmnopqrstuvwxyz0123456789"), [f"word{n}" for n in range(COUNT)]
    decoding = Decoding(lambda numbers: [Reading(f"WORD{n}" if n != 3 else "else", 1 / (n + 2)) for n in numbers], "")

    def batches(numbers):
        for n in numbers:
            yield Batch(np.array([n]), np.zeros((1, 1)), np.zeros(1), [words[n]], [f"key{n}"], np.array([n]))

    def at_rank(rank, numbers):
        one = Threads(rank, len(shares))
        found[rank] = evaluate(lambda images: images, batches(numbers), decoding, charset,
                               lambda references, truths, readings: seen.append((rank, references, truths)), one)

    monkeypatch.setattr(Threads, "posts", [""] * len(shares), raising=False)
    monkeypatch.setattr(Threads, "barrier", threading.Barrier(len(shares)), raising=False)
    monkeypatch.setattr(Threads, "messages", [], raising=False)
    found, seen = [None] * len(shares), []
    threads = [threading.Thread(target=at_rank, args=pair) for pair in enumerate(shares)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    alone = evaluate(lambda images: images, batches(sorted(sum(shares, []))), decoding, charset)
    assert found == [alone] * len(shares) and alone.total == len(sum(shares, []))
    assert seen == [(0, [f"key{n}" for n in range(alone.total)], words[:alone.total])], "told once, in the first alone"
    assert max(Threads.messages) <= 2, "no message of more than ROWS words"
