"""Reading a data set with a network: the one loop behind eval.py, eval_onnx.py and the evaluation while training."""
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace

import numpy as np

from src.common.charset import Charset
from src.distributed.ranks import ALONE, Ranks
from src.metric import EvalResult, evaluate_readings
from src.reading.decode import Reading

Forward = Callable[[np.ndarray], np.ndarray]
"""Maps images (N, 3, 32, W) float32 to class scores (T, N, class_num)."""
Decoder = Callable[..., list[Reading]]
"""Maps class scores (T, N, class_num), and lexicons where there are any, to N readings."""
Lexicons = Callable[[np.ndarray], list[list[str]] | None]
"""Maps the numbers of N samples to the lexicon of each, or to None where the decoder has one for all."""


def network_forward(net, batch_size: int) -> Forward:
    """Wraps a MindSpore network as a plain function on arrays.

    The graph is compiled for one batch size; a smaller batch is filled up and the surplus cut off again, so that a
    ragged last batch costs no second compilation.

    Args:
        net: a CRNN; it is put into evaluation mode at every call.
        batch_size: the size of full batches.
    """
    from mindspore import Tensor

    def forward(images: np.ndarray) -> np.ndarray:
        count = len(images)
        if count < batch_size:
            images = np.concatenate([images, np.zeros((batch_size - count, *images.shape[1:]), images.dtype)])
        training = net.training
        net.set_train(False)
        try:
            return net(Tensor(images)).asnumpy()[:, :count].astype(np.float32)
        finally:
            net.set_train(training)

    return forward


def read_batches(forward: Forward, batches: Iterable, decoder: Decoder,
                 lexicons: Lexicons | None = None) -> Iterator[tuple]:
    """Yields each batch with its readings: ``(Batch, list[Reading])``."""
    for batch in batches:
        logits = forward(batch.image)
        yield batch, decoder(logits) if lexicons is None else decoder(logits, lexicons(batch.index))


def evaluate(forward: Forward, batches: Iterable, decoder: Decoder, charset: Charset,
             on_batch: Callable[[object, list[Reading]], None] | None = None,
             lexicons: Lexicons | None = None, ranks: Ranks = ALONE) -> EvalResult:
    """Reads every word of a data set and compares it with its truth.

    Several ranks share the words; each gets the result of all of them, the same as that of one process.

    Args:
        forward: the network.
        batches: yields batches with ``image`` and ``text``, every sample once; with several ranks, this one's, which
            also have ``index`` and ``reference``.
        decoder: class scores to readings.
        charset: for the protocol's normalisation.
        on_batch: called with each batch and its readings (progress, printing, saving); with several ranks, once with
            all words, in their order.
        lexicons: the words among which each image is to be read; see ``src.reading.selection``.
        ranks: the processes that share the words.
    """
    truths: list[str] = []
    readings: list[Reading] = []
    rows: list[tuple] = []
    for batch, found in read_batches(forward, batches, decoder, lexicons):
        truths.extend(batch.text)
        readings.extend(found)
        if not ranks.is_alone:
            rows += [(int(index), reference, text, reading.text, reading.confidence) for index, reference, text, reading
                     in zip(batch.index, batch.reference, batch.text, found, strict=True)]
        elif on_batch is not None:
            on_batch(batch, found)
    if not ranks.is_alone:
        rows = sorted(tuple(row) for part in ranks.gather(rows) for row in part)
        truths = [row[2] for row in rows]
        readings = [Reading(text, confidence) for *_, text, confidence in rows]
        if on_batch is not None:
            on_batch(SimpleNamespace(index=[row[0] for row in rows], reference=[row[1] for row in rows], text=truths),
                     readings)
    return evaluate_readings(truths, readings, charset)
