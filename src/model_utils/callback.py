"""What a training run prints: the model zoo's loss and epoch lines, and a progress bar.

The module has the name that the model zoo gave it. It holds no callback of MindSpore: the training loop is ours and
calls the monitor directly.
"""
import math
import sys
import time
from dataclasses import dataclass

from src.common.progress import Progress


@dataclass(frozen=True)
class StepResult:
    """What one training step found; plain numbers.

    Attributes:
        loss: CTC loss, mean over the batch.
        skipped: the step changed nothing because its gradient was not finite.
        grad_norm: global norm of the gradient before clipping.
        impossible: words that do not fit into the CTC steps.
    """

    loss: float
    skipped: bool
    grad_norm: float
    impossible: int


class TrainMonitor:
    """Prints ``epoch: 1 step: 100, loss is ...`` and ``Epoch time: ... ms, per step time: ... ms``.

    Args:
        steps_per_epoch: steps of an epoch.
        epochs: epochs of the whole run.
        batch_size: images of a step, all cards together.
        print_every: steps between two loss lines; the last step of an epoch always has one.
        done_steps: steps done before (a resumed run).
        show_progress: "auto" (a bar in a terminal, plain lines elsewhere) or "never".
    """

    PLAIN_INTERVAL = 30.0

    def __init__(self, steps_per_epoch: int, epochs: int, batch_size: int, print_every: int = 100,
                 done_steps: int = 0, show_progress: str = "auto") -> None:
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.print_every = print_every
        self.progress = Progress(steps_per_epoch * epochs * batch_size, "training", enabled=show_progress != "never",
                                 interval=self.PLAIN_INTERVAL)
        self.progress.skip(done_steps * batch_size)
        self.skipped = self.impossible = 0
        self._losses: list[float] = []
        self._epoch_start = time.monotonic()
        self._epoch_steps = 0

    def say(self, text: str) -> None:
        """Prints a line to standard output without tearing the progress bar."""
        self.progress.clear()
        print(text, flush=True)

    def on_epoch_begin(self) -> None:
        """Starts the clock of an epoch."""
        self._epoch_start = time.monotonic()
        self._epoch_steps = 0

    def on_step_end(self, epoch: int, step: int, result: StepResult) -> None:
        """Takes note of a step (epoch and step counted from 1)."""
        self._epoch_steps += 1
        self.impossible += result.impossible
        if result.skipped:
            self.skipped += 1
            self.progress.clear()
            print(f"epoch: {epoch} step: {step}, gradient not finite: step skipped ({self.skipped} so far)",
                  file=sys.stderr, flush=True)
        else:
            self._losses.append(result.loss)
        mean = sum(self._losses) / len(self._losses) if self._losses else math.nan
        if step % self.print_every == 0 or step == self.steps_per_epoch:
            self.say(f"epoch: {epoch} step: {step}, loss is {mean:.6f}")
            self._losses.clear()
        self.progress.update(self.batch_size, f"epoch {epoch}, loss {mean:.3f}")

    def on_epoch_end(self) -> None:
        """Prints the times of the epoch just finished."""
        seconds = time.monotonic() - self._epoch_start
        steps = max(self._epoch_steps, 1)
        rate = self._epoch_steps * self.batch_size / max(seconds, 1e-9)
        self.say(f"Epoch time: {seconds * 1000:.3f} ms, per step time: {seconds * 1000 / steps:.3f} ms, "
                 f"{rate:.1f} images/s")

    def close(self) -> None:
        """Ends the bar and sums up what went wrong."""
        self.progress.close()
        if self.skipped:
            print(f"{self.skipped} steps were skipped because their gradient was not finite", flush=True)
        if self.impossible:
            print(f"{self.impossible} samples did not fit into the CTC steps and counted as zero", flush=True)
