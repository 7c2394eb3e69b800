"""One fill per picture over all processes and machines: the holder of the lease asks the origin, the others wait.

    take -> mine      fill, and store under its token: a lease that has ended meanwhile (a pause, a purge) stores none
         -> another's wait until that lease has ended, look for its record, else take the lease
         -> passed    the picture may not be stored: nobody waits for anybody (Varnish: hit-for-miss)
         -> unknown   the store does not answer, or this process has waited long enough: fill, and store nothing

One flight of each process waits, not each of its requests. It polls: a notice that a lease has ended would take a
subscription per picture, while a fill takes as long as the first few polls.
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
# Assumed: longer than an event loop is ever held up, and short for processes that wait for one that was killed.
LEASE_MS = 5_000
HEARTBEATS = 3
"""How often a lease is renewed in its lifetime."""
PASSED = b"passed"  # no token: those have 16 bytes
# Assumed. It costs nothing when it is wrong: the first answer that may be stored takes it away.
PASSED_MS = 60_000
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.02, 0.25, 1.5  # assumed: an encode takes 60 ms


class Standing(Enum):
    """What the lease of a picture means to the process that asked for it."""

    MINE = auto()
    ANOTHERS = auto()
    PASSED = auto()
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

    def pass_on(self) -> None:
        """Mark the picture as one that may not be stored: requests of the next minute fetch it for themselves."""
        self.mark = PASSED


class Leases:
    """The leases of one store."""

    def __init__(self, store: LatentStore, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._patience_s = patience_s
        self._clock = clock

    def line(self, key: bytes) -> Line:
        """Return a place among the processes that want to fill one picture."""
        return Line(self._store, key, until_s=self._clock() + self._patience_s, clock=self._clock)

    async def is_passed(self, key: bytes) -> bool:
        """Whether a picture was found to be one that may not be stored."""
        with suppress(RecordError):
            return await self._store.get(key) == PASSED
        return False

    async def no_longer_passed(self, key: bytes) -> None:
        """Remove the mark, so that the next request fills again."""
        with suppress(StoreUnavailable):
            await self._store.give_back(Token(key, PASSED))


class Line:
    """Asks for the lease until it is held or not needed any more."""

    def __init__(self, store: LatentStore, key: bytes, *, until_s: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._token = Token(key, secrets.token_bytes(TOKEN_BYTES))
        self._until_s = until_s
        self._clock = clock
        self.waited = False

    def of(self, key: bytes) -> Line:
        """Return this place for another lease; the time that was waited counts there too."""
        if key == self._token.lease:
            return self
        line = Line(self._store, key, until_s=self._until_s, clock=self._clock)
        line.waited = self.waited
        return line

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Ask for the lease and yield it. If it is ours, it is renewed until the block ends."""
        lease = await self._found()
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

    async def _found(self) -> Lease:
        try:
            holder = await self._store.take(self._token, ttl_ms=LEASE_MS)
        except StoreUnavailable:
            return Lease(Standing.UNKNOWN, self._token)
        if holder == self._token.secret:
            return Lease(Standing.MINE, self._token)
        if holder == PASSED:
            return Lease(Standing.PASSED, self._token)
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
            await self._store.leave(self._token, lease.mark, ttl_ms=PASSED_MS)
        else:
            await self._store.give_back(self._token)
