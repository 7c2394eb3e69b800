"""The schedule of a training: warm-up, flat part, decay of the learning rate (arXiv 2405.18392). No clock, no I/O.

    |-- warm-up --|------------- flat ------------|------- decay (1 - sqrt) ------|-- spare --|
    0           steps                            70 %       crops | whole pictures 95 %      100 %

The learning rate is constant in the flat part and falls to about 0 in the decay. A later run continues from the last
flat weights, so the flat parts of all runs make one long training. The decay of each run is a branch of it, which ends
in weights for a release. All weights are written before the spare part begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.training.options import Recipe


@dataclass(frozen=True)
class Phase:
    """What the steps in one part of the schedule train on: crops or whole pictures, distortion and rounding."""

    name: str
    whole_pictures: bool
    perceptual: float
    """Share of SSIMULACRA2 in the distortion, 0..1; the rest is squared error."""
    rounding_strength: float
    """Strength of the rate-distortion optimised rounding (rounding.py); 0 means plain rounding."""


FLAT = Phase("flat", whole_pictures=False, perceptual=0, rounding_strength=0)
"""The flat part: crops, squared error as the only distortion, plain rounding."""


@dataclass(frozen=True)
class Timetable:
    """The end of each part of a run, in seconds of training time since its start, and the learning rate's course."""

    warm_up_steps: int
    last_rate: float
    flat_until_s: float
    crops_until_s: float
    decay_until_s: float
    written_by_s: float
    budget_s: float
    decays: tuple[Phase, Phase]
    """The two phases of the decay: on crops, then on whole pictures."""

    @classmethod
    def of(cls, recipe: Recipe, budget_s: float, *, again: bool) -> Timetable:
        """Return the timetable of `budget_s` seconds, by the fractions in `recipe`.

        `again` says that the run continues from earlier flat weights, with a shorter warm-up.
        """
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
        """Return this timetable with the end of the decay moved `write_s` before `written_by_s`, to write weights."""
        end_s = max(self.flat_until_s, self.written_by_s - write_s)
        share = (self.crops_until_s - self.flat_until_s) / (self.decay_until_s - self.flat_until_s)
        crops_until_s = self.flat_until_s + share * (end_s - self.flat_until_s)
        return replace(self, crops_until_s=crops_until_s, decay_until_s=end_s)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the flat phase and the two decay phases, in their order."""
        return (FLAT, *self.decays)

    def phase(self, spent_s: float) -> Phase:
        """Return the phase after `spent_s` seconds of training."""
        if spent_s < self.flat_until_s:
            return FLAT
        return self.decays[spent_s >= self.crops_until_s]

    def is_over(self, spent_s: float) -> bool:
        """Return whether the decay has ended after `spent_s` seconds of training."""
        return spent_s >= self.decay_until_s

    def rate(self, spent_s: float, step: int) -> float:
        """Return the factor (0..1) on every learning rate after `spent_s` seconds; `step` counts this run's steps."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        if spent_s < self.flat_until_s:
            return warm
        gone = min(1.0, (spent_s - self.flat_until_s) / max(1e-9, self.decay_until_s - self.flat_until_s))
        return warm * max(self.last_rate, 1 - math.sqrt(gone))

    def __str__(self) -> str:
        """Return a line of text for each part with the time at which it ends."""
        ends = (
            ("flat, squared error", self.flat_until_s),
            ("decay on crops, with SSIMULACRA2", self.crops_until_s),
            ("decay on whole pictures", self.decay_until_s),
            ("everything is written by", self.written_by_s),
            ("spare", self.budget_s),
        )
        return "\n".join(f"until {end_s // 60:3.0f} min {end_s % 60:4.1f} s: {name}" for name, end_s in ends)


def average_decay(step: int, longest: float) -> float:
    """Return the decay factor of the weights' moving average: small in the first steps, rising to `longest`."""
    return min(longest, (1 + step) / (20 + step))
