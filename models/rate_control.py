"""Find the quality that meets a target, by bisection over the 64 qualities. The caller measures each quality tried."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.config import QUALITIES

_FIRST_GUESS, _USUAL_RISE = 34, 1.1
"""The quality at which a typical picture scores SSIMULACRA2 70, and the points by which the score rises there with each
quality (measured on validation pictures)."""
_GUESSES = 4
"""Number of measurements after which the search bisects instead of interpolating, so that it ends for any curve."""

if TYPE_CHECKING:
    from collections.abc import Callable


class TargetError(ValueError):
    """No quality from 0 to 63 meets the target."""


def lowest_quality(reaches: Callable[[int], bool]) -> int:
    """Return the lowest quality for which `reaches` returns true, or 63 if there is none, by six calls of it.

    `reaches` must be monotone: true for every quality above one for which it is true.
    """
    low, high = -1, QUALITIES - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def quality_of_score(score: Callable[[int], float], target: float) -> int:
    """Return the lowest quality whose `score` is at least `target`, or 63 if there is none.

    `score` must rise with the quality. Interpolation usually needs four calls of it, and ten at most.
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
    """Return the quality at which a line through the two measurements closest to `target` reaches it.

    With a single measurement the slope is `_USUAL_RISE`. Where the slope is not positive, return `last` again.
    """
    near = sorted(known, key=lambda quality: abs(known[quality] - target))[:2]
    rise = (known[near[-1]] - known[near[0]]) / (near[-1] - near[0]) if len(near) > 1 else _USUAL_RISE
    return last if rise <= 0 else math.ceil(near[0] + (target - known[near[0]]) / rise)


def highest_quality(fits: Callable[[int], bool]) -> int:
    """Return the highest quality for which `fits` returns true, by six or seven calls of it.

    Raises `TargetError` where even quality 0 does not fit.
    """
    first_too_long = lowest_quality(lambda quality: not fits(quality))
    if first_too_long == QUALITIES - 1 and fits(first_too_long):
        return first_too_long
    if first_too_long == 0:
        raise TargetError("the picture does not fit the target: even quality 0 takes more bytes")
    return first_too_long - 1
