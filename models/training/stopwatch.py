"""The time that a training has spent, and the deadline that ends a training that hangs."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

STALLED = 3
"""Exit code of a training that hung."""
PATIENCE_S, PATIENCE = 60.0, 10.0
"""A step hangs when it takes longer than a minute and ten times as long as every earlier one (assumed)."""


class Clock(Protocol):
    """The clock, as this file sees it."""

    def now(self) -> float:
        """Return the seconds since a fixed moment."""

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        """Wait until `done` is set or the time is over; return whether it is set."""


class WallClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        return done.wait(timeout_s)


class Stopwatch:
    """The seconds since the start, without the pauses."""

    def __init__(self, clock: Clock | None = None, *, spent_s: float = 0.0) -> None:
        """Start at `spent_s`."""
        self.clock = clock or WallClock()
        self._zero_s = self.clock.now() - spent_s
        self._paused_at_s: float | None = None

    @property
    def spent_s(self) -> float:
        """Return the time shown."""
        return (self.clock.now() if self._paused_at_s is None else self._paused_at_s) - self._zero_s

    def add(self, seconds: float) -> None:
        """Add seconds: the time of an earlier process."""
        self._zero_s -= seconds

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stop the watch in this block."""
        self._paused_at_s = self.clock.now()
        yield
        self._zero_s += self.clock.now() - self._paused_at_s
        self._paused_at_s = None


def end_process() -> None:
    """End this process at once: a step that hangs in a driver cannot be interrupted otherwise."""
    print("the training hangs and is ended; the weights that were written last remain", file=sys.stderr, flush=True)
    os._exit(STALLED)


class Deadline:
    """Call `end` when `at_s` is past and the training has shown no sign of life for too long."""

    def __init__(self, watch: Stopwatch, at_s: float, *, end: Callable[[], None]) -> None:
        """Take the watch; the deadline waits in its own thread while the object is entered."""
        self._watch, self._at_s, self._end = watch, at_s, end
        self._alive_at_s = watch.clock.now()
        self._longest_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="deadline", daemon=True)

    def show_life(self) -> None:
        """Report that the training is making progress, even if it is late."""
        now_s = self._watch.clock.now()
        self._longest_s = max(self._longest_s, now_s - self._alive_at_s)
        self._alive_at_s = now_s

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _wait(self) -> None:
        while (left_s := self._left_s()) > 0:
            if self._watch.clock.wait(self._done, left_s):
                return
        self._end()

    def _left_s(self) -> float:
        patience_s = max(PATIENCE_S, PATIENCE * self._longest_s)
        return max(self._at_s - self._watch.spent_s, self._alive_at_s + patience_s - self._watch.clock.now())
