"""How an edge leaves: SIGTERM takes away its readiness at once, and bounds how long it goes on. Stops nothing itself.

SIGTERM -> not ready -> for EDGE_DRAIN_DELAY_S everything is answered as before -> the server takes no more connections
        -> for EDGE_DRAIN_S what is under way is finished, fills for the store too -> what is left is cut

The delay is for load balancers that go on sending until they have heard that the edge is not ready.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


class Drain:
    """Hears the signals of one server, before the server does."""

    def __init__(self, *, delay_s: float, limit_s: float, on_leaving: Callable[[], object] = lambda: None) -> None:
        self._delay_s = delay_s
        self._limit_s = limit_s
        self._on_leaving = on_leaving
        self._stopped_s: float | None = None
        self.leaving = False

    def watch(self) -> None:
        """Put itself before the handlers that the server has installed. In a thread there are none."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, self._before(handler, loop))

    def left_s(self) -> float:
        """How much of the limit is left; it runs from the first call at the latest."""
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
        return max(0.0, self._stopped_s + self._limit_s - time.monotonic())

    def _before(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> Handler:
        def stop(number: int) -> None:
            self.left_s()
            handler(number, None)

        def leave(number: int, _frame: FrameType | None) -> None:
            first, self.leaving = not self.leaving, True
            if first:
                loop.call_soon_threadsafe(self._on_leaving)
            # Ctrl-C is a person's, who waits.
            if number == signal.SIGINT or not self._delay_s:
                stop(number)
            elif first:
                loop.call_soon_threadsafe(loop.call_later, self._delay_s, stop, number)

        return leave
