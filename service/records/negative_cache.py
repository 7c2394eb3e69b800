"""Remembers errors of the origin in the store, and raises them again while they count."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from service.errors import StoreUnavailable
from service.records.negative_entry import NegativeEntry, pack_negative_entry, unpack_negative_entry
from service.records.purge_table import PurgeTable
from service.records.record import all_fit
from service.rules import freshness
from service.rules.freshness import FreshnessRules
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import ResponseFields
from service.store.latent_store import Beside, LatentStore, Token


class NegativeCache:
    """The remembered errors of one store."""

    def __init__(self, store: LatentStore, rules: FreshnessRules, *, now: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._now = now

    def recall(self, value: bytes, key: bytes, purges: PurgeTable) -> None:
        """Raise what the string under this key remembers, unless its time is over or it was purged."""
        entry, now_s = unpack_negative_entry(value, key), self._now()
        left_s = freshness.remaining_s(born_ms=entry.born_ms, lifetime_s=entry.lifetime_s, now_s=now_s)
        if left_s > 0 and entry.generation >= purges.latest:
            age = str(freshness.age_s(born_ms=entry.born_ms, now_s=now_s))
            fields = ResponseFields(
                asked_s=now_s, answered_s=now_s, passed=entry.passed, age=age, error_fields=entry.error_fields
            )
            raise OriginRefused(entry.status, fields, ttl_s=left_s)

    async def remember(
        self, key: bytes, refused: OriginRefused, *, under: Token, generation: int, beside: Beside | None, over: bool
    ) -> None:
        """Store the error for as long as the origin or the operator says; `over` overwrites what the key holds."""
        value, left_s = self.packed(key, refused, generation=generation)
        if left_s > 0:
            # Else only where there is nothing: a picture, even a stale one, is worth more than an error.
            store = self._store.put if over else self._store.add
            with suppress(StoreUnavailable):
                await store(key, value, ttl_s=left_s, under=under, beside=beside)

    def packed(self, key: bytes, refused: OriginRefused, *, generation: int) -> tuple[bytes, int]:
        """Return an error as the string that `recall` reads, and for how many seconds it counts: 0 for none."""
        fields = freshness.with_date(refused.fields)
        entry = NegativeEntry(
            status=refused.status,
            born_ms=freshness.born_ms(fields),
            lifetime_s=freshness.negative_lifetime_s(refused.status, fields, self._rules),
            generation=generation,
            passed=fields.passed,
            error_fields=fields.error_fields,
        )
        left_s = freshness.remaining_s(born_ms=entry.born_ms, lifetime_s=entry.lifetime_s, now_s=self._now())
        fits = all_fit(entry.passed) and entry.error_fields.can_be_kept
        return (pack_negative_entry(entry, key), left_s) if left_s > 0 and fits else (b"", 0)
