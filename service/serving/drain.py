"""Time the graceful shutdown of an edge: the delay and the time limit. uvicorn itself closes the connections.

SIGTERM -> /readyz is 503 -> for EDGE_DRAIN_DELAY_S, requests are answered as before -> the stop: no more connections
        -> for EDGE_DRAIN_S, requests and fills in progress continue -> the remaining ones are cancelled

The delay is needed because load balancers continue to send requests until a health check fails.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from service.bus.end_signal import END

DRAIN = "drain"
"""The key in the lifespan state under which an application gives its Drain to the server."""
Handler = Callable[[int, FrameType | None], object]


class Drain:
    """Receives SIGTERM, SIGINT and END before uvicorn's server, and passes them on to it after the delay."""

    def __init__(
        self,
        *,
        delay_s: float,
        limit_s: float,
        on_leaving: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Delay the stop by `delay_s`, and limit the time after it to `limit_s`.

        `on_leaving` is called in the event loop at the first signal. `clock` returns monotonic seconds.
        """
        self._delay_s = delay_s
        self._limit_s = limit_s
        self._on_leaving = [on_leaving]
        self._clock = clock
        self._stopped_s: float | None = None
        self.leaving = False
        """Whether the edge has received a signal to stop."""

    def when_leaving(self, call: Callable[[], object]) -> None:
        """Call this, too, in the event loop at the first signal, or now if that has come."""
        self._on_leaving.append(call)
        if self.leaving:
            call()

    def watch(self) -> None:
        """Wrap the server's handlers of SIGTERM and SIGINT. Does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        handlers[END] = handlers[signal.SIGTERM]
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, self._before(handler, loop))

    def note_stop(self) -> None:
        """Start the time limit for requests in progress, unless it is running already."""
        if self._stopped_s is None:
            self._stopped_s = self._clock()

    def left_s(self) -> float:
        """Return the seconds that are left of the time limit for requests in progress, which begins with the stop."""
        if self._stopped_s is None:
            return self._limit_s
        return max(0.0, self._stopped_s + self._limit_s - self._clock())

    def _before(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> Handler:
        def stop(number: int) -> None:
            self.note_stop()
            handler(signal.SIGTERM if number == END else number, None)

        def leave(number: int, _frame: FrameType | None) -> None:
            first, self.leaving = not self.leaving, True
            if first:
                loop.call_soon_threadsafe(self._tell)
            # SIGINT comes from a person at a terminal (Ctrl-C), so it skips the delay for load balancers.
            # The supervisor sends END after the delay.
            if number in {signal.SIGINT, END} or not self._delay_s:
                stop(number)
            elif first:
                loop.call_soon_threadsafe(loop.call_later, self._delay_s, stop, number)

        return leave

    def _tell(self) -> None:
        for call in self._on_leaving:
            call()
