"""What a run of tools/train_twin.py leaves on record: its log, as lines and as a table, and its configuration."""
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tools.twin_parts import accuracy
from tools.word_feed import Chunk

if TYPE_CHECKING:
    from tools.train_twin import TwinTrainer

COLUMNS = ("step", "minutes", "images", "drawn", "loss", "learning_rate", "images_per_s", "drawn_per_s", "val_acc")


def cut_log(path: Path, step: int) -> None:
    """Leaves the header and the rows up to a step in a log: what was done after that is done once more.

    The log is begun where there is none.
    """
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    rows = [line.split("\t") for line in lines]
    rows = [COLUMNS] + [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= step]
    partial = path.with_name(f".{path.name}")
    partial.write_text("".join("\t".join(row) + "\n" for row in rows))
    os.replace(partial, path)


def write_config(path: Path, config: dict[str, object], resumed: bool) -> None:
    """Writes what a run is trained with as JSON; that of the parts before this one stays under ``earlier``."""
    earlier = []
    if resumed and path.exists():
        try:
            last = json.loads(path.read_text())
            earlier = [*last.pop("earlier"), last]
        except (ValueError, KeyError, TypeError, AttributeError):
            earlier = []  # damaged: nothing that is needed to go on
    path.write_text(json.dumps({**config, "earlier": earlier}, indent=1) + "\n")


class Log:
    """Lines about a run, on the terminal and in log.tsv.

    Args:
        trainer: what trains.
        validation: held-out drawn words.
    """

    def __init__(self, trainer: "TwinTrainer", validation: Chunk):
        self._trainer, self._validation = trainer, validation
        path = Path(trainer.options.output_dir) / "log.tsv"
        cut_log(path, trainer.step)
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 - closed by close
        self._losses: list[torch.Tensor] = []
        self._images, self._drawn, self._time = trainer.images, trainer.drawn, time.monotonic()

    def add(self, loss: torch.Tensor) -> bool:
        """Takes the loss of a step; whether it is time for a line."""
        self._losses.append(loss)
        return len(self._losses) >= self._trainer.options.log_steps

    def line(self, read: bool) -> None:
        """Writes a line about the steps since the last one; with ``read`` also what held-out words are read right."""
        trainer = self._trainer
        loss = float(torch.stack(self._losses).mean())  # waits for the device
        passed = max(time.monotonic() - self._time, 1e-9)
        accurate = f"{self.read():.4f}" if read else ""
        row = (trainer.step, f"{trainer.seconds / 60:.2f}", trainer.images, trainer.drawn, f"{loss:.4f}",
               f"{trainer.optimizer.param_groups[0]['lr']:.2e}", f"{(trainer.images - self._images) / passed:.0f}",
               f"{(trainer.drawn - self._drawn) / passed:.0f}", accurate)
        self._file.write("\t".join(map(str, row)) + "\n")
        print(" ".join(f"{name} {value}" for name, value in zip(COLUMNS, row, strict=True)), flush=True)
        self._losses, self._images, self._drawn = [], trainer.images, trainer.drawn
        # What saving and reading took is no training time of the next line, but it is of the budget.
        self._time = time.monotonic()

    def read(self) -> float:
        """Share of the held-out drawn words read right; real ones, set by set, are printed."""
        trainer = self._trainer
        if trainer.held_out:
            sets = trainer.held_out.accuracies(trainer.average, trainer.device)
            right, count = (sum(values) for values in zip(*sets.values(), strict=True))
            print(f"real words {right} of {count}: " + ", ".join(f"{name} {r}/{n}" for name, (r, n) in sets.items()))
        return accuracy(trainer.average, self._validation, trainer.device)

    def close(self) -> float:
        """Writes the last line; returns the share of held-out drawn words read right."""
        trainer, read = self._trainer, self.read()
        self._file.write(f"{trainer.step}\t{trainer.seconds / 60:.2f}\t{trainer.images}\t{trainer.drawn}" + "\t" * 5
                         + f"{read:.4f}\n")
        self._file.close()
        return read
