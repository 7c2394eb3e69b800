"""Read the records of one origin, and decide whether they can be used. `granted_writes` stores them.

A record of another release (see `record_reader`) is not overwritten. The picture is filled for this process alone (see
`own_records`), and that record is used for as long as the string in the store does not change.

If a picture varies, its key holds the vary rule, and other keys hold the variants (see `lookup`). A hit then takes two
reads.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from service.errors import EdgeError, RecordError, RecordOfOthers, StoreUnavailable
from service.reason import Reason
from service.records.generations import Generations
from service.records.grant import Found, PurgePoint
from service.records.granted_writes import GrantedWrites
from service.records.last_known import LastKnown
from service.records.lookup import Lookup
from service.records.negative_cache import NegativeCache
from service.records.negative_entry import is_negative_entry
from service.records.own_records import OwnRecords
from service.records.purge_table import PurgeTable
from service.records.record import Record
from service.records.record_reader import Books, RecordReader
from service.records.store_keys import purge_mark_key, record_key
from service.records.vary_rule import is_rule, unpack_rule
from service.rules.vary import Fields
from service.store.latent_store import LatentStore


class RecordStore:
    """The records of one origin."""

    def __init__(
        self,
        store: LatentStore,
        books: Books,
        *,
        generations: Generations,
        last_known: LastKnown,
        negative_cache: NegativeCache,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._books = books
        self._generations = generations
        self._last_known = last_known
        self._negative_cache = negative_cache
        self._now = now
        self._reader = RecordReader(books, now=now)
        self._own_records = OwnRecords()
        self.writes = GrantedWrites(
            store,
            books,
            generations=generations,
            negative_cache=negative_cache,
            own_records=self._own_records,
            now=now,
        )
        """Stores what fills have made."""

    def home(self, image_id: str) -> bytes:
        """Return the key of a picture."""
        return record_key(image_id, origin=self._books.origin)

    async def lookup(self, image_id: str, fields: Fields) -> Lookup:
        """Return the lookup of a request, with the vary rule that the store holds now. Raises StoreUnavailable."""
        home = self.home(image_id)
        lookup = Lookup(image_id, home, fields, purges=self._last_known.purges)
        try:
            held = await self._store.get(home)
        except RecordError:
            return replace(lookup, held=b"")  # an empty `held` makes `look` raise DamagedRecord
        lookup = replace(lookup, held=held)
        if held is None or not is_rule(held):
            return lookup
        with suppress(RecordError):  # `look` raises the error of a vary rule that cannot be read
            return lookup.under(unpack_rule(held, home))
        return lookup

    async def look(self, lookup: Lookup, purges: PurgeTable | None = None) -> Found | Reason:
        """Do as `_look` does, and remember what was found. `recall` returns it while the store does not answer."""
        try:
            found = await self._look(lookup, purges)
        except StoreUnavailable:
            raise
        except EdgeError:
            self._last_known.drop(lookup)
            raise
        if isinstance(found, Found):
            self._last_known.note(lookup, found.record)
        else:
            self._last_known.drop(lookup)
        return found

    def recall(self, image_id: str, fields: Fields) -> Record | None:
        """Return the record that the store has confirmed a short while ago, unless a purge is known. Asks nothing."""
        record = self._last_known.recall(Lookup(image_id, self.home(image_id), fields))
        purges = self._generations.last_read()
        if record is None or purges is None or purges.has_removed(record):
            return None
        return purges.apply(record, now_s=self._now())

    async def _look(self, lookup: Lookup, purges: PurgeTable | None) -> Found | Reason:
        """Return the record that can be used now, or the reason why there is none.

        A fill passes `purges`; then a record that was purged, or an entry that has expired, is also deleted. Otherwise
        the latest known table of purges is used. Raises StoreUnavailable, RecordError, or the error in a negative cache
        entry. RecordOfOthers means that the store holds another release's record, and this process has none in memory.
        """
        value = lookup.held if lookup.rule is None else await self._store.get(lookup.key)
        if value is None:
            return lookup.miss
        known = purges or await self._generations.current()
        try:
            found = self._usable(lookup, value, known)
        except RecordOfOthers:
            own = self._own_records.get(lookup, value)
            found = lookup.miss if own is None else self._usable(lookup, own, known)
            if isinstance(found, Reason):
                raise
            return replace(found, value=value, is_own=True)
        if isinstance(found, Reason) and purges is not None:
            await self._store.remove(lookup.key, value)
        return found

    def _usable(self, lookup: Lookup, value: bytes, purges: PurgeTable) -> Found | Reason:
        if is_negative_entry(value):
            self._negative_cache.recall(value, lookup.key, purges)
            return lookup.miss
        record = self._reader.read(value, lookup.key)
        if purges.has_removed(record):
            return Reason.PURGED
        stale_before = 0 if lookup.rule is None else lookup.rule.stale_before
        return Found(lookup, purges.apply(record, now_s=self._now(), stale_before=stale_before), value)

    async def purges(self) -> PurgeTable:
        """Read the table of purges from the store, and return it. Raises StoreUnavailable."""
        return await self._generations.read()

    async def purge_point(self, lookup: Lookup) -> PurgePoint:
        """Return the latest purges of a picture; an empty PurgePoint if the store does not answer."""
        with suppress(StoreUnavailable, RecordError):
            mark = await self._store.get(purge_mark_key(lookup.home)) or b""
            return PurgePoint(mark, (await self._generations.current()).latest)
        return PurgePoint(b"", 0)

    async def is_purged(self, record: Record, *, soft: bool) -> bool:
        """Return whether a hard purge by tag or of all pictures is newer than the record; with `soft`, also a soft one.

        Return False if the store does not answer.
        """
        with suppress(StoreUnavailable):
            purges = await self._generations.current()
            return purges.has_removed(record) or (soft and purges.stale_since_ms(record) is not None)
        return False
