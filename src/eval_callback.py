"""Evaluation while training, and the best checkpoint."""
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from mindspore import nn

from src.common.errors import CheckpointError
from src.distributed.communication import take_over_parameters
from src.distributed.ranks import ALONE, Ranks
from src.metric import EvalResult
from src.network.checkpoint import Checkpoint, load_weights, read_checkpoint
from src.network.checkpoint_folder import try_to_write


class EvalCallback:
    """Evaluates after chosen epochs and keeps the weights that did best.

    Args:
        evaluate: runs the evaluation of the network as it is.
        network: the network being trained.
        best_path: where the best weights go; None keeps none.
        start_epoch: first epoch to evaluate after.
        interval: epochs between two evaluations.
        last_epoch: always evaluated, so that the best weights exist at the end of a short run.
        say: prints a line.
        ranks: the processes that evaluate together; the first writes.

    Attributes:
        best_accuracy: the best so far, -1 before the first evaluation.
        best_epoch: after which it was found, 0 before.
        on_result: called after each evaluation with the steps done, the epoch and the result.
        is_behind: whether the best weights could not be written.
        sample_sheet: gives a picture of some words of the last evaluation; None where there is none.
    """

    def __init__(self, evaluate: Callable[[], EvalResult], network: nn.Cell, best_path: Path | None,
                 start_epoch: int = 1, interval: int = 1, last_epoch: int = 0,
                 say: Callable[[str], None] = print, ranks: Ranks = ALONE) -> None:
        self.evaluate = evaluate
        self.network = network
        self.best_path = best_path
        self.start_epoch = start_epoch
        self.interval = interval
        self.last_epoch = last_epoch
        self.say = say
        self.ranks = ranks
        self.best_accuracy = -1.0
        self.best_epoch = 0
        self.is_behind = False
        self.on_result: Callable[[int, int, EvalResult], None] | None = None
        self.sample_sheet: Callable[[], np.ndarray | None] | None = None
        self._evaluated: set[str] = set()

    def is_due(self, epoch: int) -> bool:
        """Whether to evaluate after this epoch (counted from 1)."""
        regular = epoch >= self.start_epoch and (epoch - self.start_epoch) % self.interval == 0
        return regular or epoch == self.last_epoch

    def remember_best(self, run: object, evaluated_on: str) -> None:
        """Reads the best accuracy of the earlier part of a resumed run.

        Without it, the first evaluation after resuming would replace a better checkpoint. The file counts only if the
        same run wrote it and measured it on the same data set.

        Args:
            run: name of the run.
            evaluated_on: the data set. Files of earlier versions do not name theirs; they count.
        """
        if self.best_path is None or not self.best_path.is_file():
            return
        try:
            info = read_checkpoint(str(self.best_path)).info
        except CheckpointError as error:
            self.say(f"note: {error}; the next evaluation writes it anew")
            return
        if info.get("run") == run and info.get("evaluated_on", evaluated_on) == evaluated_on:
            self.best_accuracy = float(info.get("accuracy", -1.0))
            self.best_epoch = int(info.get("epoch_num", 0))

    def on_epoch_end(self, epoch: int, info: Mapping[str, int | float | str]) -> None:
        """Evaluates the network as it is.

        Args:
            epoch: the epoch just finished, counted from 1.
            info: facts to write into the best checkpoint.
        """
        self._evaluate("", epoch, info)

    def on_train_end(self) -> None:
        """Prints the best result."""
        if self.best_epoch:
            self.say(f"End training, the best acc is: {self.best_accuracy:.6f}, "
                     f"the best acc epoch is {self.best_epoch}")
            if self.best_path is not None:
                self.say(f"best weights: {self.best_path}\n"
                         f"to read words: python predict.py --checkpoint_path={self.best_path} IMAGE|FOLDER")

    def evaluate_saved(self, paths: list[Path], epoch: int, info: Mapping[str, int | float | str]) -> list[str]:
        """Evaluates checkpoints that were not evaluated before; the best of all stays the best.

        The network ends with the weights it had. The first rank reads the files and hands the weights to the others,
        which may run on other hosts.

        Args:
            paths: checkpoint files; what the first rank says counts.
            epoch: the epoch just finished, counted from 1.
            info: the facts of now; the best checkpoint gets its own under the same names.

        Returns:
            The names of all files that were evaluated, now or before.
        """
        names = self.ranks.gather([path.name for path in paths])[0]
        own = {p.name: p.asnumpy().copy() for p in self.network.get_parameters()}
        try:
            for number, name in enumerate(names):
                if name in self._evaluated:
                    continue
                checkpoint = self._load_saved(paths[number]) if self.ranks.is_first else None
                if self.ranks.total(float(self.ranks.is_first and checkpoint is None))[0]:
                    continue
                take_over_parameters(list(self.network.get_parameters()), self.ranks)
                self._evaluated.add(name)
                facts = checkpoint.info if checkpoint else {}
                self._evaluate(f"{name}, ", epoch, {key: facts[key] for key in info if key in facts})
        finally:
            load_weights(self.network, Checkpoint("the network", own))
        return [name for name in names if name in self._evaluated]

    def _load_saved(self, path: Path) -> Checkpoint | None:
        """Puts the weights of a file into the network; None where it cannot be read, which is said."""
        try:
            checkpoint = read_checkpoint(str(path))
            load_weights(self.network, checkpoint)
        except CheckpointError as error:
            self.say(f"warning: not evaluated: {error}")
            return None
        return checkpoint

    def _evaluate(self, label: str, epoch: int, info: Mapping[str, int | float | str]) -> None:
        """Evaluates the weights in the network, and keeps them where they are the best so far."""
        start = time.monotonic()
        result = self.evaluate()
        self.say(f"{label}epoch: {epoch}, acc: {result.accuracy:.6f} ({result.correct} of {result.total}), "
                 f"CER: {result.cer:.4f}, eval cost: {time.monotonic() - start:.1f} s")
        if self.on_result is not None:
            self.on_result(int(info.get("step_num", 0)), epoch, result)
        if result.accuracy > self.best_accuracy:
            self.say(f"update best result: {result.accuracy:.6f}")
            if self.best_path is not None and self.ranks.is_first:
                self.is_behind = not try_to_write(self.best_path, self.network, {**info, "accuracy": result.accuracy})
                if self.is_behind:
                    return  # an equal result of a later epoch may still be written
                self.say(f"update best checkpoint at: {self.best_path}")
            self.best_accuracy, self.best_epoch = result.accuracy, epoch
