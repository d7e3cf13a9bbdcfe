"""Training on several devices, one process (rank) each: who they are and what they tell each other.

Every rank reads its own part of the data and holds the same weights. The gradients of all ranks become one before they
are clipped, so that N ranks with batch B step exactly like one process with batch N * B:

* ``loss_reduction`` sum: gradients are summed. Keep ``learning_rate``: every image pulls as hard as on one device.
  ``clip_norm`` bounds the step of all ranks together; raise it in proportion where most steps are clipped.
* ``loss_reduction`` mean: gradients are averaged. Multiply ``learning_rate`` by N (Goyal et al. 2017, "Accurate, Large
  Minibatch SGD") and warm up; for adamw the square root of N is the milder choice.

Batch norm normalises each rank's batch by itself unless ``sync_bn`` is set. Each rank gathers moving statistics of its
own, which training does not use; those of rank 0 are saved, and all ranks take them over before an evaluation.
"""
import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from src.common.errors import CRNNError
from src.common.system import usable_cores

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them; the default is a process alone.

    All of them must call the same methods in the same order.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def total(self, *values: float) -> list[float]:
        """Sums of each value over all ranks, in float32.

        Raises:
            CRNNError: a rank does not answer.
        """
        if self.is_alone:
            return list(values)
        return self._exchange("AllReduce", np.array(values, np.float32)).tolist()

    def of_first(self, values: np.ndarray) -> np.ndarray:
        """The (N,) float32 values of rank 0.

        Raises:
            CRNNError: a rank does not answer.
        """
        if self.is_alone:
            return values
        return self._exchange("AllReduce", values if self.is_first else np.zeros_like(values))

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank.

        Args:
            value: anything that JSON can hold; floats and texts come through unchanged.

        Raises:
            CRNNError: a rank does not answer.
        """
        if self.is_alone:
            return [value]
        data = json.dumps(value).encode()
        lengths = self._exchange("AllGather", np.array([len(data)], np.int32))
        # Rounded up to a power of two, so that few message sizes occur.
        words = max(1 << (int(lengths.max() + 3) // 4).bit_length(), 16)
        message = np.frombuffer(data.ljust(4 * words, b" "), np.int32)
        parts = self._exchange("AllGather", message).reshape(self.size, -1)
        return [json.loads(part.tobytes()) for part in parts]

    def in_turn(self, action: Callable[[], T]) -> T:
        """Runs an action in rank 0 first, then in the others, which find done what it left on the disk.

        Raises:
            CRNNError: it failed in rank 0, or a rank does not answer.
        """
        if self.is_alone:
            return action()
        if self.is_first:
            try:
                result = action()
            except BaseException:
                self.total(1)
                raise
            self.total(0)
            return result
        if self.total(0)[0]:
            raise CRNNError(f"rank {self.rank}: rank 0 failed; its log says why")
        return action()

    @contextlib.contextmanager
    def watch(self, where: str = "") -> Iterator[None]:
        """Turns the failure of a collective operator inside the block into one sentence.

        Args:
            where: words that say how far the run was; may be empty.

        Raises:
            CRNNError: a rank does not answer.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if self.is_alone or not any(name in text for name in ("AllReduce", "AllGather", "ollective")):
                raise
            what = " ".join(filter(None, ("another rank does not answer", where)))
            raise CRNNError(f"rank {self.rank}: {what}; it ended or hangs, and its log says why") from error

    def _exchange(self, operator: str, values: np.ndarray) -> np.ndarray:
        # Only here: a process alone, such as eval_onnx.py, needs no MindSpore.
        from src.distributed.communication import exchange

        with self.watch():
            return exchange(operator, values)


ALONE = Ranks()


def share_of_cores(ranks: Ranks) -> int:
    """How many cores this process should count on: those it may use, each divided by the ranks that may use it too.

    All ranks must call it together.

    Returns:
        At least 1. Eight ranks that may use all 192 cores of their host have 24 each; ranks that their launcher gave
        cores of their own have all of these.

    Raises:
        CRNNError: a rank does not answer.
    """
    cores = usable_cores()
    host = _host()
    users = Counter(core for other, others in ranks.gather([host, cores]) if other == host for core in others)
    return max(1, int(sum(1 / users[core] for core in cores) + 1e-6))


def _host() -> str:
    """What tells this host from others: Linux draws it at each boot; containers of one host have the same."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return socket.gethostname()


@contextlib.contextmanager
def quiet_unless_first(ranks: Ranks) -> Iterator[None]:
    """Leaves standard output to rank 0; errors and warnings of the others still go to standard error."""
    if ranks.is_first:
        yield
        return
    print(f"rank {ranks.rank} of {ranks.size}: prints errors and warnings only, rank 0 has the log", flush=True)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
