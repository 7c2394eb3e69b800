"""Limit the rate of background work, and back off after failures. Clock and sleep are arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[object]]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # assumed: outages last minutes, so one request a minute notices the end


class Pace:
    """A rate limit of `per_minute` evenly spaced turns; 0 means no limit."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self._spacing_s = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_s = clock()

    async def turn(self) -> None:
        """Wait until the next turn is due, and take it."""
        now_s = self._clock()
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._spacing_s
        if turn_s > now_s:
            await self._sleep(turn_s - now_s)

    def passes(self) -> bool:
        """Take a turn if one is due, and return whether a turn was taken. Never waits."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._spacing_s
        return True


class BackOff:
    """An exponential back-off: from the second failure in a row on, each failure doubles the wait."""

    def __init__(self, *, sleep: Sleep) -> None:
        self._sleep = sleep
        self._failures = 0

    async def wait(self) -> None:
        """Wait for the present back-off, which is 0 until the second failure in a row."""
        if self._failures > 1:
            await self._sleep(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (self._failures - 2)))

    def record_failure(self) -> None:
        """Count a failure, which makes the next wait longer."""
        # The cap keeps the power in `wait` from overflowing. The wait reaches LONGEST_WAIT_S after a few failures.
        self._failures = min(self._failures + 1, 32)

    def reset(self) -> None:
        """Clear the back-off after a success."""
        self._failures = 0
