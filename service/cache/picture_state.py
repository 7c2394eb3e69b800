"""Look up the picture of a request in the store, and tell in which of six states it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.cache.answer import Asked
from service.cache.hold_off import HoldOff
from service.errors import RecordError, StoreUnavailable
from service.metrics.store_counts import StoreCounts
from service.reason import Reason
from service.records.demoted import is_demoted
from service.records.grant import Found
from service.records.lease import Leases
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.record_store import RecordStore
from service.records.staleness import Use, use_of


@dataclass(frozen=True, slots=True)
class Fresh:
    """A record that may be served without validation (RFC 9111 4.2)."""

    found: Found


@dataclass(frozen=True, slots=True)
class Stale:
    """A stale record that may be served: while it is revalidated, or instead of an error (RFC 5861)."""

    found: Found
    reason: Reason


@dataclass(frozen=True, slots=True)
class Missing:
    """No record, a stale one that must be validated before it is served, or for a child edge a demoted one."""

    lookup: Lookup


@dataclass(frozen=True, slots=True)
class HitForMiss:
    """No record, and a hit-for-miss mark: the origin forbids to store this picture."""

    lookup: Lookup
    forwarded: Reason
    """Why the request is forwarded to the origin or the parent."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A fresh record that the store has confirmed a short while ago. Now it does not answer."""

    record: Record


@dataclass(frozen=True, slots=True)
class NoStore:
    """The store does not answer, so nothing is known about the picture."""


PictureState = Fresh | Stale | Missing | HitForMiss | Unconfirmed | NoStore


class PictureStates:
    """Looks pictures up in the store, and judges how they may be used now."""

    def __init__(
        self,
        record_store: RecordStore,
        leases: Leases,
        hold_off: HoldOff,
        *,
        counts: StoreCounts,
        now: Callable[[], float],
    ) -> None:
        self._record_store = record_store
        self._leases = leases
        self._hold_off = hold_off
        self._counts = counts
        self._now = now

    async def look(self, asked: Asked, *, may_validate: bool = True) -> PictureState:
        """Return the state of a picture. Raises OriginRefused or SourceError from a negative cache entry.

        Without `may_validate` a stale picture is shown as in its back-off.
        """
        try:
            lookup = await self._record_store.lookup(asked.wanted.image_id, asked.terms.fields)
            found = await self._record_store.look(lookup)
            if isinstance(found, Found):
                return self._judge(found, asked, may_validate=may_validate)
            return HitForMiss(lookup, found) if await self._leases.is_hit_for_miss(lookup.lease) else Missing(lookup)
        except StoreUnavailable:
            return self._recall(asked)
        except RecordError as error:
            self._counts.count_record_fault(error.reason)
            return Missing(lookup)

    def clear_back_off(self, image_id: str) -> None:
        """Clear the back-off that a picture has after a failed validation."""
        self._hold_off.end(image_id)

    def primary_key(self, image_id: str) -> bytes:
        """Return the key of a picture in the store, which holds its record or, if it has variants, its vary rule."""
        return self._record_store.home(image_id)

    def _recall(self, asked: Asked) -> Unconfirmed | NoStore:
        # A child edge would keep the latent for longer than this edge may show it.
        if not asked.wanted.is_latent:
            record = self._record_store.recall(asked.wanted.image_id, asked.terms.fields)
            if record is not None and use_of(record, now_s=self._now()) is Use.FRESH:
                return Unconfirmed(record)
        return NoStore()

    def _judge(self, found: Found, asked: Asked, *, may_validate: bool) -> PictureState:
        if asked.wanted.is_latent and is_demoted(found.record):
            return Missing(found.lookup)  # a child edge would take the medium latent for the picture's high one
        held_off = not may_validate or self._hold_off.holds(asked.wanted.image_id)
        match use_of(found.record, now_s=self._now(), held_off=held_off):
            case Use.FRESH:
                return Fresh(found)
            case Use.INSTEAD_OF_ERROR:
                return Stale(found, Reason.STALE_IF_ERROR)
            # Not for a child edge: it would store the stale latent, and ask again at once.
            case Use.WHILE_REVALIDATING if not asked.wanted.is_latent:
                return Stale(found, Reason.STALE_WHILE_REVALIDATE)
            case _:
                return Missing(found.lookup)
