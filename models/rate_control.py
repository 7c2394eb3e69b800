"""Which quality meets a target: bisection over the 64 qualities. Knows no networks: it is given what to measure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.config import QUALITIES

_FIRST_GUESS, _USUAL_RISE = 34, 1.1
"""Quality and points of SSIMULACRA2 a quality around a score of 70 (measured on validation pictures)."""
_GUESSES = 4
"""After so many measurements the rest is bisection, whatever the curve."""

if TYPE_CHECKING:
    from collections.abc import Callable


class TargetError(ValueError):
    """No quality meets the target."""


def lowest_quality(reaches: Callable[[int], bool]) -> int:
    """The lowest quality that reaches a target, 63 if none does; six measurements, as targets are reached for good."""
    low, high = -1, QUALITIES - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def quality_of_score(score: Callable[[int], float], target: float) -> int:
    """As `lowest_quality`, for scores that rise smoothly: by interpolation, mostly four measurements, ten at most."""
    low, high = -1, QUALITIES - 1
    known: dict[int, float] = {}
    guess = _FIRST_GUESS
    while high - low > 1:
        known[guess] = score(guess)
        low, high = (low, guess) if known[guess] >= target else (guess, high)
        guess = (low + high) // 2 if len(known) > _GUESSES else _guess(known, guess, target)
        guess = min(max(guess, low + 1), high - 1)
    return high


def _guess(known: dict[int, float], last: int, target: float) -> int:
    """Along the line through the two measurements closest to the target, or by the usual slope from the only one."""
    near = sorted(known, key=lambda quality: abs(known[quality] - target))[:2]
    rise = (known[near[-1]] - known[near[0]]) / (near[-1] - near[0]) if len(near) > 1 else _USUAL_RISE
    return last if rise <= 0 else math.ceil(near[0] + (target - known[near[0]]) / rise)


def highest_quality(fits: Callable[[int], bool]) -> int:
    """The highest quality that fits; six or seven measurements. Raises `TargetError` when even quality 0 does not."""
    first_too_long = lowest_quality(lambda quality: not fits(quality))
    if first_too_long == QUALITIES - 1 and fits(first_too_long):
        return first_too_long
    if first_too_long == 0:
        raise TargetError("even quality 0 takes more bytes")
    return first_too_long - 1
