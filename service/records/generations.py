"""The purges as a process knows them: as the store has them now, or had them a second ago at most.

Generations must never fall, even if the store loses its table (by a flush, or with a machine of a cluster). A process
that remembers the table restores it. Where none does, everything that was stored before counts as purged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from service.errors import StoreUnavailable
from service.records.purge_table import HARD, ONE, PurgeTable, field_of
from service.store.generation_store import GenerationStore

REFRESH_S = 1.0
CANCEL_AGAIN_S = 0.1
RETRY_S = 1.0  # assumed; without news the table is still refreshed


class Generations:
    """The purges of one origin, shared by all edges on its store."""

    def __init__(self, store: GenerationStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known = PurgeTable()
        self._good_until_s = float("-inf")
        self._refreshing = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Start listening for news of purges."""
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        # A cancellation that comes while a client of the store connects is lost (redis 8.1 on uvloop, seen).
        while self._listening is not None and not self._listening.done():
            self._listening.cancel()
            await asyncio.wait([self._listening], timeout=CANCEL_AGAIN_S)

    async def current(self) -> PurgeTable:
        """Return the purges as they were a second ago or less. Raises StoreUnavailable."""
        if self._clock() >= self._good_until_s:
            async with self._refreshing:
                if self._clock() >= self._good_until_s:
                    await self.read()
        return self._known

    async def read(self) -> PurgeTable:
        """Return the purges as the store has them now. Raises StoreUnavailable."""
        asked_s = self._clock()
        latest = await self._store.latest()
        if latest < self._known.latest:
            await self._store.restore(self._known.generations)
        elif not latest:
            await self._store.begin(HARD)
        if latest != self._known.latest or not latest:
            purges = PurgeTable(await self._store.table())
            if purges.latest >= self._known.latest:  # another read may have been faster
                self._known = purges
        self._good_until_s = max(self._good_until_s, asked_s + REFRESH_S)
        return self._known

    async def purge(self, tag: str | None, *, soft: bool) -> int:
        """Purge all pictures with a tag, or all. Returns when no process shows them. Raises StoreUnavailable."""
        await self.read()  # restores the table if the store has lost it
        generation = await self._store.advance(field_of(tag, soft=soft))
        await self.read()
        # After this time the other processes have read the table, or will read it before they use their copy.
        await asyncio.sleep(REFRESH_S)
        return generation

    async def next(self) -> int:
        """Return a new generation, which fills from now on have and earlier ones have not. Raises StoreUnavailable."""
        await self.read()
        return await self._store.advance(ONE)

    async def _listen(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                async for _ in self._store.changes():
                    self._good_until_s = float("-inf")
            await asyncio.sleep(RETRY_S)
