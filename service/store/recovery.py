"""Ask a store that fails once a second whether it works again, so that an idle edge notices the end of an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from service.store.cancellation import cancel

ASK_S = 1.0
"""The least pause between two questions (assumed)."""


class Recovery:
    """The task that asks, which runs only during an outage."""

    def __init__(self, ask: Callable[[], Awaitable[None]], *, goes_on: Callable[[], bool], pause_s: float) -> None:
        """`ask` sends the question, and raises nothing. `goes_on` returns whether the outage still lasts."""
        self._ask = ask
        self._goes_on = goes_on
        self._pause_s = max(ASK_S, pause_s)
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Start to ask, unless the task runs."""
        if not self._closed and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop the task, and start none any more."""
        self._closed = True
        await cancel(self._asking)

    async def _run(self) -> None:
        while self._goes_on() and not self._closed:
            await asyncio.sleep(self._pause_s)
            await self._ask()
