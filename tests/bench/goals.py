"""The goals of a hit, and how far off each is. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figures import SIZES, Figures

# The issue's, milliseconds of processor time of the whole edge: one after the other.
DECODED_MS = {"344": (8.0, 5.0, 3.5), "172": (7.3, 4.5, 3.4)}
FROM_MEMORY_MS = 0.3


@dataclass(frozen=True)
class Goal:
    what: str
    measured_ms: float
    at_most_ms: float

    @property
    def met(self) -> bool:
        return self.measured_ms <= self.at_most_ms

    @property
    def distance(self) -> str:
        return "met" if self.met else f"{self.measured_ms / self.at_most_ms:.2f}x of it"


def goals(figures: Figures) -> Iterator[Goal]:
    for size in SIZES:
        for at_most_ms in DECODED_MS[size]:
            yield Goal(f"decoded hit, {size}", figures.decoded_ms(size), at_most_ms)
        yield Goal(f"from memory, {size}", figures.from_memory_ms(size), FROM_MEMORY_MS)
