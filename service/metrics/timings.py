"""The time of each step of a request. No metrics here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of one request, and a metric of Server-Timing."""

    name: str
    seconds: float


@dataclass(slots=True)
class Timings:
    """The steps of one request so far."""

    stages: list[Stage] = field(default_factory=list)

    def add(self, name: str, seconds: float) -> None:
        """Add a step that was timed elsewhere."""
        self.stages.append(Stage(name, seconds))

    def measure(self, name: str) -> Measurement:
        """Return a context manager that times a step and adds it."""
        return Measurement(self, name)


class Measurement:
    """A block that is timed. It is a class, because a generator-based one takes three times as long on every hit."""

    __slots__ = ("_name", "_started_s", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings = timings
        self._name = name

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.add(self._name, time.perf_counter() - self._started_s)
