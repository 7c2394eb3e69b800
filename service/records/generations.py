"""A process's copy of the store's table of purges, which is at most a second old when it is used.

Generations must never decrease, even if the store loses the table (by FLUSHALL, or because a cluster node was lost). A
process that has a copy restores the table. If no process has one, all pictures stored before count as purged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from service.errors import StoreUnavailable
from service.records.last_known import LastKnown
from service.records.purge_table import HARD, ONE, PurgeTable, field_of
from service.records.store_keys import KEY_PREFIX
from service.store.cancellation import cancel
from service.store.generation_store import GenerationStore

REFRESH_S = 1.0
RETRY_S = 1.0  # the pause before a failed subscription is retried (assumed); meanwhile the table is still refreshed


class Generations:
    """The table of purges of one origin, which all edges with the same store share."""

    def __init__(
        self,
        store: GenerationStore,
        last_known: LastKnown,
        *,
        grace_s: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Purges by id that are heard of end the records of `last_known`.

        `grace_s` is how long the table may be used after it was last read, if it cannot be read.
        """
        self._store = store
        self._last_known = last_known
        self._grace_s = grace_s
        self._clock = clock
        self._read_s = float("-inf")
        """When the table was last read."""
        self._heard = 0
        """The latest generation that was heard of."""
        self._known = PurgeTable()
        self._good_until_s = float("-inf")
        self._refreshing = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Start a task that subscribes to changes of the table of purges."""
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop the task that `listen` started."""
        await cancel(self._listening)

    async def current(self) -> PurgeTable:
        """Return the table of purges, at most REFRESH_S old. Raises StoreUnavailable."""
        if self._clock() >= self._good_until_s:
            async with self._refreshing:
                if self._clock() >= self._good_until_s:
                    await self._refresh()
        return self._known

    async def _refresh(self) -> None:
        """Read the table, or keep the known one for another second if it cannot be read. Raises StoreUnavailable."""
        try:
            await self.read()
        except StoreUnavailable:
            # In a cluster, the node that has the table may fail alone.
            if self.last_read() is None or self._clock() - self._read_s > self._grace_s:
                raise
            self._good_until_s = self._clock() + REFRESH_S

    def last_read(self) -> PurgeTable | None:
        """Return the purges as they were read last, or None if a later one was heard of. Asks nothing."""
        return self._known if self._known.latest and self._known.latest >= self._heard else None

    async def read(self) -> PurgeTable:
        """Read the table of purges from the store, and return it. Raises StoreUnavailable."""
        asked_s, heard = self._clock(), self._heard
        latest = await self._store.latest()
        if latest < self._known.latest:
            await self._store.restore(self._known.generations)
        elif not latest:
            await self._store.begin(HARD)
        if latest != self._known.latest or not latest:
            purges = PurgeTable(await self._store.table())
            if purges.latest >= self._known.latest:  # a concurrent read may have returned a newer table meanwhile
                self._known = purges
        self._good_until_s = max(self._good_until_s, asked_s + REFRESH_S)
        self._read_s = max(self._read_s, asked_s)
        if heard == self._heard:
            self._heard = 0  # what was heard is in the table, or was about another database of this server
        return self._known

    async def purge(self, tag: str | None, *, soft: bool) -> int:
        """Purge all pictures with `tag`, or all pictures if it is None. Return the generation of the purge.

        The method returns when no process serves the purged pictures any more. Raises StoreUnavailable.
        """
        await self.read()  # `read` restores the table of purges if the store has lost it
        generation = await self._store.advance(field_of(tag, soft=soft))
        await self.read()
        # After REFRESH_S, every other process has read the new table, or will read it before it uses its copy again.
        await asyncio.sleep(REFRESH_S)
        return generation

    async def next(self) -> int:
        """Advance the latest generation, and return it. Earlier fills have a smaller one. Raises StoreUnavailable."""
        await self.read()
        return await self._store.advance(ONE)

    def _hear(self, news: bytes) -> None:
        if news.startswith(KEY_PREFIX):
            self._last_known.forget(news)
            return
        self._good_until_s = float("-inf")
        if news.isdigit():
            self._heard = max(self._heard, int(news))

    async def _listen(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                async for news in self._store.changes():
                    self._hear(news)
            await asyncio.sleep(RETRY_S)
