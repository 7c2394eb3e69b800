"""The store's clock, by which all edges on one store judge dates alike.

An edge whose own clock is wrong would take the fresh records of other edges for stale ones, or stale ones for fresh. So
each process asks the store for the time now and then. In between it counts on by its monotonic clock, which nobody
sets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from service.errors import StoreUnavailable
from service.store.cancellation import cancel

EVERY_S = 60.0  # assumed: few clocks drift by more than milliseconds in a minute
RETRY_S = 5.0  # pause between attempts until the store has answered once (assumed)
ROUND_TRIP_S = 2.0
"""Times that took longer to arrive are ignored (assumed): they are wrong by up to half of that."""
NOTABLE_S = 5.0
"""An offset above this is logged (assumed: NTP keeps clocks within milliseconds)."""


class TimeSource(Protocol):
    """A server that tells the time."""

    async def time_s(self) -> float:
        """Return the Unix time of the server in seconds. Raises StoreUnavailable."""


class StoreClock:
    """The time of the store. Before the store has answered for the first time, it is the time of this machine."""

    def __init__(
        self,
        store: TimeSource,
        *,
        on_offset: Callable[[float], None],
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_offset` is called with the seconds by which the store's clock is ahead of `wall`."""
        self._store = store
        self._on_offset = on_offset
        self._wall = wall
        self._monotonic = monotonic
        self._began_s = wall() - monotonic()
        """The store's time at the zero of the monotonic clock."""
        self._is_known = False
        self._is_notable = False
        self._following: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return self._monotonic() + self._began_s

    async def follow(self) -> None:
        """Ask the store for the time now, and then once a minute until `close`."""
        await self._try()
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop asking."""
        await cancel(self._following)

    async def sample(self) -> None:
        """Ask the store for the time. Raises StoreUnavailable."""
        asked_s = self._monotonic()
        theirs_s = await self._store.time_s()
        round_trip_s = self._monotonic() - asked_s
        if round_trip_s > ROUND_TRIP_S:
            return
        began_s = theirs_s - asked_s - round_trip_s / 2
        # A difference that the round trip explains is no reason to set the clock: it would go back and forth.
        if not self._is_known or abs(began_s - self._began_s) > round_trip_s / 2:
            self._began_s = began_s
        self._is_known = True
        self._tell(self.now() - self._wall())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S if self._is_known else RETRY_S)
            await self._try()

    async def _try(self) -> None:
        with suppress(StoreUnavailable):  # the clock counts on from the latest known time
            await self.sample()

    def _tell(self, offset_s: float) -> None:
        self._on_offset(offset_s)
        is_notable = abs(offset_s) > NOTABLE_S
        if is_notable and not self._is_notable:
            logging.getLogger(__name__).warning(
                "the clock of the store is %+.0f s off this machine's; pictures are dated by the store's", offset_s
            )
        elif self._is_notable and not is_notable:
            logging.getLogger(__name__).warning("the clocks of the store and this machine agree again")
        self._is_notable = is_notable
