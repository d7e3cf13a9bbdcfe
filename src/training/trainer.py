"""The training loop: batches in, steps of the train cell, checkpoints and evaluation at their time."""
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from src.common.errors import CRNNError
from src.crnn_for_train import TrainOneStepCellWithGradClip
from src.data.preprocess import num_steps
from src.dataset import WordBatches
from src.distributed.ranks import ALONE, Ranks
from src.eval_callback import EvalCallback
from src.model_utils.callback import StepResult, TrainMonitor
from src.network.checkpoint import CheckpointKeeper
from src.training.dropout import DropoutMasks
from src.training.moving_average import MovingAverage
from src.training.optimizer import set_learning_rate
from src.training.stop import NAMES, StopRequested, StopSignals, command_to_resume


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
        loss_divisor: what makes the cell's loss, summed over the ranks, a mean over all their images.
        monitor: prints.
        facts: written into every checkpoint.
        keeper: writes checkpoints; None writes none.
        save_every: steps between two checkpoints, counted over the whole run; the end of the run always has one.
        evaluation: evaluates after epochs; None never does.
        evaluate_saved: evaluate the kept checkpoints too, not just the weights at the end of an epoch.
        ranks: the processes that train together.
        dropout: makes V1's dropout masks; None where there is no dropout.
        average: follows the weights; it is what is evaluated and kept as the best. None: the weights themselves are.
        signals: tells whether somebody asked the run to stop.
        skipped_in_a_row: steps just before this one whose gradient was not finite.
        stopping: the signal that ends the run, the same in all ranks; 0 while it goes on.
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
    ranks: Ranks = ALONE
    dropout: DropoutMasks | None = None
    average: MovingAverage | None = None
    signals: StopSignals = field(default_factory=StopSignals)
    skipped_in_a_row: int = 0
    stopping: int = 0

    MAX_SKIPPED = 50

    def run(self, start: Position) -> int:
        """Trains from a position to the end, or until SIGTERM or Ctrl-C; then a checkpoint is written.

        Returns:
            The signal that ended training before its end, or 0.

        Raises:
            CRNNError: 50 steps in a row had a gradient that was not finite, or another rank does not answer.
        """
        with self.signals:
            try:
                for epoch in range(start.epoch, self.epochs):
                    self._run_epoch(epoch, start.step if epoch == start.epoch else 0)
                    if self.stopping:
                        return self.stopping
            finally:
                self.monitor.close()
                if self.dataset.corrupted:
                    print(f"{len(self.dataset.corrupted)} training images could not be read and were replaced by "
                          f"others ({self.dataset.repeated} of these came twice in an epoch)", flush=True)
        if self.evaluation is not None:
            self.evaluation.on_train_end()
        return 0

    def _run_epoch(self, epoch: int, first: int) -> None:
        steps = self.dataset.get_dataset_size()
        self.monitor.on_epoch_begin()
        newest = None
        written = None
        for step, result in enumerate(self._steps(epoch, first), start=first + 1):
            self.monitor.on_step_end(epoch + 1, step, result)
            self.skipped_in_a_row = self.skipped_in_a_row + 1 if result.skipped else 0
            if self.skipped_in_a_row >= self.MAX_SKIPPED:
                raise CRNNError(f"epoch {epoch + 1} step {step}: the gradient of {self.skipped_in_a_row} steps in a "
                                "row was not finite; lower learning_rate or clip_norm, or check the data")
            done = epoch * steps + step
            if self.keeper is not None and (done % self.save_every == 0 or done == self.epochs * steps):
                newest = step
                written = self.keeper.save(self.cell, epoch + 1, step, self._info(epoch, step))
            if self.stopping:
                self._stop(epoch, step, written if newest == step else None)
                return
        self.monitor.on_epoch_end()
        if self.evaluation is not None and self.evaluation.is_due(epoch + 1):
            try:
                if self.evaluate_saved and self.keeper is not None:
                    self.evaluation.evaluate_saved(self.keeper.written, epoch + 1)
                if not (self.evaluate_saved and newest == steps):  # otherwise these weights were just evaluated
                    with self.average.in_place() if self.average is not None else nullcontext():
                        self.evaluation.on_epoch_end(epoch + 1, self._info(epoch, steps))
            except StopRequested:
                self.stopping = self.signals.received
                self._stop(epoch, steps, written if newest == steps else None)

    def _stop(self, epoch: int, step: int, written: Path | None) -> None:
        """Writes a checkpoint unless these weights have one, and says how to go on."""
        name = NAMES[signal.Signals(self.stopping)]
        where = f"stopped by {name} after step {step} of epoch {epoch + 1}"
        if self.keeper is None:
            self.monitor.say(f"{where}; nothing is written, as save_checkpoint is False")
            return
        path = written or self.keeper.save(self.cell, epoch + 1, step, self._info(epoch, step))
        if epoch * self.dataset.get_dataset_size() + step == self.epochs * self.dataset.get_dataset_size():
            self.monitor.say(f"{where}, which was the last one; checkpoint: {path}")
        elif self.ranks.is_alone:
            self.monitor.say(f"{where}; checkpoint: {path}\nto go on: {command_to_resume(path)}")
        else:
            self.monitor.say(f"{where}; checkpoint: {path}\nto go on, start it the same way with --resume_ckpt={path}")

    def _steps(self, epoch: int, first: int) -> Iterator[StepResult]:
        offset = epoch * self.dataset.get_dataset_size()
        for step, batch in enumerate(self.dataset.epoch(epoch, first), start=first):
            set_learning_rate(self.cell.optimizer, float(self.rates[offset + step]))
            inputs = [Tensor(batch.image), Tensor(batch.label), Tensor(batch.label_length),
                      Tensor(self.frame_weights[offset + step], mstype.float32)]
            if self.dropout is not None:
                inputs.append(Tensor(self.dropout(offset + step, num_steps(batch.image.shape[3]), len(batch.image))))
            with self.ranks.watch():
                loss, skipped, norm, impossible = (value.asnumpy().item() for value in self.cell(*inputs))
            if self.average is not None and not skipped:
                self.average.update(offset + step)
            received = self.signals.received
            loss, impossible, *asked = self.ranks.total(loss, impossible, *(received == number for number in NAMES))
            self.stopping = next((number for number, ranks in zip(NAMES, asked, strict=True) if ranks), 0)
            yield StepResult(loss / self.loss_divisor, skipped, norm, int(impossible))

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
