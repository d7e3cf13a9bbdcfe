"""What a CRNN is made of: its layers, poolings, time steps and parameter names. The one place that says so.

Plain data and arithmetic without MindSpore, for everything that must agree with :mod:`src.crnn`: checkpoints, ONNX and
MINDIR files, the faster CPU operators, and the options that follow from the network.
"""
from dataclasses import dataclass

HEIGHT = 32
"""Rows of an image in pixels; four poolings and the 2x2 convolution leave one row of it."""
FEATURES = 512
"""Channels that the convolutions hand to the recurrent layers."""


@dataclass(frozen=True)
class Stage:
    """A convolution, its batch norm, ReLU, and the pooling behind them.

    Attributes:
        channels: output channels.
        kernel: rows and columns of the convolution; 3 with padding that keeps the size, 2 without padding.
        pool: window and stride of the pooling, (rows, columns), rounding up; None where there is none.
    """

    channels: int
    kernel: int = 3
    pool: tuple[int, int] | None = None


# The last two poolings halve the height only: narrow letters such as "i" and "l" need the columns.
STAGES = (Stage(64, pool=(2, 2)), Stage(128, pool=(2, 2)), Stage(256), Stage(256, pool=(2, 1)), Stage(512),
          Stage(512, pool=(2, 1)), Stage(FEATURES, kernel=2))
"""The convolutions ``vgg.conv1`` to ``vgg.conv7``."""


@dataclass(frozen=True)
class Recurrent:
    """The layers behind the convolutions, in the order in which they compute.

    Attributes:
        lstms: names of the two bidirectional LSTMs.
        denses: names of the linear maps behind each of them; None where there is none.
    """

    lstms: tuple[str, str]
    denses: tuple[str | None, str]

    @property
    def last(self) -> str:
        """The layer that gives the class scores."""
        return self.denses[1]


VERSIONS = {"V2": Recurrent(("rnn.0.rnn", "rnn.1.rnn"), ("rnn.0.embedding", "rnn.1.embedding")),
            "V1": Recurrent(("rnn1", "rnn2"), (None, "fc"))}
"""By ``model_version``."""
LAST_LAYERS = tuple(f"{version.last}." for version in VERSIONS.values())
"""Begin the names of the parameters that depend on the charset."""
WEIGHTS = ("vgg.", "rnn.", "rnn1.", "rnn2.", "fc.")
"""Begin the names of all parameters of the network; a train cell has others besides."""
FACTS = ("label_dict", "model_version", "image_width", "keep_ratio", "bucket_widths", "long_width")
"""What a checkpoint says beside its weights about the network, not about the run that made it."""
UNUSED = ("vgg.bn1.",)
"""A batch norm in the model zoo's files that nothing uses."""


def num_steps(width: int) -> int:
    """Time steps the network makes of an image: 24 for a width of 100 pixels.

    Poolings halve it with 'same' padding (rounding up), and the last convolution takes one column without padding.

    Examples:
        >>> num_steps(100), num_steps(200)
        (24, 49)
    """
    for stage in STAGES:
        if stage.pool:
            width = -(-width // stage.pool[1])
    return width - 1
