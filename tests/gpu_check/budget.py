"""Who may take how many seconds of a machine that is lent for minutes. Arithmetic and a clock; no I/O."""

import time
from collections.abc import Sequence
from dataclasses import dataclass


def allotted_s(left_s: float, weight: float, *, later: Sequence[float]) -> float:
    """Return the share of the time left that goes to a stage, by its weight among the stages still to come.

    A stage that ends early leaves its time to all later ones, and one that is late takes it from all of them.
    """
    return max(0.0, left_s) * weight / (weight + sum(later))


@dataclass(frozen=True)
class Clock:
    """A deadline on the monotonic clock, which all processes of a machine share."""

    end_s: float

    @classmethod
    def of(cls, seconds: float) -> "Clock":
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        return max(0.0, self.end_s - time.monotonic())

    def slice_s(self, *, parts: int, most_s: float) -> float:
        """Return the seconds of the next of so many equal parts; never more than a figure needs."""
        return min(most_s, self.left_s / max(1, parts))
