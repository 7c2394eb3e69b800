"""Serve a stale picture while its validation takes long: after EDGE_STALE_WAIT_S, if it may stand in for an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from service.cache.fill_result import StaleInstead
from service.cache.fill_work import Work
from service.cache.hold_off import HoldOff
from service.metrics.timings import Timings
from service.records.staleness import may_stand_in

ShowStale = Callable[[StaleInstead], None]


@dataclass(frozen=True, slots=True)
class StaleRules:
    """How stale pictures are served while the origin fails."""

    hold_off: HoldOff
    wait_s: float
    """How long requests wait for a validation; 0: until it ends."""


class StaleWait:
    """The time for which the requests of one fill wait, from its beginning; 0: until it ends."""

    def __init__(self, wait_s: float, show: ShowStale, *, now: Callable[[], float]) -> None:
        self._wait_s = wait_s
        self._show = show
        self._now = now
        self._work: Work | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.has_shown = False
        """Whether a stale picture was shown."""

    def __enter__(self) -> Self:
        if self._wait_s:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._end)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def note(self, work: Work) -> None:
        """Note what the store holds now. It is shown at once if the time is over."""
        self._work = work
        if self._is_over:
            self._show_stale()

    def _end(self) -> None:
        self._is_over = True
        self._show_stale()

    def _show_stale(self) -> None:
        known = None if self._work is None else self._work.known
        # The origin has not answered in time, which RFC 5861 4 counts as an error.
        if self._work is None or known is None or not may_stand_in(known.record, now_s=self._now()):
            return
        self.has_shown = True
        self._show(StaleInstead(replace(self._work.facts, timings=Timings(), origin_status=None), known.record))
