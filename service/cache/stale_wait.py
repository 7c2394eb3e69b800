"""Serve a stale picture while its validation takes longer than EDGE_STALE_WAIT_S, if stale-if-error allows that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from service.cache.fill_result import StaleInstead
from service.cache.fill_work import Work
from service.cache.hold_off import HoldOff
from service.metrics.timings import Timings
from service.records.staleness import Use, may_stand_in, use_of

ShowStale = Callable[[StaleInstead], None]


@dataclass(frozen=True, slots=True)
class StaleRules:
    """The rules for serving stale pictures while the origin fails or is slow."""

    hold_off: HoldOff
    wait_s: float
    """The longest time in seconds that requests wait for a validation; 0 means until it ends."""


class StaleWait:
    """Shows the stale picture to the requests of one fill `wait_s` seconds after the fill began; never if that is 0."""

    def __init__(self, wait_s: float, show: ShowStale, *, now: Callable[[], float]) -> None:
        self._wait_s = wait_s
        self._show = show
        self._now = now
        self._work: Work | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.has_shown = False
        """Whether the stale picture was shown to the waiting requests."""

    def __enter__(self) -> Self:
        if self._wait_s:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._end)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def note(self, work: Work) -> None:
        """Note the state of the fill, with its stale record. Show that record at once if `wait_s` has passed."""
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
        if use_of(known.record, now_s=self._now()) is Use.FRESH:  # another process has just stored it
            return
        self.has_shown = True
        self._show(StaleInstead(replace(self._work.facts, timings=Timings(), origin_status=None), known.record))
