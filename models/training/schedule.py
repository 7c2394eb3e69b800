"""How the minutes of a training are divided: warm-up, flat, decay (arXiv 2405.18392), writing. Pure, no clock.

    |-- warm-up --|------------- flat ------------|------- decay (1 - sqrt) ------|-- spare --|
    0           steps                            70 %       crops | whole pictures 95 %      100 %

The flat parts of all runs make one long training: a later run continues from the last flat weights. The decay of each
run is a branch, which ends in weights fit for a release. All weights are written before the spare part begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.training.options import Recipe


@dataclass(frozen=True)
class Phase:
    """What a step in one part of the schedule computes."""

    name: str
    whole_pictures: bool
    perceptual: float
    """Share of SSIMULACRA2 in the distortion."""
    rounding_strength: float
    """Strength of rate-distortion optimised rounding; 0 rounds to the nearest integer."""


FLAT = Phase("flat", whole_pictures=False, perceptual=0, rounding_strength=0)
"""The part whose loss is squared error alone."""


@dataclass(frozen=True)
class Timetable:
    """When each part ends, in seconds since the start of the training."""

    warm_up_steps: int
    last_rate: float
    flat_until_s: float
    crops_until_s: float
    decay_until_s: float
    written_by_s: float
    budget_s: float
    decays: tuple[Phase, Phase]
    """The decay on crops, then the decay on whole pictures."""

    @classmethod
    def of(cls, recipe: Recipe, budget_s: float, *, again: bool) -> Timetable:
        """Divide `budget_s`; `again` says that the training continues from flat weights: it warms up for less."""
        flat_until_s, decay_until_s = recipe.flat_until * budget_s, recipe.decay_until * budget_s
        crops = replace(FLAT, name="decay", perceptual=recipe.perceptual, rounding_strength=recipe.rounding_strength)
        return cls(
            warm_up_steps=recipe.warm_up_again_steps if again else recipe.warm_up_steps,
            last_rate=recipe.last_rate,
            flat_until_s=flat_until_s,
            crops_until_s=decay_until_s - recipe.whole_pictures_share * (decay_until_s - flat_until_s),
            decay_until_s=decay_until_s,
            written_by_s=decay_until_s,
            budget_s=budget_s,
            decays=(crops, replace(crops, name="whole pictures", whole_pictures=True)),
        )

    def leaving(self, write_s: float) -> Timetable:
        """Return the same timetable with a decay that ends early enough for a write of `write_s`."""
        end_s = max(self.flat_until_s, self.written_by_s - write_s)
        share = (self.crops_until_s - self.flat_until_s) / (self.decay_until_s - self.flat_until_s)
        crops_until_s = self.flat_until_s + share * (end_s - self.flat_until_s)
        return replace(self, crops_until_s=crops_until_s, decay_until_s=end_s)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return all phases, in order."""
        return (FLAT, *self.decays)

    def phase(self, spent_s: float) -> Phase:
        """Return the phase at this time."""
        if spent_s < self.flat_until_s:
            return FLAT
        return self.decays[spent_s >= self.crops_until_s]

    def is_over(self, spent_s: float) -> bool:
        """Return whether the decay has ended."""
        return spent_s >= self.decay_until_s

    def rate(self, spent_s: float, step: int) -> float:
        """Return the factor on every learning rate; `step` counts from the start of this run's warm-up."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        if spent_s < self.flat_until_s:
            return warm
        gone = min(1.0, (spent_s - self.flat_until_s) / max(1e-9, self.decay_until_s - self.flat_until_s))
        return warm * max(self.last_rate, 1 - math.sqrt(gone))

    def __str__(self) -> str:
        """Return one line for each part, in minutes and seconds."""
        ends = (
            ("flat, squared error", self.flat_until_s),
            ("decay on crops, with SSIMULACRA2", self.crops_until_s),
            ("decay on whole pictures", self.decay_until_s),
            ("everything is written by", self.written_by_s),
            ("spare", self.budget_s),
        )
        return "\n".join(f"until {end_s // 60:3.0f} min {end_s % 60:4.1f} s: {name}" for name, end_s in ends)


def average_decay(step: int, longest: float) -> float:
    """Return the decay of the weight average: short at the start, `longest` later."""
    return min(longest, (1 + step) / (20 + step))
