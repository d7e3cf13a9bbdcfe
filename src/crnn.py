"""The CRNN networks: VGG features, two bidirectional LSTMs, per-step class scores (arXiv 1507.05717)."""
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal

from src.common.errors import ConfigError
from src.network.description import FEATURES, STAGES
from src.network.precision import set_precision


class Conv(nn.Cell):
    """Convolution, batch norm, ReLU.

    The epsilon and momentum of the batch norm are those of the model zoo, so that its checkpoints mean the same here.
    """

    def __init__(self, in_channel: int, out_channel: int, kernel_size: int = 3, pad_mode: str = "same") -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channel, out_channel, kernel_size=kernel_size, pad_mode=pad_mode,
                              weight_init=TruncatedNormal(0.02))
        self.bn = nn.BatchNorm2d(out_channel, eps=1e-4, momentum=0.9)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        """Maps (N, in, H, W) to (N, out, H, W), or to (N, out, H - 1, W - 1) for the 2x2 'valid' kernel."""
        return self.relu(self.bn(self.conv(x)))


class VGG(nn.Cell):
    """Seven convolutions and four poolings that turn an image 32 pixels high into one row of feature columns."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for number, stage in enumerate(STAGES, start=1):
            setattr(self, f"conv{number}", Conv(channels, stage.channels, stage.kernel,
                                                "same" if stage.kernel % 2 else "valid"))
            channels = stage.channels
        self.maxpool2d1 = nn.MaxPool2d(kernel_size=STAGES[0].pool, stride=STAGES[0].pool, pad_mode="same")
        self.maxpool2d2 = nn.MaxPool2d(kernel_size=STAGES[3].pool, stride=STAGES[3].pool, pad_mode="same")

    def construct(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 32, W) to features (N, 512, 1, T), T = ceil(ceil(W / 2) / 2) - 1."""
        x = self.maxpool2d1(self.conv1(x))
        x = self.maxpool2d1(self.conv2(x))
        x = self.conv3(x)
        x = self.maxpool2d2(self.conv4(x))
        x = self.conv5(x)
        x = self.maxpool2d2(self.conv6(x))
        return self.conv7(x)


class BidirectionalLSTM(nn.Cell):
    """One bidirectional LSTM layer and a linear map of its two directions."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.rnn = _lstm(input_size, hidden_size)
        self.embedding = nn.Dense(2 * hidden_size, output_size)

    def construct(self, x: Tensor) -> Tensor:
        """Maps (T, N, input_size) to (T, N, output_size)."""
        recurrent, _ = self.rnn(x)
        return self.embedding(recurrent)


class _CRNN(nn.Cell):
    """What both versions share: the VGG, and its columns laid out in time; a version adds `sequence`."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGG()

    def features(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 32, W) to a sequence of feature columns (T, N, 512)."""
        return ops.transpose(ops.squeeze(self.vgg(x), 2), (2, 0, 1))

    def construct(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 32, W), of any N and any W of at least 8, to class scores (T, N, class_num)."""
        return self.sequence(self.features(x))


class CRNNV2(_CRNN):
    """Version 2: each LSTM has a linear map of its own, the last of them to the classes.

    Parameter names and shapes equal the model zoo's V2, so that its checkpoints load.

    Args:
        class_num: number of classes, the blank included.
        hidden_size: units of each LSTM direction.
    """

    def __init__(self, class_num: int, hidden_size: int = 256) -> None:
        super().__init__()
        self.rnn = nn.SequentialCell([BidirectionalLSTM(FEATURES, hidden_size, hidden_size),
                                      BidirectionalLSTM(hidden_size, hidden_size, class_num)])

    def sequence(self, features: Tensor) -> Tensor:
        """Maps feature columns (T, N, 512) to class scores (T, N, class_num)."""
        return self.rnn(features)


class CRNNV1(_CRNN):
    """Version 1: two LSTMs on top of each other, then one fully connected layer (the network of the paper).

    Args:
        class_num: number of classes, the blank included.
        hidden_size: units of each LSTM direction.
        use_dropout: drop 10 % of what the first LSTM hands to the second while training.
    """

    def __init__(self, class_num: int, hidden_size: int = 256, use_dropout: bool = True) -> None:
        super().__init__()
        self.rnn1 = _lstm(FEATURES, hidden_size)
        self.rnn2 = _lstm(2 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(p=0.1 if use_dropout else 0.0)
        self.scale = float(np.float32(1) / np.float32(1 - self.dropout.p))  # of the units that stay
        self.fc = nn.Dense(2 * hidden_size, class_num)

    def sequence(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps feature columns (T, N, 512) to class scores (T, N, class_num).

        Args:
            features: the columns.
            mask: (T, N, 2 * hidden_size) bool, the units that dropout leaves. It takes the place of MindSpore's own
                random numbers, whose state cannot be saved.
        """
        recurrent, _ = self.rnn1(features)
        left = self.dropout(recurrent) if mask is None else recurrent * (mask.astype(recurrent.dtype) * self.scale)
        recurrent, _ = self.rnn2(left)
        return self.fc(recurrent)


def build_network(model_version: str, class_num: int, hidden_size: int = 256, use_dropout: bool = True,
                  full_precision: bool = True) -> nn.Cell:
    """Builds a CRNN.

    Args:
        model_version: "V1" or "V2".
        class_num: number of classes, the blank included.
        hidden_size: units of each LSTM direction.
        use_dropout: V1 only.
        full_precision: False computes in float16 (Ascend); the parameters stay float32.

    Raises:
        ConfigError: unknown version.
    """
    if model_version == "V2":
        net = CRNNV2(class_num, hidden_size)
    elif model_version == "V1":
        net = CRNNV1(class_num, hidden_size, use_dropout)
    else:
        raise ConfigError(f"model_version is {model_version!r}; choose V1 or V2")
    if not full_precision:
        set_precision(net, "float16")
    return net


def crnn(config: Any, full_precision: bool = False) -> nn.Cell:
    """Builds the network a configuration describes; the model zoo's entry point, kept under its name.

    Args:
        config: has model_version, class_num, hidden_size and use_dropout.
        full_precision: True for float32, False for float16 compute (Ascend).
    """
    return build_network(config.model_version, config.class_num, config.hidden_size, config.use_dropout, full_precision)


def _lstm(input_size: int, hidden_size: int) -> nn.LSTM:
    """A bidirectional LSTM over (T, N, input_size) whose forget gates start open (bias 1), so that memory lasts."""
    rnn = nn.LSTM(input_size, hidden_size, bidirectional=True)
    for bias in rnn.b_ih_list:
        value = np.array(bias.asnumpy())
        value[hidden_size:2 * hidden_size] = 1.0  # gate order: input, forget, cell, output
        bias.set_data(Tensor(value))
    return rnn
