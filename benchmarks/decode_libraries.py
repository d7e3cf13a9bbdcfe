"""Beam search of other libraries for bench_decode.py, as far as they are installed: pip install NAME."""
import contextlib
import io
import logging
from collections.abc import Callable

import numpy as np

from src.common.charset import Charset
from src.reading import ctc
from src.reading.reading import Reading

PACKAGES = ("fast-ctc-decode", "flashlight-text", "pyctcdecode")
Read = Callable[[np.ndarray], list[Reading]]


def installed(charset: Charset, beam_width: int) -> dict[str, Read]:
    """Name -> decoder of logits (T, N, C); the confidence is not filled in."""
    found = {}
    for make in (fast_ctc_decode, flashlight_text, pyctcdecode):
        # kenlm, which pyctcdecode asks for, is for language models only.
        with contextlib.suppress(ImportError), contextlib.redirect_stdout(io.StringIO()):
            found[f"{make.__name__.replace('_', '-')}, beam {beam_width}"] = make(charset, beam_width)
    return found


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """``(N, T, C)`` float32, one contiguous block for each image."""
    em = ctc.emissions(logits, logits.shape[2])
    return np.ascontiguousarray(em.log_probs().transpose(1, 0, 2), np.float32)


def fast_ctc_decode(charset: Charset, beam_width: int) -> Read:
    """The Rust library of Oxford Nanopore."""
    from fast_ctc_decode import beam_search
    alphabet = ["", *charset.characters]

    def read(logits: np.ndarray) -> list[Reading]:
        probs = np.roll(np.exp(log_probabilities(logits)), 1, axis=2)  # the blank comes first there
        return [Reading(beam_search(p, alphabet, beam_size=beam_width, beam_cut_threshold=0.0)[0], 0.0) for p in probs]

    return read


def flashlight_text(charset: Charset, beam_width: int) -> Read:
    """The C++ library behind torchaudio's decoder, without lexicon and language model."""
    from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM
    classes, blank = charset.class_num, charset.blank
    options = LexiconFreeDecoderOptions(beam_size=beam_width, beam_size_token=classes, beam_threshold=1e9,
                                        lm_weight=0.0, sil_score=0.0, log_add=True, criterion_type=CriterionType.CTC)
    model = ZeroLM()
    decoder = LexiconFreeDecoder(options, model, blank, blank, [])

    def read(logits: np.ndarray) -> list[Reading]:
        readings = []
        for log_p in log_probabilities(logits):
            frames = np.array(decoder.decode(log_p.ctypes.data, *log_p.shape)[0].tokens[1:len(log_p) + 1])
            labels, _ = ctc.best_path(frames[:, None], blank)
            readings.append(Reading(charset.decode(labels), 0.0))
        return readings

    return read


def pyctcdecode(charset: Charset, beam_width: int) -> Read:
    """The Python library that speech recognisers use, without its pruning of frames."""
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    from pyctcdecode import build_ctcdecoder
    decoder = build_ctcdecoder([*charset.characters, ""])

    def read(logits: np.ndarray) -> list[Reading]:
        return [Reading(decoder.decode(log_p, beam_width, beam_prune_logp=-100.0, token_min_logp=-100.0), 0.0)
                for log_p in log_probabilities(logits)]

    return read
