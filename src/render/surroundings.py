"""Parts of other words around a word, as a crop that is a little too large has them."""
from dataclasses import dataclass

import cv2
import numpy as np

from src.render.dice import Dice
from src.render.glyphs import GlyphTable, compose
from src.render.style import RenderStyle

SIDES = ("top", "bottom", "left", "right")
_SEEN = 0.35  # of a neighbouring letter or line at most
# Letters of which a part does not look like another letter: those with a stem at the seen side look like an I.
_LETTERS = {"top": "aeomnsgdbuBDOHMNRGKSUQ3859", "bottom": "aeomnsgdbuBDOHMNRGKSUQ3859",
            "left": "eoscbpBDOKSGQ3859", "right": "oscOSGQC3689"}


@dataclass(frozen=True)
class Neighbour:
    """What looks in at one side; lengths are of the height of the word's ink.

    Attributes:
        gap: between the word and its neighbour.
        peek: how much of the neighbour is seen.
        text: its letters.
    """

    gap: float
    peek: float
    text: str


def draw_neighbours(dice: Dice, style: RenderStyle, letters: int) -> dict[str, Neighbour]:
    """Draws the neighbours of a word by side: none, one, or now and then two."""
    if not style.neighbour or not dice.chance(style.neighbour):
        return {}
    found = {}
    for _ in range(1 + dice.chance(0.25)):
        side = dice.pick(SIDES)
        beside = side in ("left", "right")
        text = "".join(dice.pick(_LETTERS[side]) for _ in range(1 if beside else letters + 3))
        found[side] = Neighbour(dice.uniform(0.35, 0.65) if beside else dice.uniform(0.08, 0.35),
                                dice.uniform(0.06, 0.32), text)
    return found


def surround(word: np.ndarray, text: str, table: GlyphTable, neighbours: dict[str, Neighbour],
             dice: Dice) -> tuple[np.ndarray, int, int]:
    """Puts parts of other words around a word.

    Args:
        word: coverage (H, W) uint8 cut to its ink.
        text: what it shows.
        table: glyphs of the neighbours.
        neighbours: what to put, by side.
        dice: random choices of the image.

    Returns:
        Coverage uint8 with the neighbours, and the column and row of the word's upper left corner in it.
    """
    height, width = word.shape
    pieces, room = {}, dict.fromkeys(SIDES, 0)
    for side, neighbour in neighbours.items():
        piece = compose(table, neighbour.text)
        beside = side in ("left", "right")
        # So little of a letter, or of a line, that it cannot be taken for a part of the word.
        peek = max(1, min(round(neighbour.peek * height), round(_SEEN * piece.shape[beside])))
        piece = {"top": piece[-peek:], "bottom": piece[:peek], "left": piece[:, -peek:], "right": piece[:, :peek]}[side]
        gap = max(1, round(neighbour.gap * height))
        pieces[side] = piece
        room[side] = gap + peek
    canvas = cv2.copyMakeBorder(word, room["top"], room["bottom"], room["left"], room["right"],
                                cv2.BORDER_CONSTANT, value=0)
    for side, piece in pieces.items():
        if side in ("left", "right"):
            # On the same line.
            row = room["top"] + table.extent(neighbours[side].text)[0] - table.extent(text)[0]
            _paste(canvas, piece, 0 if side == "left" else canvas.shape[1] - piece.shape[1], row)
        else:
            shift = round(dice.uniform(0.0, 1.0) * (canvas.shape[1] - piece.shape[1]))
            _paste(canvas, piece, shift, 0 if side == "top" else canvas.shape[0] - piece.shape[0])
    return canvas, room["left"], room["top"]


def _paste(canvas: np.ndarray, piece: np.ndarray, x: int, y: int) -> None:
    """Lays a piece on a canvas, in place; what lies outside is cut off."""
    left, top = max(0, x), max(0, y)
    right, bottom = min(canvas.shape[1], x + piece.shape[1]), min(canvas.shape[0], y + piece.shape[0])
    if left < right and top < bottom:
        window = canvas[top:bottom, left:right]
        cv2.max(window, piece[top - y:bottom - y, left - x:right - x], dst=window)
