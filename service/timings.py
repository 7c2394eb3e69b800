"""How long each step of a request took. Counts nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of one request, as Server-Timing tells it."""

    name: str
    seconds: float


@dataclass(slots=True)
class Timings:
    """The steps of one request so far."""

    stages: list[Stage] = field(default_factory=list)

    def add(self, name: str, seconds: float) -> None:
        """A step that was timed elsewhere."""
        self.stages.append(Stage(name, seconds))

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Time a step here."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started_s)
