"""How a stored picture may be used now: RFC 9111 4.2.4 and RFC 5861. No I/O, no clock."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from service.rules import freshness


class Use(Enum):
    """How a stored picture may be used."""

    FRESH = auto()
    WHILE_REVALIDATING = auto()
    """Stale, and may be shown while the origin is asked (RFC 5861 3)."""
    INSTEAD_OF_ERROR = auto()
    """Stale, and may be shown because the origin has just failed (RFC 5861 4)."""
    AFTER_VALIDATION = auto()


class Dated(Protocol):
    """A record, or another answer of the origin that is kept for a while."""

    @property
    def born_ms(self) -> int:
        """When the origin made it."""

    @property
    def lifetime_s(self) -> int:
        """How long it is fresh."""

    @property
    def stale_while_revalidate_s(self) -> int:
        """How long after that it may be shown while it is validated (RFC 5861 3)."""

    @property
    def stale_if_error_s(self) -> int:
        """How long it may be shown instead of an error (RFC 5861 4)."""


def use_of(record: Dated, *, now_s: float, held_off: bool = False) -> Use:
    """Return how a record may be used now. `held_off`: its back-off has not ended, so the origin is not asked."""
    stale_s = _stale_s(record, now_s)
    if stale_s < 0:
        return Use.FRESH
    if held_off and stale_s < max(record.stale_if_error_s, record.stale_while_revalidate_s):
        return Use.INSTEAD_OF_ERROR
    return Use.WHILE_REVALIDATING if stale_s < record.stale_while_revalidate_s else Use.AFTER_VALIDATION


def may_stand_in(record: Dated, *, now_s: float) -> bool:
    """Return whether a record may be shown where the origin fails (RFC 5861 4)."""
    return _stale_s(record, now_s) < record.stale_if_error_s


def _stale_s(record: Dated, now_s: float) -> int:
    return -freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=now_s)
