"""Reading a data set with a network: the one loop behind eval.py, eval_onnx.py and the evaluation while training."""
from collections.abc import Callable, Iterable, Sequence

from src.common.charset import Charset
from src.data.batches import Batch
from src.distributed.ranks import ALONE, Ranks
from src.metric import EvalResult, evaluate_readings
from src.reading.reading import Forward, Reading
from src.reading.selection import Decoding

OnWords = Callable[[Sequence[str], Sequence[str], Sequence[Reading]], None]
"""Told about words that were read: the path or key of each image, the words as annotated, the readings."""
ROWS = 4096
"""Words of one rank in a message to the first."""


def evaluate(forward: Forward, batches: Iterable[Batch], decoding: Decoding, charset: Charset,
             on_words: OnWords | None = None, ranks: Ranks = ALONE) -> EvalResult:
    """Reads every word of a data set and compares it with its truth.

    Several ranks share the words; each gets the result of all of them, the same as that of one process.

    Args:
        forward: the network.
        batches: every sample once; with several ranks, this one's.
        decoding: class scores to readings.
        charset: for the protocol's normalisation.
        on_words: called after each batch (progress, printing, saving); with several ranks, in the first of them alone,
            once with all words, in their order.
        ranks: the processes that share the words. What they read goes to the first in messages of ``ROWS`` words at
            most, and no other keeps it, so that millions of words cost no memory in each of many ranks.
    """
    truths: list[str] = []
    readings: list[Reading] = []
    rows: list[tuple] = []
    for batch in batches:
        found = decoding(forward(batch.image), batch.index)
        truths.extend(batch.text)
        readings.extend(found)
        if not ranks.is_alone:
            rows += [(int(index), reference, text, reading.text, reading.confidence) for index, reference, text, reading
                     in zip(batch.index, batch.reference, batch.text, found, strict=True)]
        elif on_words is not None:
            on_words(batch.reference, batch.text, found)
    if ranks.is_alone:
        return evaluate_readings(truths, readings, charset)
    result = None
    rows = _to_first(rows, ranks)
    if ranks.is_first:
        truths = [row[2] for row in rows]
        readings = [Reading(text, confidence) for *_, text, confidence in rows]
        if on_words is not None:
            on_words([row[1] for row in rows], truths, readings)
        result = evaluate_readings(truths, readings, charset).to_dict()
    return EvalResult.from_dict(ranks.gather(result)[0])


def _to_first(rows: list[tuple], ranks: Ranks) -> list[tuple]:
    """The rows of all ranks in the first of them, in order; none in the others."""
    found = []
    for start in range(0, max(ranks.gather(len(rows))), ROWS):
        parts = ranks.gather(rows[start:start + ROWS])
        if ranks.is_first:
            found += [tuple(row) for part in parts for row in part]
    return sorted(found)
