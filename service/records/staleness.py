"""Decide whether a stored picture may be served now, fresh or stale (RFC 9111 4.2.4, RFC 5861). No I/O, no clock."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from service.rules import response_age


class Use(Enum):
    """How a stored picture may be used for a request."""

    FRESH = auto()
    WHILE_REVALIDATING = auto()
    """The picture is stale, but may be served while it is revalidated (stale-while-revalidate, RFC 5861 3)."""
    INSTEAD_OF_ERROR = auto()
    """The picture is stale, but may be served because the origin has just failed (stale-if-error, RFC 5861 4)."""
    AFTER_VALIDATION = auto()


class Dated(Protocol):
    """A record, or another cached response of the origin, with its dates and lifetimes."""

    @property
    def born_ms(self) -> int:
        """When the origin generated the response, in milliseconds since the epoch."""

    @property
    def lifetime_s(self) -> int:
        """The freshness lifetime in seconds, counted from `born_ms`."""

    @property
    def stale_while_revalidate_s(self) -> int:
        """For how many seconds after its lifetime the response may be served during a revalidation (RFC 5861 3)."""

    @property
    def stale_if_error_s(self) -> int:
        """For how many seconds after its lifetime the response may be served instead of an error (RFC 5861 4)."""


def use_of(record: Dated, *, now_s: float, held_off: bool = False) -> Use:
    """Return how a record may be used now. With `held_off`, the origin is not asked, because of a back-off."""
    stale_s = _stale_s(record, now_s)
    if stale_s < 0:
        return Use.FRESH
    if held_off and stale_s < max(record.stale_if_error_s, record.stale_while_revalidate_s):
        return Use.INSTEAD_OF_ERROR
    return Use.WHILE_REVALIDATING if stale_s < record.stale_while_revalidate_s else Use.AFTER_VALIDATION


def may_stand_in(record: Dated, *, now_s: float) -> bool:
    """Return whether a record may be served instead of an error of the origin (stale-if-error, RFC 5861 4)."""
    return _stale_s(record, now_s) < record.stale_if_error_s


def _stale_s(record: Dated, now_s: float) -> int:
    return -response_age.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=now_s)
