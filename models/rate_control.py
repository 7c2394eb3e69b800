"""Find the quality that meets a target, by bisection over the 64 qualities. The caller measures; no networks here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.config import QUALITIES

_FIRST_GUESS, _USUAL_RISE = 34, 1.1
"""Typical quality for a score of 70, and points of SSIMULACRA2 per quality there (measured on validation pictures)."""
_GUESSES = 4
"""Number of measurements after which the search continues by bisection, whatever the curve."""

if TYPE_CHECKING:
    from collections.abc import Callable


class TargetError(ValueError):
    """No quality meets the target."""


def lowest_quality(reaches: Callable[[int], bool]) -> int:
    """Return the lowest quality that reaches a target, 63 if none does, by six measurements.

    Every quality above one that reaches the target must reach it too.
    """
    low, high = -1, QUALITIES - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def quality_of_score(score: Callable[[int], float], target: float) -> int:
    """Return what `lowest_quality` returns, for scores that rise smoothly.

    Interpolation needs four measurements mostly, ten at most.
    """
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
    """Extrapolate from the two measurements closest to the target, or by the usual slope from a single one."""
    near = sorted(known, key=lambda quality: abs(known[quality] - target))[:2]
    rise = (known[near[-1]] - known[near[0]]) / (near[-1] - near[0]) if len(near) > 1 else _USUAL_RISE
    return last if rise <= 0 else math.ceil(near[0] + (target - known[near[0]]) / rise)


def highest_quality(fits: Callable[[int], bool]) -> int:
    """Return the highest quality that fits, by six or seven measurements.

    Raises `TargetError` where quality 0 does not fit either.
    """
    first_too_long = lowest_quality(lambda quality: not fits(quality))
    if first_too_long == QUALITIES - 1 and fits(first_too_long):
        return first_too_long
    if first_too_long == 0:
        raise TargetError("even quality 0 takes more bytes")
    return first_too_long - 1
