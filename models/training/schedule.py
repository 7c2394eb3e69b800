"""How a time budget is spent: learning rate, averaging and crop size as functions of the share that is gone. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WARM_UP_STEPS = 60
FLAT_SHARE = 0.45
"""Share of the budget at full learning rate; the decay takes the rest and ends inside the budget."""
WHOLE_PICTURES_FROM = 0.9
"""From here on whole 344 pictures instead of crops (stage 2 of the design)."""
LAST_RATE = 0.01


@dataclass(frozen=True)
class Moment:
    """Where a run stands."""

    spent_s: float
    budget_s: float
    step: int

    @property
    def share(self) -> float:
        """Share of the budget that is gone, 0..1."""
        return min(1.0, self.spent_s / self.budget_s)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.spent_s >= self.budget_s

    @property
    def whole_pictures(self) -> bool:
        """Whether the run has reached its last part, on whole pictures."""
        return self.share >= WHOLE_PICTURES_FROM

    def rate(self) -> float:
        """Factor on every learning rate: warm-up, flat, then down to `LAST_RATE` along a cosine-like square."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        left = min(1.0, (1 - self.share) / (1 - FLAT_SHARE))
        return warm * max(LAST_RATE, left * left * (3 - 2 * left))

    def average_decay(self, longest: float) -> float:
        """Decay of the weight average: short at the start, `longest` later."""
        return min(longest, (1 + self.step) / (20 + self.step))
