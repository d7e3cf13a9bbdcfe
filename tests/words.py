"""Small data sets for tests, drawn with OpenCV alone."""
from pathlib import Path

import cv2
import numpy as np

WORDS = ["able", "cargo", "dune", "eleven", "fox", "giraffe", "hat", "ink", "jazz", "kiwi", "2024", "lemon"]


def draw_word(text: str, seed: int = 0) -> np.ndarray:
    """A word in dark on light, (40, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((40, 24 + 20 * len(text), 3), rng.integers(180, 250), np.uint8)
    cv2.putText(image, text, (8, 29), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (30, 30, 60), 2, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def write_words(folder: Path, count: int = len(WORDS)) -> Path:
    """The first words as images, ``00.png`` and so on."""
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:02d}.png"), draw_word(WORDS[number], number))
    return folder


def write_synth_set(folder: Path, train: int = 24, val: int = 6, test: int = 10) -> Path:
    """A set in the MJSynth layout."""
    (folder / "1" / "2").mkdir(parents=True)
    (folder / "lexicon.txt").write_text("\n".join(WORDS) + "\n")
    number = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        lines = []
        for _ in range(count):
            row = number % len(WORDS)
            name = f"./1/2/{number}_{WORDS[row]}_{row}.png"
            cv2.imwrite(str(folder / name), draw_word(WORDS[row], number))
            lines.append(f"{name} {row}")
            number += 1
        (folder / f"annotation_{split}.txt").write_text("\n".join(lines) + "\n")
    return folder
