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
from tools.twin_pack import read_pack
from tools.word_feed import CHARSET, CHUNK, NARROW, Chunk, Layout


class Ring:
    """The newest images, on the device that trains; their labels stay with the processor.

    Args:
        capacity: images.
        device: where the images are.
        layout: sizes of images and labels.
    """

    def __init__(self, capacity: int, device: torch.device, layout: Layout = NARROW):
        self.capacity = max(CHUNK, capacity // CHUNK * CHUNK)
        self.images = torch.empty((self.capacity, *layout.image_shape), dtype=torch.uint8, device=device)
        self.labels = np.empty((self.capacity, layout.columns), np.uint8)
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
        """Random images (count, 3, 32, W) float32 0 to 255, labels (count, steps) and lengths (count,) int64.

        Lengths stay with the processor: on the device they would hold up every step.
        """
        return _pick(self.images, self.labels, self.lengths, rng.integers(0, self.filled, count))


class Pack:
    """Real words of a file of tools/pack_words.py, on the device that trains; drawn by their weights.

    Args:
        path: the file.
        device: where the images are.
        layout: sizes of images and labels.

    Raises:
        CheckpointError: not such a file, or one of another width.
    """

    def __init__(self, path: str, device: torch.device, layout: Layout):
        chunk, self.sets, weights = read_pack(path, layout)
        self.chunk = chunk
        self.images = torch.from_numpy(chunk.images).to(device)
        self._ends = np.cumsum(weights / weights.sum())

    def sample(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As :meth:`Ring.sample`."""
        index = np.minimum(np.searchsorted(self._ends, rng.random(count), "right"), len(self._ends) - 1)
        return _pick(self.images, self.chunk.labels, self.chunk.lengths, index)

    def accuracies(self, model: CRNN, device: torch.device) -> dict[str, tuple[int, int]]:
        """For each set how many of its words greedy decoding reads right, and of how many."""
        right = reads_right(model, self.chunk, device)
        return {name: (int(right[self.sets == name].sum()), int((self.sets == name).sum()))
                for name in dict.fromkeys(self.sets.tolist())}


def _pick(images: torch.Tensor, labels: np.ndarray, lengths: np.ndarray,
          index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    device = images.device
    chosen = images[torch.from_numpy(index).to(device)].permute(0, 3, 1, 2).float()
    classes = torch.from_numpy(labels[index].astype(np.int64)).to(device, non_blocking=True)
    return chosen, classes, torch.from_numpy(lengths[index].astype(np.int64))

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
def reads_right(model: CRNN, chunk: Chunk, device: torch.device) -> np.ndarray:
    """(n,) bool: whether greedy decoding reads each word of a chunk right."""
    model.eval()
    right = np.zeros(len(chunk.images), bool)
    for start in range(0, len(chunk.images), 512):
        images = torch.from_numpy(chunk.images[start:start + 512]).to(device).permute(0, 3, 1, 2).float()
        best = model(images / 127.5 - 1).argmax(2).T.cpu().numpy()
        first = np.ones_like(best, bool)
        first[:, 1:] = best[:, 1:] != best[:, :-1]
        rows = zip(best, first & (best != CHARSET.blank), chunk.labels[start:start + 512],
                   chunk.lengths[start:start + 512], strict=True)
        right[start:start + 512] = [np.array_equal(row[kept], label[:length]) for row, kept, label, length in rows]
    return right


def accuracy(model: CRNN, chunk: Chunk, device: torch.device) -> float:
    """Share of the words of a chunk that greedy decoding reads right."""
    return float(reads_right(model, chunk, device).mean())


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
