"""The stages of a check, in the order of their worth, and how much of the time each may have."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.gpu_check.task import Task


@dataclass(frozen=True)
class Stage:
    """A module of this folder with a function `run`."""

    name: str
    weight: float
    """Seconds that it needs on a machine as planned for; shares of the whole on any other."""

    def function(self) -> Callable[[Task], None]:
        """Import it: a stage that cannot be imported must not keep the others."""
        found: Callable[[Task], None] = import_module(f"tests.gpu_check.{self.name}").run
        return found


PLAN = (
    Stage("golden", 28),
    Stage("from_symbols", 24),
    Stage("serving", 85),
    Stage("from_streams", 18),
    Stage("failures", 30),
    Stage("encoding", 16),
    Stage("marked_tests", 14),
)
