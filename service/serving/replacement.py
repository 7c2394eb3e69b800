"""Replace workers one by one: each new worker serves before the old one stops. No step blocks.

The supervisor takes a step twice a second, and checks all processes between two steps.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from uvicorn.supervisors.multiprocess import Process

from service.bus.end_signal import END
from service.serving.supervision import Supervision
from service.serving.watched_process import WatchedProcess

LEAVE_S = 10.0
"""Seconds after EDGE_DRAIN_S until a worker that was told to stop is killed (assumed)."""


class Replacement:
    """The workers to be replaced, the new worker that starts, and the old workers that finish their requests."""

    def __init__(
        self, start: Callable[[], WatchedProcess], *, rules: Supervision, on_death: Callable[[int], object]
    ) -> None:
        self._start = start
        self._most_s = rules.drain_s + LEAVE_S
        self._on_death = on_death
        self._outdated: list[Process] = []
        self._successor: WatchedProcess | None = None
        self._leaving: dict[WatchedProcess, float] = {}
        """The workers that were told to stop, and the monotonic time after which each is killed."""

    @property
    def processes(self) -> list[WatchedProcess]:
        """The processes that serve pictures although they are not in the list of workers: old ones, and a new one."""
        return [*self._leaving, *([self._successor] if self._successor else [])]

    def begin(self, workers: Sequence[Process]) -> None:
        """Replace these workers one by one, in the following calls of `advance`."""
        self._outdated = [*workers]

    def retire(self, worker: Process) -> None:
        """Tell one worker to finish its requests and end."""
        assert isinstance(worker, WatchedProcess), "created by the supervisor"
        worker.send(END)
        self._leaving[worker] = time.monotonic() + self._most_s

    def advance(self, workers: list[Process]) -> None:
        """Take the next step: start a new worker, or if it serves, put it in the place of an old one in `workers`."""
        self._end_leaving()
        self._outdated = [worker for worker in self._outdated if worker in workers]  # drops dead ones
        if self._successor is not None:
            self._advance(self._successor, workers)
        elif self._outdated:
            self._successor = self._start()

    def _advance(self, successor: WatchedProcess, workers: list[Process]) -> None:
        if fault := successor.fault(time.monotonic()):
            successor.end()
            logging.getLogger(__name__).error("a new worker %s; the old workers stay", fault)
            self._outdated, self._successor = [], None
        elif successor.is_serving:
            self._successor = None
            old = self._outdated.pop(0) if self._outdated else None
            if old is None:  # all old workers have died meanwhile, and were started again
                self.retire(successor)
                return
            workers[workers.index(old)] = successor
            self.retire(old)

    def _end_leaving(self) -> None:
        now_s = time.monotonic()
        for worker, ends_s in tuple(self._leaving.items()):
            if worker.fault(now_s) or now_s >= ends_s:
                worker.end()
                del self._leaving[worker]
                if worker.pid is not None:
                    self._on_death(worker.pid)
