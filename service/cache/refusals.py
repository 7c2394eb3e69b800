"""Remembers errors of the origin in the store, and raises them again while they count."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from service.cache import freshness
from service.cache.freshness import FreshnessRules
from service.cache.origin_fields import OriginFields
from service.cache.purges import Purges
from service.cache.record import all_fit
from service.cache.refusal import Refusal, pack_refusal, unpack_refusal
from service.errors import OriginRefused, StoreUnavailable
from service.store.latent_store import Beside, LatentStore, Token


class Refusals:
    """Those of one store."""

    def __init__(self, store: LatentStore, rules: FreshnessRules, *, now: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._now = now

    def recall(self, value: bytes, purges: Purges) -> None:
        """Raise what a string of the store remembers, unless its time is over or it was purged."""
        refusal, now_s = unpack_refusal(value), self._now()
        left_s = freshness.remaining_s(born_ms=refusal.born_ms, lifetime_s=refusal.lifetime_s, now_s=now_s)
        if left_s > 0 and refusal.generation >= purges.latest:
            age = str(freshness.age_s(born_ms=refusal.born_ms, now_s=now_s))
            fields = OriginFields(asked_s=now_s, answered_s=now_s, passed=refusal.passed, age=age)
            raise OriginRefused(refusal.status, fields, ttl_s=left_s)

    async def remember(
        self, key: bytes, refused: OriginRefused, *, under: Token, generation: int, beside: Beside | None
    ) -> None:
        """For as long as the origin or the operator says."""
        fields = freshness.dated(refused.fields)
        refusal = Refusal(
            status=refused.status,
            born_ms=freshness.born_ms(fields),
            lifetime_s=freshness.refusal_lifetime_s(refused.status, fields, self._rules),
            generation=generation,
            passed=fields.passed,
        )
        left_s = freshness.remaining_s(born_ms=refusal.born_ms, lifetime_s=refusal.lifetime_s, now_s=self._now())
        if left_s > 0 and all_fit(refusal.passed):
            with suppress(StoreUnavailable):
                # Only where there is nothing: a picture, even a stale one, is worth more than an error.
                await self._store.add(key, pack_refusal(refusal), ttl_s=left_s, under=under, beside=beside)
