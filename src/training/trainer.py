"""The training loop: batches in, steps of the train cell, checkpoints and evaluation at their time."""
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from src.common.errors import CRNNError
from src.crnn_for_train import IMPOSSIBLE, IN_A_ROW, LOSS, NORM, SKIPPED, STOP, TrainOneStepCellWithGradClip
from src.data.batches import Batch, WordBatches
from src.distributed.ranks import ALONE, Ranks
from src.eval_callback import EvalCallback
from src.model_utils.callback import StepResult, TrainMonitor
from src.network.checkpoint_folder import CheckpointFolder
from src.training.bad_steps import BadSteps
from src.training.moving_average import MovingAverage
from src.training.records import Metrics
from src.training.stop import NAMES, StopRequested, StopSignals, command_to_resume

RETRY_STEPS = 50
"""Steps until a checkpoint that could not be written is tried again, if none is due before."""
STEPS_AHEAD = 2
"""Enough that a device has its next step while the host prepares the one after it."""


@dataclass
class Position:
    """How far a run is: whole epochs done, and steps done of the epoch after them."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class _Begun:
    """A step that the device was given: epoch (from 0), step (from 1), its batch and what it will have found."""

    epoch: int
    step: int
    batch: Batch
    found: Tensor


@dataclass
class Trainer:
    """Trains a network.

    The host gives the device a step and goes on; it reads what a step found ``steps_ahead`` steps later, so that the
    device never waits for the host. All that a step decides is decided on the device. Before a checkpoint, at the end
    of an epoch and every :data:`RETRY_STEPS` steps everything is read: at step numbers alone, so that all ranks learn
    of a stop, or of too many bad steps, after the same step, and no checkpoint holds more than was looked at.

    Attributes:
        cell: the train cell.
        dataset: training batches; the order of an epoch follows from the seed and the epoch alone.
        rates: (total steps,) learning rate of every step.
        frame_weights: (total steps,) weight of the frame loss of every step.
        epochs: epochs of the whole run.
        loss_divisor: what makes the cell's loss, summed over the ranks, a mean over all their images.
        monitor: prints.
        facts: written into every checkpoint.
        checkpoints: where they go; None writes none.
        save_every: steps between two checkpoints, counted over the whole run; the end of the run always has one.
        evaluation: evaluates after epochs; None never does.
        evaluate_saved: evaluate the kept checkpoints too, not just the weights at the end of an epoch.
        ranks: the processes that train together.
        steps_ahead: steps that may be begun before the result of one is read; 0 reads each before the next begins.
        average: follows the weights; it is what is evaluated and kept as the best. None: the weights themselves are.
        signals: tells whether somebody asked the run to stop.
        bad_steps: decides when too many steps were bad.
        bad_batch_path: where the batch goes that ended the run by numbers that are not finite; None keeps none.
        metrics: a table of the run, see :meth:`record_to`.
        last_good: the newest checkpoint before the bad steps.
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
    checkpoints: CheckpointFolder | None = None
    save_every: int = 1000
    evaluation: EvalCallback | None = None
    evaluate_saved: bool = False
    ranks: Ranks = ALONE
    steps_ahead: int = STEPS_AHEAD
    average: MovingAverage | None = None
    signals: StopSignals = field(default_factory=StopSignals)
    bad_steps: BadSteps = field(default_factory=BadSteps)
    bad_batch_path: Path | None = None
    last_good: Path | None = None
    stopping: int = 0
    metrics: Metrics | None = None
    _begun: deque[_Begun] = field(default_factory=deque)

    def record_to(self, metrics: Metrics) -> None:
        """Writes a table of the run; see :class:`src.training.records.Metrics`."""
        self.metrics = metrics
        if self.evaluation is not None:
            self.evaluation.on_result = metrics.note_evaluation
            metrics.sample_sheet = self.evaluation.sample_sheet

    def run(self, start: Position) -> int:
        """Trains from a position to the end, or until SIGTERM or Ctrl-C; then a checkpoint is written.

        Returns:
            The signal that ended training before its end, or 0.

        Raises:
            CRNNError: too many of the last steps were bad, or another rank does not answer.
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
                if self.checkpoints is not None and self.checkpoints.missed:
                    print(f"{self.checkpoints.missed} checkpoints could not be written"
                          f"{', the last one among them' if self.checkpoints.is_behind else ''}", file=sys.stderr)
        if self.evaluation is not None:
            self.evaluation.on_train_end()
        elif self.last_good is not None:
            self.monitor.say(f"End training, the last weights: {self.last_good}\n"
                             f"to read words: python predict.py --checkpoint_path={self.last_good} IMAGE|FOLDER")
        return 0

    def _run_epoch(self, epoch: int, first: int) -> None:
        steps = self.dataset.get_dataset_size()
        self.monitor.on_epoch_begin()
        newest = None
        written = None
        for step, batch in self._batches(epoch, first):
            self._begin(epoch, step, batch)
            # Several ranks must stop after the same step, so these ask each other; see _begin.
            asked = self.signals.received if self.ranks.is_alone else 0
            self._read(0 if asked or self._reads_all(epoch, step) else self.steps_ahead)
            self.stopping = self.stopping or asked
            if self.stopping:
                self._read(0)
            if self.checkpoints is not None and self._is_to_be_saved(epoch, step):
                newest = step
                written = self._save(epoch, step)
            if self.stopping:
                self._stop(epoch, step, written if newest == step else None)
                return
        self.monitor.on_epoch_end()
        if self.evaluation is not None and self.evaluation.is_due(epoch + 1):
            # Several ranks cannot leave an evaluation, and their launcher does not wait for long after a signal.
            if self.checkpoints is not None and not self.ranks.is_alone and newest != steps:
                newest = steps
                written = self._save(epoch, steps)
            info = self._info(epoch, steps)
            try:
                is_evaluated = False
                if self.evaluate_saved and self.checkpoints is not None:
                    found = self.evaluation.evaluate_saved(self.checkpoints.written, epoch + 1, info)
                    is_evaluated = f"crnn-{epoch + 1}_{steps}.ckpt" in found
                if not is_evaluated:
                    with self.average.in_place() if self.average is not None else nullcontext():
                        self.evaluation.on_epoch_end(epoch + 1, info)
            except StopRequested:
                self.stopping = self.signals.received
                self._stop(epoch, steps, written if newest == steps else None)

    def is_incomplete(self) -> bool:
        """Whether the last checkpoint or the best one could not be written."""
        return bool(self.checkpoints is not None and self.checkpoints.is_behind
                    or self.evaluation is not None and self.evaluation.is_behind)

    def _is_to_be_saved(self, epoch: int, step: int) -> bool:
        """Whether to write a checkpoint after a step: regularly, at the end, and where an earlier one is missing."""
        steps = self.dataset.get_dataset_size()
        done = self._done(epoch, step)
        return (done % self.save_every == 0 or done == self._done(self.epochs)
                or (self.checkpoints.is_behind and (step == steps or done % RETRY_STEPS == 0)))

    def _save(self, epoch: int, step: int) -> Path | None:
        """Writes a checkpoint; returns its path, or None where that failed."""
        path = self.checkpoints.save(self.cell, epoch + 1, step, self._info(epoch, step))
        if path is not None and not self.bad_steps.in_a_row:
            self.last_good = path
        return path

    def _end_if_beyond_help(self, epoch: int, step: int, batch: Batch) -> None:
        """Ends the run where too many of the last steps were bad, and keeps the batch of the last one."""
        verdict = self.bad_steps.verdict()
        if not verdict:
            return
        batch_file = self._write_bad_batch(batch)
        good = (f"the last good checkpoint is {self.last_good}" if self.last_good
                else "no checkpoint was written before these steps")
        raise CRNNError(f"epoch {epoch + 1} step {step}: {verdict}; {good}{batch_file}; lower learning_rate or "
                        "clip_norm, or check the data")

    def _write_bad_batch(self, batch: Batch) -> str:
        """Writes a batch to a file for a look; returns words that say so."""
        if self.bad_batch_path is None:
            return ""
        try:
            self.bad_batch_path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(self.bad_batch_path, image=batch.image, label=batch.label,
                                label_length=batch.label_length, text=np.array(batch.text),
                                reference=np.array(batch.reference), index=batch.index)
        except OSError as error:
            return f"; its batch could not be kept ({error.strerror})"
        return f"; its batch is kept in {self.bad_batch_path}"

    def _stop(self, epoch: int, step: int, written: Path | None) -> None:
        """Writes a checkpoint unless these weights have one, and says how to go on."""
        name = NAMES[signal.Signals(self.stopping)]
        where = f"stopped by {name} after step {step} of epoch {epoch + 1}"
        if self.checkpoints is None:
            self.monitor.say(f"{where}; nothing is written, as save_checkpoint is False")
            return
        path = written or self._save(epoch, step)
        if path is None:
            self.monitor.say(f"{where}; its checkpoint could not be written")
        elif self._done(epoch, step) == self._done(self.epochs):
            self.monitor.say(f"{where}, which was the last one; checkpoint: {path}")
        elif self.ranks.is_alone:
            self.monitor.say(f"{where}; checkpoint: {path}\nto go on: {command_to_resume(path)}")
        else:
            self.monitor.say(f"{where}; checkpoint: {path}\nto go on, start it the same way with --resume_ckpt={path}")

    def _batches(self, epoch: int, first: int) -> Iterator[tuple[int, Batch]]:
        """The batches of an epoch with their steps, counted from 1; before an error of the loader all is read."""
        try:
            yield from enumerate(self.dataset.epoch(epoch, first), start=first + 1)
        except CRNNError:
            self._read(0)
            raise

    def _begin(self, epoch: int, step: int, batch: Batch) -> None:
        """Gives the device a step."""
        done = self._done(epoch, step - 1)
        inputs = [Tensor(batch.image), Tensor(batch.label), Tensor(batch.label_length),
                  Tensor(self.frame_weights[done], mstype.float32), Tensor(self.rates[done], mstype.float32)]
        inputs.append(Tensor(np.array([self.signals.received == number for number in NAMES], np.float32)))
        if batch.mask is not None:
            inputs.append(Tensor(batch.mask))
        with self._watch(epoch, step):
            found = self.cell(*inputs)
            if self.average is not None:
                self.average.update(done, found)
        self._begun.append(_Begun(epoch, step, batch, found))

    def _read(self, left: int) -> None:
        """Reads what the oldest steps found, until so many are left that were not read, and acts upon it.

        Raises:
            CRNNError: too many of the last steps were bad, or another rank does not answer.
        """
        while len(self._begun) > left:
            begun = self._begun.popleft()
            epoch, step = begun.epoch, begun.step
            with self._watch(epoch, step):
                found = begun.found.asnumpy().tolist()
            result = StepResult(found[LOSS] / self.loss_divisor, bool(found[SKIPPED]), found[NORM],
                                int(found[IMPOSSIBLE]))
            asked = next((number for number, ranks in zip(NAMES, found[STOP:], strict=False) if ranks), 0)
            self.stopping = self.stopping or asked
            self.monitor.on_step_end(epoch + 1, step, result)
            if self.metrics is not None:
                done, is_last = self._done(epoch, step), step == self.dataset.get_dataset_size()
                self.metrics.note_step(done, epoch + 1, is_last, result.loss, float(self.rates[done - 1]),
                                       result.grad_norm, result.skipped)
            self.bad_steps.note(int(found[IN_A_ROW]))
            self._end_if_beyond_help(epoch, step, begun.batch)

    def _reads_all(self, epoch: int, step: int) -> bool:
        """Whether everything is read after this step, the same in all ranks."""
        done = self._done(epoch, step)
        return (step == self.dataset.get_dataset_size() or done % self.save_every == 0
                or done % RETRY_STEPS == 0)

    def _done(self, epoch: int, step: int = 0) -> int:
        """Steps since the beginning of the run, once `step` steps of the epoch `epoch` (from 0) are done."""
        return epoch * self.dataset.get_dataset_size() + step

    def _watch(self, epoch: int, step: int) -> AbstractContextManager[None]:
        # A device works on its own time: an earlier step's failure may come to light here.
        return self.ranks.watch(f"at or before step {step} of epoch {epoch + 1}")

    def _info(self, epoch: int, step: int) -> dict[str, int | float | str]:
        """Facts of a checkpoint written after `step` steps of the epoch with number `epoch` (from 0)."""
        steps = self.dataset.get_dataset_size()
        whole = step == steps
        return {**self.facts, "epoch_num": epoch + whole, "step_in_epoch": 0 if whole else step,
                "step_num": self._done(epoch, step), "steps_per_epoch": steps}


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
