"""What a decoder makes of an image, and the forms of network, decoder and lexicons that all programs share."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Forward = Callable[[np.ndarray], np.ndarray]
"""A network: maps images (N, 3, 32, W) float32 to class scores (T, N, class_num)."""


@dataclass(slots=True)
class Reading:
    """What a decoder read in one image.

    Attributes:
        text: the text, without blanks.
        confidence: 0 to 1: p(text | image) under the network's CTC model, the sum over all paths that collapse to the
            text, not the probability of the single best path; with a lexicon see :class:`LexiconDecoder`.
    """

    text: str
    confidence: float


Decoder = Callable[..., list[Reading]]
"""Maps class scores (T, N, class_num), and lexicons where there are any, to N readings."""
Lexicons = Callable[[np.ndarray], list[list[str]] | None]
"""Maps the numbers of N samples to the lexicon of each, or to None where the decoder has one for all."""
