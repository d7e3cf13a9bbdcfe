"""Word accuracy as a MindSpore metric; apart from ``src.metric``, which must not cost the MindSpore import."""
from typing import Any

import numpy as np

from src.common.charset import Charset, normalise
from src.common.errors import ConfigError
from src.metric import result_lines
from src.reading.greedy import GreedyDecoder

try:
    from mindspore.train import Metric
except ImportError:  # evaluating an ONNX file needs no MindSpore
    Metric = object


def _numpy(value: Any) -> np.ndarray:
    return value.asnumpy() if hasattr(value, "asnumpy") else np.asarray(value)


class CRNNAccuracy(Metric):
    """Share of words that are read exactly right, by the greedy decoder.

    Args:
        config: a :class:`Charset`, or a configuration with ``label_dict``.
        print_flag: print every prediction and truth.
    """

    def __init__(self, config: Any, print_flag: bool = False):
        super().__init__()
        self.charset = config if isinstance(config, Charset) else Charset.from_config(config.label_dict)
        self.print_flag = print_flag
        self._decoder = GreedyDecoder(self.charset)
        self.clear()

    def clear(self) -> None:
        """Forgets all words seen."""
        self.correct = 0
        self.total = 0

    def update(self, *inputs) -> None:
        """Adds a batch.

        Args:
            *inputs: logits ``(T, N, C)``; labels ``(N, L)`` padded with the blank; optionally lengths ``(N,)``.

        Raises:
            ConfigError: the number of labels is not the batch size.
        """
        if len(inputs) not in (2, 3):
            raise ValueError(f"CRNNAccuracy.update needs logits and labels (and lengths), got {len(inputs)} inputs")
        logits, labels = _numpy(inputs[0]), _numpy(inputs[1])
        readings = self._decoder(logits)
        if len(labels) != len(readings):
            raise ConfigError(f"{len(labels)} labels for {len(readings)} images; logits must be (steps, images, "
                              "classes)")
        lengths = _numpy(inputs[2]) if len(inputs) == 3 else (labels != self.charset.blank).sum(axis=1)
        for reading, label, length in zip(readings, labels, lengths, strict=True):
            truth = normalise(self.charset.decode(label[:length]), self.charset)
            prediction = normalise(reading.text, self.charset)
            self.correct += truth == prediction
            self.total += 1
            if self.print_flag:
                print(f"prediction: {prediction} , truth: {truth}")

    def eval(self) -> float:
        """Prints the model zoo's ``correct num`` line and returns the accuracy.

        Raises:
            RuntimeError: no word was seen.
        """
        if self.total == 0:
            raise RuntimeError("CRNNAccuracy has seen no words; call update before eval")
        print(result_lines(self.correct, self.total)[0])
        return self.correct / self.total
