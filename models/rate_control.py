"""Which quality meets a target: bisection over the 64 qualities. Knows no networks: it is given what to measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.config import QUALITIES

if TYPE_CHECKING:
    from collections.abc import Callable


class TargetError(ValueError):
    """No quality meets the target."""


def lowest_quality(reaches: Callable[[int], bool]) -> int:
    """The lowest quality that reaches a score, 63 if none does; six measurements, as scores rise with quality."""
    low, high = 0, QUALITIES - 1
    while low < high:
        middle = (low + high) // 2
        if reaches(middle):
            high = middle
        else:
            low = middle + 1
    return low


def highest_quality(fits: Callable[[int], bool]) -> int:
    """The highest quality that fits; six or seven measurements. Raises `TargetError` when even quality 0 does not."""
    first_too_long = lowest_quality(lambda quality: not fits(quality))
    if first_too_long == QUALITIES - 1 and fits(first_too_long):
        return first_too_long
    if first_too_long == 0:
        raise TargetError("even quality 0 takes more bytes")
    return first_too_long - 1
