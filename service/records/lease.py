"""One fill per picture over all processes and machines: the holder of the lease asks the origin, the others wait.

    take -> mine          fill, and store under its token: a lease that has ended (a pause, a purge) stores nothing
         -> another's     wait until that lease has ended, look for its record, else take the lease
         -> hit-for-miss  the picture may not be stored: no request waits for another's fetch (Varnish)
         -> unknown       the store does not answer, or this process has waited long enough: fill, and store nothing

One flight of each process waits, not each of its requests. It polls, since a notification would take a subscription per
picture, and a fill takes only as long as the first few polls.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto

from service.errors import RecordError, StoreUnavailable
from service.store.latent_store import LatentStore, Token

TOKEN_BYTES = 16
# Assumed: longer than an event loop is ever blocked, and short enough to wait for where the holder was killed.
LEASE_MS = 5_000
HEARTBEATS = 3
"""How often a lease is renewed in its lifetime."""
HIT_FOR_MISS = b"passed"  # shorter than any token
# Assumed. A mark that is wrong costs little: the first answer that may be stored removes it.
HIT_FOR_MISS_MS = 60_000
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.02, 0.25, 1.5  # assumed: an encode takes 60 ms


class Standing(Enum):
    """What the lease of a picture means to the process that asked for it."""

    MINE = auto()
    ANOTHERS = auto()
    HIT_FOR_MISS = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class Lease:
    """The lease of one picture as it was found."""

    standing: Standing
    token: Token
    mark: bytes = b""
    """The string that is left in the store when the lease ends; empty for none."""
    holder: bytes = b""

    @property
    def may_fill(self) -> bool:
        """Whether this process asks the origin now."""
        return self.standing is not Standing.ANOTHERS

    @property
    def writes(self) -> Token | None:
        """The token to store with, or None if nothing may be stored."""
        return self.token if self.standing is Standing.MINE else None

    def mark_hit_for_miss(self) -> None:
        """Mark the picture as one that may not be stored: each request of the next minute fetches it for itself."""
        self.mark = HIT_FOR_MISS


class Leases:
    """The leases of one store."""

    def __init__(self, store: LatentStore, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._patience_s = patience_s
        self._clock = clock

    def line(self, key: bytes) -> Line:
        """Return a place among the processes that want to fill one picture."""
        return Line(self._store, key, until_s=self._clock() + self._patience_s, clock=self._clock)

    async def is_hit_for_miss(self, key: bytes) -> bool:
        """Return whether a picture is marked as one that may not be stored."""
        with suppress(RecordError):
            return await self._store.get(key) == HIT_FOR_MISS
        return False

    async def clear_hit_for_miss(self, key: bytes) -> None:
        """Remove the mark, so that the next request fills again."""
        with suppress(StoreUnavailable):
            await self._store.give_back(Token(key, HIT_FOR_MISS))


class Line:
    """Waits for the lease of one picture."""

    def __init__(self, store: LatentStore, key: bytes, *, until_s: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._token = Token(key, secrets.token_bytes(TOKEN_BYTES))
        self._until_s = until_s
        self._clock = clock
        self.waited = False

    def of(self, key: bytes) -> Line:
        """Return a place in the line for another lease; the time that was waited counts there too."""
        if key == self._token.lease:
            return self
        line = Line(self._store, key, until_s=self._until_s, clock=self._clock)
        line.waited = self.waited
        return line

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Ask for the lease and yield it. If it is ours, it is renewed until the block ends."""
        lease = await self._take()
        if lease.standing is not Standing.MINE:
            yield lease
            return
        beating = asyncio.create_task(self._beat())
        try:
            yield lease
        finally:
            beating.cancel()
            with suppress(StoreUnavailable):  # it ends by itself
                await self._end(lease)

    async def wait(self, lease: Lease) -> None:
        """Wait until the other process no longer holds the lease, or this one has waited long enough."""
        self.waited = True
        pause_s = FIRST_PAUSE_S
        with suppress(StoreUnavailable, RecordError):
            while self._clock() < self._until_s and await self._store.get(self._token.lease) == lease.holder:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)

    async def _take(self) -> Lease:
        try:
            holder = await self._store.take(self._token, ttl_ms=LEASE_MS)
        except StoreUnavailable:
            return Lease(Standing.UNKNOWN, self._token)
        if holder == self._token.secret:
            return Lease(Standing.MINE, self._token)
        if holder == HIT_FOR_MISS:
            return Lease(Standing.HIT_FOR_MISS, self._token)
        late = self._clock() >= self._until_s
        return Lease(Standing.UNKNOWN if late else Standing.ANOTHERS, self._token, holder=holder)

    async def _beat(self) -> None:
        held = True
        while held:
            await asyncio.sleep(LEASE_MS / 1000 / HEARTBEATS)
            with suppress(StoreUnavailable):
                held = await self._store.extend(self._token, ttl_ms=LEASE_MS)

    async def _end(self, lease: Lease) -> None:
        if lease.mark:
            await self._store.leave(self._token, lease.mark, ttl_ms=HIT_FOR_MISS_MS)
        else:
            await self._store.give_back(self._token)
