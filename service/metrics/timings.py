"""How long each step of a request took. Counts nothing."""

from __future__ import annotations

import time
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

    def measured(self, name: str) -> Measured:
        """Time a step here."""
        return Measured(self, name)


class Measured:
    """A block whose time becomes a step. A class, since a generator takes three times as long and each hit has one."""

    __slots__ = ("_name", "_started_s", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings = timings
        self._name = name

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.add(self._name, time.perf_counter() - self._started_s)
