"""The evaluation loop: the same class scores at any batch size, and every word once."""

import mindspore as ms
import numpy as np
import pytest

from src.common.charset import Charset
from src.data.batches import Batch
from src.evaluation.loop import evaluate
from src.network.forward import network_forward
from src.reading.reading import Reading
from src.reading.selection import Decoding
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
