"""One fill per picture over all processes and machines: the holder of the lease asks the origin, the others wait.

A fill first waits for a turn in its process (see `turns`). Then:

    take -> mine          fill, and store the record, unless the lease has ended meanwhile (by a pause or a purge)
         -> another's     wait until that lease has ended; then look for the new record, or else take the lease
         -> hit-for-miss  the picture may not be stored, so no request waits for another one's fetch (Varnish's term)
         -> unknown       the store does not answer, or no process renews the lease: fill, and store nothing

Only one flight of each process waits for a lease. It waits as long as the holder works, as the holder's own requests
do. It polls, because a notification would need a subscription for each picture, and a fill takes only as long as the
first few polls.
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
from service.records import heartbeat
from service.records.heartbeat import Heartbeat
from service.records.turns import Turn, Turns
from service.store.latent_store import LatentStore, Token

TOKEN_BYTES = 16
HIT_FOR_MISS = b"passed"
"""The string that replaces the lease of a picture that may not be stored. It is shorter than a token."""
# The TTL of a hit-for-miss mark (assumed). An outdated mark costs little, because the first response that may be stored
# removes it.
HIT_FOR_MISS_MS = 60_000
# The pauses between polls of a lease. Assumed: an encode takes 60 ms.
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.02, 0.25, 1.5


class Standing(Enum):
    """Who holds the lease of a picture, as seen by the process that tried to take it."""

    MINE = auto()
    ANOTHERS = auto()
    HIT_FOR_MISS = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class Lease:
    """The result of trying to take the lease of one picture."""

    standing: Standing
    token: Token
    turn: Turn
    """The turn of the fill in this process."""
    mark: bytes = b""
    """The string that replaces the lease in the store when it ends; empty for none."""
    holder: bytes = b""

    @property
    def may_fill(self) -> bool:
        """Whether this process may fetch the picture now, instead of waiting for another process."""
        return self.standing is not Standing.ANOTHERS

    @property
    def writes(self) -> Token | None:
        """The token under which the record may be stored; None if nothing may be stored."""
        return self.token if self.standing is Standing.MINE else None

    def end_turn(self) -> None:
        """Let another fill of this process begin. The lease remains."""
        self.turn.end()

    def mark_hit_for_miss(self) -> None:
        """Leave a hit-for-miss mark when the lease ends: for a minute, no request waits for another one's fetch."""
        self.mark = HIT_FOR_MISS


class Leases:
    """Gives access to the leases of all pictures in one store."""

    def __init__(
        self, store: LatentStore, turns: Turns, *, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """After `patience_s` of waiting, a lease is given up if nobody can be renewing it."""
        self._store = store
        self._turns = turns
        self._heartbeat = Heartbeat(store)
        self._patience_s = patience_s
        self._clock = clock

    def line(self, key: bytes) -> Line:
        """Return a Line, with which this process takes the lease `key` or waits for it."""
        until_s = self._clock() + self._patience_s
        return Line(self._store, key, turns=self._turns, heartbeat=self._heartbeat, until_s=until_s, clock=self._clock)

    async def is_hit_for_miss(self, key: bytes) -> bool:
        """Return whether the lease `key` holds a hit-for-miss mark: the picture may not be stored."""
        with suppress(RecordError):
            return await self._store.get(key) == HIT_FOR_MISS
        return False

    async def clear_hit_for_miss(self, key: bytes) -> None:
        """Remove the hit-for-miss mark under the lease `key`, so that requests wait for one common fill again."""
        with suppress(StoreUnavailable):
            await self._store.give_back(Token(key, HIT_FOR_MISS))


class Line:
    """Takes the lease of one picture, or waits until another process has released it."""

    def __init__(
        self,
        store: LatentStore,
        key: bytes,
        *,
        turns: Turns,
        heartbeat: Heartbeat,
        until_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._token = Token(key, secrets.token_bytes(TOKEN_BYTES))
        self._turns = turns
        self._heartbeat = heartbeat
        self._until_s = until_s
        self._clock = clock
        self._has_given_up = False
        self.waited = False

    def of(self, key: bytes) -> Line:
        """Return a Line for the lease `key` with the deadline of this one, because time already waited counts."""
        if key == self._token.lease:
            return self
        line = Line(
            self._store,
            key,
            turns=self._turns,
            heartbeat=self._heartbeat,
            until_s=self._until_s,
            clock=self._clock,
        )
        line.waited = self.waited
        return line

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Wait for a turn, try to take the lease, and yield the result.

        A lease that this process holds is renewed during the block. Raises QueueFull if the turn would come too late.
        """
        async with self._turns.turn(again=self.waited) as turn:
            lease = await self._take(turn)
            if lease.standing is not Standing.MINE:
                yield lease
                return
            try:
                with self._heartbeat.renewing(self._token):
                    yield lease
            finally:
                with suppress(StoreUnavailable):  # a lease that cannot be ended expires after LEASE_MS
                    await self._end(lease)

    async def wait(self, lease: Lease) -> None:
        """Wait until the other process no longer holds the lease, or until no process can be renewing it."""
        self.waited = True
        pause_s = FIRST_PAUSE_S
        with suppress(StoreUnavailable, RecordError):
            while await self._store.get(self._token.lease) == lease.holder:
                if self._clock() >= self._until_s:
                    if not await self._is_alive():
                        self._has_given_up = True
                        return
                    self._until_s = self._clock() + heartbeat.LEASE_MS / 1000
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)

    async def _is_alive(self) -> bool:
        """Return whether the lease is one that ends soon unless its holder renews it.

        The lease of a dead process lasts longer only if the clock of the store was set back.
        """
        remaining_ms = await self._store.remaining_ms(self._token.lease)
        return remaining_ms is not None and remaining_ms <= heartbeat.LEASE_MS

    async def _take(self, turn: Turn) -> Lease:
        try:
            holder = await self._store.take(self._token, ttl_ms=heartbeat.LEASE_MS)
        except StoreUnavailable:
            return Lease(Standing.UNKNOWN, self._token, turn)
        if holder == self._token.secret:
            return Lease(Standing.MINE, self._token, turn)
        if holder == HIT_FOR_MISS:
            return Lease(Standing.HIT_FOR_MISS, self._token, turn)
        standing = Standing.UNKNOWN if self._has_given_up else Standing.ANOTHERS
        return Lease(standing, self._token, turn, holder=holder)

    async def _end(self, lease: Lease) -> None:
        if lease.mark:
            await self._store.leave(self._token, lease.mark, ttl_ms=HIT_FOR_MISS_MS)
        else:
            await self._store.give_back(self._token)
