"""How fast a background run may go, and how long it leaves a failing origin alone. Clock and sleep are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[object]]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # assumed: an outage ends within minutes, and one question a minute finds out


class Pace:
    """So many turns a minute, evenly spaced; 0: as many as come."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self._spacing_s = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_s = clock()

    async def turn(self) -> None:
        """Wait for the next turn."""
        now_s = self._clock()
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._spacing_s
        if turn_s > now_s:
            await self._sleep(turn_s - now_s)

    def passes(self) -> bool:
        """Take the turn if one is due, without waiting."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._spacing_s
        return True


class BackOff:
    """Doubles the wait with each failure in a row, from the second on."""

    def __init__(self, *, sleep: Sleep) -> None:
        self._sleep = sleep
        self._failures = 0

    async def wait(self) -> None:
        """Leave the origin alone, if it has failed repeatedly."""
        if self._failures > 1:
            await self._sleep(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (self._failures - 2)))

    def failed(self) -> None:
        """Note a failure."""
        # Beyond that the wait is the longest one, and the power above would overflow one day.
        self._failures = min(self._failures + 1, 32)

    def answered(self) -> None:
        """Note an answer."""
        self._failures = 0
