"""Learning rate of every step of a run, as plain numbers."""
import numpy as np

from src.common.errors import ConfigError

ONECYCLE_WARMUP = 0.3
ONECYCLE_START_DIVISOR = 25.0
ONECYCLE_END_DIVISOR = 1e4


def learning_rates(schedule: str, base_lr: float, total_steps: int, warmup_steps: int = 0,
                   warmup_ratio: float = 0.0, min_lr: float = 0.0) -> np.ndarray:
    """Computes the learning rate of each step.

    * ``cosine``: linear warm-up from 0, then half a cosine from `base_lr` down to `min_lr` (Loshchilov and Hutter
      2017, without restarts); without warm-up the model zoo's schedule.
    * ``onecycle``: half a cosine up from ``base_lr / 25`` over the warm-up (30 % of the run unless given), then half a
      cosine down to ``base_lr / 25 / 10,000`` (Smith and Topin 2019).
    * ``constant``: linear warm-up, then `base_lr`.

    Args:
        schedule: one of the above.
        base_lr: the highest value.
        total_steps: steps of the whole run.
        warmup_steps: steps of the warm-up; 0 leaves the choice to `warmup_ratio`.
        warmup_ratio: warm-up as a share of the run.
        min_lr: where the cosine ends.

    Returns:
        (total_steps,) float32; element k belongs to step k, counted from 0.

    Raises:
        ConfigError: unknown schedule, or a warm-up as long as the run.

    Examples:
        >>> learning_rates("cosine", 8.0, 6, warmup_steps=2).astype(int).tolist()
        [4, 8, 8, 6, 4, 1]
    """
    warmup = warmup_steps or round(warmup_ratio * total_steps)
    if schedule == "onecycle" and not warmup:
        warmup = round(ONECYCLE_WARMUP * total_steps)
    if warmup and warmup >= total_steps:
        raise ConfigError(f"the warm-up of {warmup} steps does not fit into a run of {total_steps} steps; "
                          "lower warmup_steps or warmup_ratio, or raise epoch_size")
    step = np.arange(total_steps, dtype=np.float64)
    rising = (step + 1) / max(warmup, 1)
    falling = (step - warmup) / max(total_steps - warmup, 1)
    if schedule == "cosine":
        up, down = base_lr * rising, min_lr + (base_lr - min_lr) * _half_cosine(falling)
    elif schedule == "onecycle":
        start = base_lr / ONECYCLE_START_DIVISOR
        end = max(min_lr, start / ONECYCLE_END_DIVISOR)
        up = base_lr + (start - base_lr) * _half_cosine(step / max(warmup, 1))
        down = end + (base_lr - end) * _half_cosine(falling)
    elif schedule == "constant":
        up, down = base_lr * rising, np.full(total_steps, base_lr)
    else:
        raise ConfigError(f"lr_schedule is {schedule!r}; choose cosine, onecycle or constant")
    return np.where(step < warmup, up, down).astype(np.float32)


def frame_loss_weights(start: float, ratio: float, total_steps: int) -> np.ndarray:
    """Weight of the frame-wise helper loss at each step: linear from `start` to 0 over the first `ratio` of the run.

    Returns:
        (total_steps,) float32.
    """
    fade = max(round(ratio * total_steps), 1)
    return (start * np.clip(1.0 - np.arange(total_steps) / fade, 0.0, None)).astype(np.float32)


def _half_cosine(progress: np.ndarray) -> np.ndarray:
    """1 at progress 0, 0 at progress 1, flat at both ends."""
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(progress, 0.0, 1.0)))
