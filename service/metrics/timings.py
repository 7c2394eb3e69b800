"""Measure the time of each step of a request. Updates no metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of one request and its time, as the Server-Timing field shows it."""

    name: str
    seconds: float


@dataclass(slots=True)
class Timings:
    """The steps that one request has taken so far, with their times."""

    stages: list[Stage] = field(default_factory=list)

    def add(self, name: str, seconds: float) -> None:
        """Add a step that was timed elsewhere."""
        self.stages.append(Stage(name, seconds))

    def measure(self, name: str) -> Measurement:
        """Return a context manager that measures the time of its block and adds it as a step."""
        return Measurement(self, name)


class Measurement:
    """The context manager of `Timings.measure`. A generator-based context manager would take three times as long."""

    __slots__ = ("_name", "_started_s", "_timings")

    def __init__(self, timings: Timings, name: str) -> None:
        self._timings = timings
        self._name = name

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.add(self._name, time.perf_counter() - self._started_s)
