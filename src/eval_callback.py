"""Evaluation while training, and the best checkpoint."""
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mindspore import nn

from src.distributed.ranks import ALONE, Ranks
from src.metric import EvalResult
from src.network.checkpoint import Checkpoint, load_weights, read_checkpoint, write_checkpoint

# Numbers of the training state among a checkpoint's facts.
_STATE = ("loss_scale", "good_steps", "state_step", "global_step", "learning_rate", "momentum")


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
        self._judged: set[Path] = set()

    def is_due(self, epoch: int) -> bool:
        """Whether to evaluate after this epoch (counted from 1)."""
        regular = epoch >= self.start_epoch and (epoch - self.start_epoch) % self.interval == 0
        return regular or epoch == self.last_epoch

    def remember_best(self, run: object, evaluated_on: str) -> None:
        """Takes over the best result of an earlier part of the run, so that a worse one does not replace it.

        Args:
            run: what the earlier part was called; a file of another run does not count.
            evaluated_on: the data set, whose best is wanted; None stands for any in files that do not say.
        """
        if self.best_path is None or not self.best_path.is_file():
            return
        info = read_checkpoint(str(self.best_path)).info
        if info.get("run") == run and info.get("evaluated_on", evaluated_on) == evaluated_on:
            self.best_accuracy = float(info.get("accuracy", -1.0))
            self.best_epoch = int(info.get("epoch_num", 0))

    def on_epoch_end(self, epoch: int, info: Mapping[str, int | float | str]) -> None:
        """Evaluates the network as it is.

        Args:
            epoch: the epoch just finished, counted from 1.
            info: facts to write into the best checkpoint.
        """
        self._judge("", epoch, info)

    def on_train_end(self) -> None:
        """Prints the best result."""
        if self.best_epoch:
            self.say(f"End training, the best acc is: {self.best_accuracy:.6f}, "
                     f"the best acc epoch is {self.best_epoch}")

    def evaluate_saved(self, paths: list[Path], epoch: int) -> None:
        """Evaluates checkpoints that were not evaluated before; the best of all stays the best.

        The network ends with the weights it had. All ranks read the files of the first one.

        Args:
            paths: checkpoint files; what the first rank says counts.
            epoch: the epoch just finished, counted from 1.
        """
        # Rank 0 has written them by now; the others may run in other folders.
        paths = [Path(path) for path in self.ranks.gather([str(path.absolute()) for path in paths])[0]]
        own = {p.name: p.asnumpy().copy() for p in self.network.get_parameters()}
        try:
            for path in paths:
                if path not in self._judged:
                    self._judged.add(path)
                    checkpoint = read_checkpoint(str(path))
                    load_weights(self.network, checkpoint)
                    facts = {name: value for name, value in checkpoint.info.items() if name not in _STATE}
                    self._judge(f"{path.name}, ", epoch, facts)
        finally:
            load_weights(self.network, Checkpoint("the network", own))

    def _judge(self, label: str, epoch: int, info: Mapping[str, int | float | str]) -> None:
        start = time.monotonic()
        result = self.evaluate()
        self.say(f"{label}epoch: {epoch}, acc: {result.accuracy:.6f} ({result.correct} of {result.total}), "
                 f"CER: {result.cer:.4f}, eval cost: {time.monotonic() - start:.1f} s")
        if result.accuracy > self.best_accuracy:
            self.best_accuracy, self.best_epoch = result.accuracy, epoch
            self.say(f"update best result: {result.accuracy:.6f}")
            if self.best_path is not None and self.ranks.is_first:
                write_checkpoint(self.best_path, self.network, {**info, "accuracy": result.accuracy})
                self.say(f"update best checkpoint at: {self.best_path}")
