"""The greedy decoder: the best class of every frame."""
import numpy as np

from src.common.charset import Charset
from src.reading import ctc
from src.reading.reading import Reading

# Images taken together.
_IMAGES = 256


class GreedyDecoder:
    """Takes the best class of every frame, merges repeats, removes blanks.

    Args:
        charset: the classes.
        temperature: divides the logits before the confidence is computed (see ``src.metric.fit_temperature``); the
            text does not depend on it.

    Examples:
        Five frames over the classes a, b and blank; the blank keeps the two a apart:

        >>> scores = np.log(np.array([[.8, .1, .1], [.8, .1, .1], [.1, .1, .8], [.8, .1, .1], [.1, .8, .1]]))
        >>> [reading.text for reading in GreedyDecoder(Charset("ab"))(scores[:, None])]
        ['aab']
    """

    def __init__(self, charset: Charset, temperature: float = 1.0):
        self.charset = charset
        self.temperature = temperature

    def __call__(self, logits: np.ndarray) -> list[Reading]:
        """Reads N images.

        Args:
            logits: ``(T, N, C)`` network output.

        Returns:
            N readings.

        Raises:
            ConfigError: the number of classes is not the charset's.
            DataError: the logits hold NaN.
        """
        logits = np.asarray(logits)
        readings: list[Reading] = []
        # Pieces of this size stay in the cache.
        for first in range(0, logits.shape[1] if logits.ndim == 3 else 1, _IMAGES):
            flat, lengths, log_p = ctc.read_best_paths(logits[:, first:first + _IMAGES], self.charset.class_num,
                                                       self.temperature)
            readings += map(Reading, self.charset.split_text(flat, lengths), np.minimum(np.exp(log_p), 1.0).tolist())
        return readings
