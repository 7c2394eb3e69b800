"""A stopwatch for the training time, and a deadline that ends a training whose step hangs."""

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
"""Exit code of the process when a training step hangs."""
PATIENCE_S, PATIENCE = 60.0, 10.0
"""A step counts as hanging after more than 60 s and more than 10 times the longest earlier step (assumed)."""


class Clock(Protocol):
    """The clock that `Stopwatch` and `Deadline` use; tests replace it."""

    def now(self) -> float:
        """Return the time in seconds since an arbitrary fixed moment."""

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        """Wait until `done` is set or `timeout_s` has passed; return whether `done` is set."""


class WallClock:
    """The monotonic clock of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        return done.wait(timeout_s)


class Stopwatch:
    """Measures the seconds since it was started, without its pauses."""

    def __init__(self, clock: Clock | None = None, *, spent_s: float = 0.0) -> None:
        """Start the watch, showing `spent_s` seconds."""
        self.clock = clock or WallClock()
        self._zero_s = self.clock.now() - spent_s
        self._paused_at_s: float | None = None

    @property
    def spent_s(self) -> float:
        """Return the seconds that the watch shows."""
        return (self.clock.now() if self._paused_at_s is None else self._paused_at_s) - self._zero_s

    def add(self, seconds: float) -> None:
        """Add seconds that an earlier process of the same training has spent."""
        self._zero_s -= seconds

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stop the watch while the block runs."""
        self._paused_at_s = self.clock.now()
        yield
        self._zero_s += self.clock.now() - self._paused_at_s
        self._paused_at_s = None


def end_process() -> None:
    """End this process at once with exit code 3, because a step that hangs in a GPU driver cannot be interrupted."""
    print("the training hangs and is ended; the weights that were written last remain", file=sys.stderr, flush=True)
    os._exit(STALLED)


class Deadline:
    """Calls `end` if the stopwatch is past `at_s` and `show_life` has not been called for too long.

    "Too long" is `PATIENCE_S`, or `PATIENCE` times the longest earlier interval of calls if that is longer.
    """

    def __init__(self, watch: Stopwatch, at_s: float, *, end: Callable[[], None]) -> None:
        """Prepare the deadline; it waits in a thread of its own inside a `with` block."""
        self._watch, self._at_s, self._end = watch, at_s, end
        self._alive_at_s = watch.clock.now()
        self._longest_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="deadline", daemon=True)

    def show_life(self) -> None:
        """Record that a step has ended just now."""
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
