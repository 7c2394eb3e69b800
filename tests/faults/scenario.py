"""What each scenario is: a name, a sentence, a course and its goals."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.answers import Limits, Summary


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    run: Callable[[float], Awaitable[Summary]]
    """Called with the seconds that the scenario may take, without the start of its servers."""
    limits: Limits
    seconds: float = 15.0
