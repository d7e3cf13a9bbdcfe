"""A PyTorch twin of both CRNN versions: the independent reference for parity tests and speed comparisons.

The twin shares no code with `src/crnn.py`; only the parameter names are translated (`src/network/names.py`). It is also
the network that takes what `convert_checkpoint.py` writes for PyTorch. PyTorch is needed for this file alone
(`pip install torch`), never by the project.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.network.names import from_torch, torch_names


class _Stage(nn.Module):
    def __init__(self, cin: int, cout: int, kernel: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, padding=padding, bias=False)
        # torch counts momentum as the share of the new batch, MindSpore as the share of the old value
        self.bn = nn.BatchNorm2d(cout, eps=1e-4, momentum=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


class CRNN(nn.Module):
    """Both versions of the network.

    Args:
        class_num: classes, the blank included.
        version: "V1" or "V2".
        hidden: units of each LSTM direction.
    """

    def __init__(self, class_num: int = 37, version: str = "V2", hidden: int = 256) -> None:
        super().__init__()
        widths = [3, 64, 128, 256, 256, 512, 512]
        self.stages = nn.ModuleList([_Stage(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)])
        self.stages.append(_Stage(512, 512, 2, 0))
        self.version = version
        self.rnn1 = nn.LSTM(512, hidden, bidirectional=True)
        self.rnn2 = nn.LSTM(hidden if version == "V2" else 2 * hidden, hidden, bidirectional=True)
        if version == "V2":
            self.embedding1 = nn.Linear(2 * hidden, hidden)
        self.out = nn.Linear(2 * hidden, class_num)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, 3, 32, W) to feature columns (T, N, 512)."""
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if number in (1, 2):
                x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
            elif number in (4, 6):
                x = nn.functional.max_pool2d(x, (2, 1))
        return x.squeeze(2).permute(2, 0, 1)

    def sequence(self, features: torch.Tensor) -> torch.Tensor:
        """Maps feature columns (T, N, 512) to class scores (T, N, class_num)."""
        x, _ = self.rnn1(features)
        if self.version == "V2":
            x = self.embedding1(x)
        x, _ = self.rnn2(x)
        return self.out(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, 3, 32, W) to class scores (T, N, class_num)."""
        return self.sequence(self.features(x))


def to_mindspore(model: CRNN) -> dict[str, np.ndarray]:
    """The twin's weights under MindSpore's parameter names, float32."""
    return from_torch({name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()})


def from_mindspore(model: CRNN, weights: dict[str, np.ndarray]) -> None:
    """Loads weights given under MindSpore's parameter names into the twin."""
    state = {name: torch.from_numpy(np.asarray(weights[mate], np.float32))
             for mate, name in torch_names(model.version).items()}
    model.load_state_dict(state)
