"""When a run is beyond help: too many of its last steps had a loss or a gradient that was not finite."""
from collections import deque

WINDOW = 20
"""Steps that are looked at. Half of them bad without a break, or more than half in all, ends the run."""
ADAPTIVE_WINDOW = 60
"""The same with a dynamic loss scale, which begins at 2 ** 16 and may skip 16 good steps until it is small enough."""


class BadSteps:
    """Counts the bad ones among the last steps.

    Args:
        window: how many are looked at.
        in_a_row: bad steps just before the first one, in an earlier part of the run.
    """

    def __init__(self, window: int = WINDOW, in_a_row: int = 0) -> None:
        self.window = window
        self.in_a_row = in_a_row
        self._last: deque[bool] = deque([True] * min(in_a_row, window), maxlen=window)

    def note(self, in_a_row: int) -> None:
        """Takes note of a step: how many in a row were bad, this one included; 0 where it was good."""
        self.in_a_row = in_a_row
        self._last.append(in_a_row > 0)

    def verdict(self) -> str:
        """Why the run should end, in words; '' while it may go on."""
        if self.in_a_row >= self.window // 2:
            return f"the gradient of {self.in_a_row} steps in a row was not finite"
        if sum(self._last) > self.window // 2:
            return f"the gradient of {sum(self._last)} of the last {len(self._last)} steps was not finite"
        return ""
