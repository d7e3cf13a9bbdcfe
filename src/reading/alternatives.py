"""The next best readings of an image, for people who want to see what else it could have been."""
import numpy as np

from src.common.charset import Charset
from src.reading import ctc
from src.reading.beam import BeamDecoder, prefix_beam_search
from src.reading.lexicon_decoder import LexiconDecoder
from src.reading.reading import Decoder, Reading

# Prefixes kept for each text that is wanted, and at least; so many that the best texts are found.
_WIDTH_FOR_EACH, _LEAST_WIDTH = 4, 16


def next_best(logits: np.ndarray, charset: Charset, reading: Reading, count: int, decoder: Decoder,
              temperature: float = 1.0) -> list[Reading]:
    """The most probable texts beside the one that was read.

    With a lexicon these are words of it, with their shares; with a language model texts in the order of its scores,
    which share what the reading's confidence leaves; otherwise any texts, ordered by the network's own p(text | image).

    Args:
        logits: ``(T, C)`` class scores of one image.
        charset: the classes.
        reading: what was read there; it is left out.
        count: how many are wanted; there may be fewer.
        decoder: what read it.
        temperature: divides the logits.

    Returns:
        Readings, the most probable first.
    """
    logits, width = logits[:, None], max(_LEAST_WIDTH, _WIDTH_FOR_EACH * count)
    if isinstance(decoder, LexiconDecoder):
        found = decoder.ranked(logits)[0]
    elif isinstance(decoder, BeamDecoder) and decoder.language_model is not None:
        others = [other for other in decoder.ranked(logits, width)[0] if other.text != reading.text]
        left = (1 - reading.confidence) / (sum(other.confidence for other in others) or 1.0)
        found = [Reading(other.text, other.confidence * left) for other in others]
    else:
        em = ctc.emissions(logits, charset.class_num, temperature)
        labels, lengths = (part[0] for part in prefix_beam_search(em.log_probs(), width)[:2])
        log_p = ctc.text_log_probability(em, np.zeros(len(lengths), np.int64), labels, lengths)
        texts = charset.split_text(labels[np.arange(labels.shape[1]) < lengths[:, None]], lengths)
        order = np.argsort(-log_p, kind="stable")
        found = [Reading(texts[i], min(float(np.exp(log_p[i])), 1.0)) for i in order if log_p[i] > -np.inf]
    return [other for other in found if other.text != reading.text][:count]
