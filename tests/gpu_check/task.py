"""What a stage is given: the device, its time and its journal; and how it measures a rate."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from tests.gpu_check.budget import Clock
from tests.gpu_check.journal import Journal

Choice = TypeVar("Choice")
MOST_S = 0.8
"""Of one figure: enough for tens of batches."""
QUICK_S = 0.05
LEAST_CALLS = 3


@dataclass(frozen=True)
class Task:
    device: str
    quick: bool
    clock: Clock
    journal: Journal

    def choose(self, whole: Choice, quick: Choice) -> Choice:
        """Return the setting of a whole check, or that of a rehearsal."""
        return quick if self.quick else whole

    def slice_s(self, parts: int, *, most_s: float = MOST_S) -> float:
        """Return the seconds of the next figure, if so many are still to come."""
        return self.clock.slice_s(parts=parts, most_s=self.choose(most_s, QUICK_S))

    def threads(self) -> tuple[int, ...]:
        """Return the thread counts to try, up to the number of processors."""
        few = (1, 2)
        return self.choose(tuple(one for one in (1, 2, 4, 8, 16) if one <= max(2, os.cpu_count() or 1)), few)


@dataclass(frozen=True)
class Timed:
    """A call that was repeated: its first time and the median of the later ones."""

    first_s: float
    median_s: float


def timed(call: Callable[[], object], *, seconds: float) -> Timed:
    """Call once, then again and again for so many seconds, three times at least."""
    first_s, later = _once_s(call), list[float]()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or len(later) < LEAST_CALLS:
        later.append(_once_s(call))
    return Timed(first_s, median(later))


def _once_s(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s
