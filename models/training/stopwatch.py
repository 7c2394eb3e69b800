"""The time that a training has spent, and what ends it when it does not end itself."""

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
"""Exit code of a training that did not end by itself."""
PATIENCE_S, PATIENCE = 60.0, 10.0
"""What takes longer than a minute, and ten times as long as anything before, hangs (assumed)."""


class Clock(Protocol):
    """Time as this file sees it."""

    def now(self) -> float:
        """Seconds since any moment."""

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        """Whether `done` is set before this time is over."""


class WallClock:
    """The machine's."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        return done.wait(timeout_s)


class Stopwatch:
    """Return the seconds since the start, without the pauses."""

    def __init__(self, clock: Clock | None = None, *, spent_s: float = 0.0) -> None:
        """Starts at `spent_s`."""
        self.clock = clock or WallClock()
        self._zero_s = self.clock.now() - spent_s
        self._paused_at_s: float | None = None

    @property
    def spent_s(self) -> float:
        """What it shows."""
        return (self.clock.now() if self._paused_at_s is None else self._paused_at_s) - self._zero_s

    def add(self, seconds: float) -> None:
        """Show so much more: the time of an earlier process."""
        self._zero_s -= seconds

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stand still in this block."""
        self._paused_at_s = self.clock.now()
        yield
        self._zero_s += self.clock.now() - self._paused_at_s
        self._paused_at_s = None


def end_process() -> None:
    """End this process as it is: a step that hangs in a driver answers to nothing else."""
    print("the training hangs: ended; the weights that were written last stay", file=sys.stderr, flush=True)
    os._exit(STALLED)


class Deadline:
    """While this is entered, `end` is called when it is past `at_s` and the training has shown no life for too long."""

    def __init__(self, watch: Stopwatch, at_s: float, *, end: Callable[[], None]) -> None:
        """Waits in a thread of its own."""
        self._watch, self._at_s, self._end = watch, at_s, end
        self._alive_at_s = watch.clock.now()
        self._longest_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="deadline", daemon=True)

    def show_life(self) -> None:
        """Tell that the training is late at worst, and does not hang."""
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
