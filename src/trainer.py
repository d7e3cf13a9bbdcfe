"""The training loop: batches in, steps of the train cell, checkpoints and evaluation at their time."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from src.crnn_for_train import TrainOneStepCellWithGradClip
from src.dataset import WordBatches
from src.errors import CRNNError
from src.eval_callback import EvalCallback
from src.model_utils.callback import StepResult, TrainMonitor
from src.model_utils.checkpoint import CheckpointKeeper
from src.model_utils.optimizer import set_learning_rate


@dataclass
class Position:
    """How far a run is: whole epochs done, and steps done of the epoch after them."""

    epoch: int = 0
    step: int = 0


@dataclass
class Trainer:
    """Trains a network.

    Attributes:
        cell: the train cell.
        dataset: training batches; the order of an epoch follows from the seed and the epoch alone.
        rates: (total steps,) learning rate of every step.
        frame_weights: (total steps,) weight of the frame loss of every step.
        epochs: epochs of the whole run.
        loss_divisor: what makes the cell's loss a mean over the batch.
        monitor: prints.
        facts: written into every checkpoint.
        keeper: writes checkpoints; None writes none.
        save_every: steps between two checkpoints, counted over the whole run; the end of the run always has one.
        evaluation: evaluates after epochs; None never does.
        evaluate_saved: evaluate the kept checkpoints too, not just the weights at the end of an epoch.
        skipped_in_a_row: steps just before this one whose gradient was not finite.
    """

    cell: TrainOneStepCellWithGradClip
    dataset: WordBatches
    rates: np.ndarray
    frame_weights: np.ndarray
    epochs: int
    loss_divisor: float
    monitor: TrainMonitor
    facts: dict[str, int | float | str]
    keeper: CheckpointKeeper | None = None
    save_every: int = 1000
    evaluation: EvalCallback | None = None
    evaluate_saved: bool = False
    skipped_in_a_row: int = 0

    MAX_SKIPPED = 50

    def run(self, start: Position) -> None:
        """Trains from a position to the end.

        Raises:
            CRNNError: 50 steps in a row had a gradient that was not finite.
        """
        try:
            for epoch in range(start.epoch, self.epochs):
                self._run_epoch(epoch, start.step if epoch == start.epoch else 0)
        finally:
            self.monitor.close()
            if self.dataset.corrupted:
                print(f"{len(self.dataset.corrupted)} training images could not be read and were replaced by others "
                      f"({self.dataset.repeated} of these came twice in an epoch)", flush=True)
        if self.evaluation is not None:
            self.evaluation.on_train_end()

    def _run_epoch(self, epoch: int, first: int) -> None:
        steps = self.dataset.get_dataset_size()
        self.monitor.on_epoch_begin()
        newest = None
        for step, result in enumerate(self._steps(epoch, first), start=first + 1):
            self.monitor.on_step_end(epoch + 1, step, result)
            self.skipped_in_a_row = self.skipped_in_a_row + 1 if result.skipped else 0
            if self.skipped_in_a_row >= self.MAX_SKIPPED:
                raise CRNNError(f"epoch {epoch + 1} step {step}: the gradient of {self.skipped_in_a_row} steps in a "
                                "row was not finite; lower learning_rate or clip_norm, or check the data")
            done = epoch * steps + step
            if self.keeper is not None and (done % self.save_every == 0 or done == self.epochs * steps):
                newest = step
                self.keeper.save(self.cell, epoch + 1, step, self._info(epoch, step))
        self.monitor.on_epoch_end()
        if self.evaluation is not None and self.evaluation.is_due(epoch + 1):
            if self.evaluate_saved and self.keeper is not None:
                self.evaluation.evaluate_saved(self.keeper.written, epoch + 1)
            if not (self.evaluate_saved and newest == steps):  # otherwise these weights were just evaluated
                self.evaluation.on_epoch_end(epoch + 1, self._info(epoch, steps))

    def _steps(self, epoch: int, first: int) -> Iterator[StepResult]:
        offset = epoch * self.dataset.get_dataset_size()
        for step, batch in enumerate(self.dataset.epoch(epoch, first), start=first):
            set_learning_rate(self.cell.optimizer, float(self.rates[offset + step]))
            loss, skipped, norm, impossible = self.cell(
                Tensor(batch.image), Tensor(batch.label), Tensor(batch.label_length),
                Tensor(self.frame_weights[offset + step], mstype.float32))
            yield StepResult(float(loss.asnumpy()) / self.loss_divisor, bool(skipped.asnumpy()),
                             float(norm.asnumpy()), int(impossible.asnumpy()))

    def _info(self, epoch: int, step: int) -> dict[str, int | float | str]:
        """Facts of a checkpoint written after `step` steps of the epoch with number `epoch` (from 0)."""
        steps = self.dataset.get_dataset_size()
        whole = step == steps
        return {**self.facts, "epoch_num": epoch + whole, "step_in_epoch": 0 if whole else step,
                "step_num": epoch * steps + step, "steps_per_epoch": steps}


def position_of(info: dict, steps_per_epoch: int, warn: Callable[[str], None]) -> Position:
    """Where the run that wrote a checkpoint stood.

    Args:
        info: the checkpoint's facts.
        steps_per_epoch: of the run that goes on.
        warn: told when the step inside the epoch cannot be kept because an epoch has another number of steps now.
    """
    position = Position(int(info.get("epoch_num", 0)), int(info.get("step_in_epoch", 0)))
    if position.step and info.get("steps_per_epoch") != steps_per_epoch:
        warn(f"the checkpoint stood at step {position.step} of {info.get('steps_per_epoch')} steps an epoch, now there "
             f"are {steps_per_epoch}: the epoch starts anew")
        position.step = 0
    return position
