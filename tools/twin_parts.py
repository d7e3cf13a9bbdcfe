"""Parts of tools/train_twin.py that stand alone: the ring of newest images, the learning rate, reading, files."""
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from src.common.errors import CheckpointError
from tools.import_twin import read_parts
from tools.torch_twin import CRNN, from_mindspore
from tools.word_feed import CHARSET, CHUNK, Chunk


class Ring:
    """The newest images, on the device that trains; their labels stay with the processor.

    Args:
        capacity: images.
        device: where the images are.
    """

    def __init__(self, capacity: int, device: torch.device):
        self.capacity = max(CHUNK, capacity // CHUNK * CHUNK)
        self.images = torch.empty((self.capacity, 32, 100, 3), dtype=torch.uint8, device=device)
        self.labels = np.empty((self.capacity, 24), np.uint8)
        self.lengths = np.empty(self.capacity, np.uint8)
        self.filled = self._next = self.drawn = 0

    def add(self, chunk: Chunk) -> None:
        """Takes a chunk in place of the oldest one."""
        place = slice(self._next, self._next + CHUNK)
        self.images[place] = torch.from_numpy(chunk.images).to(self.images.device, non_blocking=True)
        self.labels[place], self.lengths[place] = chunk.labels, chunk.lengths
        self._next = (self._next + CHUNK) % self.capacity
        self.filled = min(self.filled + CHUNK, self.capacity)
        self.drawn += CHUNK

    def sample(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Random images (count, 3, 32, 100) float32 0 to 255, labels (count, 24) and lengths (count,) int64.

        Lengths stay with the processor: on the device they would hold up every step.
        """
        index = rng.integers(0, self.filled, count)
        device = self.images.device
        images = self.images[torch.from_numpy(index).to(device)].permute(0, 3, 1, 2).float()
        labels = torch.from_numpy(self.labels[index].astype(np.int64)).to(device, non_blocking=True)
        return images, labels, torch.from_numpy(self.lengths[index].astype(np.int64))


def rate(progress: float, peak: float, schedule: str, warmup: float, decay_from: float = 0.6) -> float:
    """The learning rate at a share (0 to 1) of the run: linear rise, then to 0 at the very end.

    ``cosine`` falls all the way; ``flat`` stays at the peak up to ``decay_from`` and falls linearly from there.
    """
    if progress < warmup:
        return peak * progress / warmup
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    return peak * min(1.0, (1 - progress) / (1 - decay_from))


def initialise(model: CRNN) -> None:
    """Starting weights: He's for the convolutions, forget gates of the LSTMs open."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        elif "bias_ih" in name:
            size = len(parameter) // 4
            with torch.no_grad():
                parameter[size:2 * size] = 1.0


def load_weights(model: CRNN, paths: Sequence[str]) -> None:
    """Puts the weights of .npz files (MindSpore's names, whole or in parts) into the network.

    Raises:
        CheckpointError: a file cannot be read, or a weight is missing or has another shape.
    """
    try:
        from_mindspore(model, read_parts(paths))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{', '.join(paths)}: not the weights of this network: {error}") from error


def frame_targets(labels: torch.Tensor, lengths: torch.Tensor, steps: int) -> torch.Tensor:
    """The class each step should see when a word is spread evenly over the steps; (steps, N), as src/loss.py."""
    position = torch.arange(steps, device=labels.device)[:, None] * lengths.to(labels.device)[None] // steps
    return labels.gather(1, position.T).T


@torch.no_grad()
def accuracy(model: CRNN, chunk: Chunk, device: torch.device) -> float:
    """Share of the words of a chunk that greedy decoding reads right."""
    model.eval()
    right = 0
    for start in range(0, len(chunk.images), 512):
        images = torch.from_numpy(chunk.images[start:start + 512]).to(device).permute(0, 3, 1, 2).float()
        best = model(images / 127.5 - 1).argmax(2).T.cpu().numpy()
        first = np.ones_like(best, bool)
        first[:, 1:] = best[:, 1:] != best[:, :-1]
        for row, kept, label, length in zip(best, first & (best != CHARSET.blank), chunk.labels[start:start + 512],
                                            chunk.lengths[start:start + 512], strict=True):
            right += np.array_equal(row[kept], label[:length])
    return right / len(chunk.images)


def save_npz(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes an .npz file that is there whole or not at all."""
    partial = path.with_name(f".{path.name}")
    np.savez(partial, **weights)
    os.replace(f"{partial}", path)


def save_parts(folder: Path, weights: dict[str, np.ndarray], most_bytes: int) -> None:
    """Writes weights_1.npz, weights_2.npz, ... of at most about that size; together they are the weights."""
    parts, size = [{}], 0
    for name, value in weights.items():
        if parts[-1] and size + value.nbytes > most_bytes:
            parts.append({})
            size = 0
        parts[-1][name] = value
        size += value.nbytes
    for number, part in enumerate(parts, 1):
        save_npz(folder / f"weights_{number}.npz", part)
