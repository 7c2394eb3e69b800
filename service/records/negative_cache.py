"""Read and write negative cache entries: errors of the origin, and files of the origin that the edge cannot serve."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from service.errors import (
    DamagedPicture,
    DamagedRecord,
    NotAPicture,
    PictureTooLarge,
    SourceError,
    StoreUnavailable,
)
from service.records.negative_entry import NegativeEntry, pack_negative_entry, unpack_negative_entry
from service.records.purge_table import PurgeTable
from service.records.record import all_fit
from service.rules import freshness, response_age
from service.rules.freshness import FreshnessRules
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import PassedOn, ResponseFields
from service.store.latent_store import Beside, LatentStore, Token

Rememberable = OriginRefused | SourceError
SOURCE_ERRORS = {int(kind.status): kind for kind in (NotAPicture, DamagedPicture, PictureTooLarge)}


class NegativeCache:
    """The negative cache entries of one store."""

    def __init__(self, store: LatentStore, rules: FreshnessRules, *, now: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._now = now

    def recall(self, value: bytes, key: bytes, purges: PurgeTable) -> None:
        """Raise the error in the negative cache entry `value`. Return if the entry has expired or was purged.

        Raises a RecordError if the entry cannot be read.
        """
        entry, now_s = unpack_negative_entry(value, key), self._now()
        left_s = response_age.remaining_s(born_ms=entry.born_ms, lifetime_s=entry.lifetime_s, now_s=now_s)
        if left_s > 0 and entry.generation >= purges.latest:
            if entry.is_edges_own:
                raise _source_error(entry, ttl_s=left_s)
            age = str(response_age.age_s(born_ms=entry.born_ms, now_s=now_s))
            fields = ResponseFields(
                asked_s=now_s, answered_s=now_s, passed=entry.passed, age=age, error_fields=entry.error_fields
            )
            raise OriginRefused(entry.status, fields, ttl_s=left_s)

    async def remember(
        self, key: bytes, error: Rememberable, *, under: Token, generation: int, beside: Beside | None, over: bool
    ) -> None:
        """Store an error for its freshness lifetime. `over` allows it to replace the present string of the key."""
        value, left_s = self.pack(key, error, generation=generation)
        if left_s > 0:
            # `add` stores only if the key does not exist, because even a stale picture is worth more than an error.
            store = self._store.put if over else self._store.add
            with suppress(StoreUnavailable):
                await store(key, value, ttl_s=left_s, under=under, beside=beside)

    def pack(self, key: bytes, error: Rememberable, *, generation: int) -> tuple[bytes, int]:
        """Return a negative cache entry for an error, and its lifetime in seconds; 0 means not to store it."""
        if isinstance(error, SourceError):
            entry = self._of_source(error, generation)
        else:
            entry = self._of_origin(error, generation)
        left_s = response_age.remaining_s(born_ms=entry.born_ms, lifetime_s=entry.lifetime_s, now_s=self._now())
        fits = all_fit(entry.passed) and entry.error_fields.can_be_kept
        return (pack_negative_entry(entry, key), left_s) if left_s > 0 and fits else (b"", 0)

    def _of_origin(self, refused: OriginRefused, generation: int) -> NegativeEntry:
        fields = response_age.with_date(refused.fields)
        return NegativeEntry(
            status=refused.status,
            born_ms=response_age.born_ms(fields),
            lifetime_s=freshness.negative_lifetime_s(refused.status, fields, self._rules),
            generation=generation,
            passed=fields.passed,
            error_fields=fields.error_fields,
        )

    def _of_source(self, error: SourceError, generation: int) -> NegativeEntry:
        # The lifetime starts now, when the edge has found the file to be unusable. Vary is the only field of the origin
        # that is kept, because the other fields describe the file.
        return NegativeEntry(
            status=error.status,
            born_ms=round(self._now() * 1000),
            lifetime_s=error.lifetime_s,
            generation=generation,
            passed=PassedOn(vary=error.vary),
            is_edges_own=True,
        )


def _source_error(entry: NegativeEntry, *, ttl_s: int) -> SourceError:
    if entry.status not in SOURCE_ERRORS:
        raise DamagedRecord(f"a negative cache entry for an unusable file has the status {entry.status}")
    error = SOURCE_ERRORS[entry.status]("a negative cache entry says so")
    error.ttl_s, error.vary = ttl_s, entry.passed.vary
    return error
