"""Which heads a search for a better latent serves, and with which weights. Text in, weights out; no I/O.

Several heads decode a latent. A search for one head makes the pictures of the others slightly worse: a latent searched
for `high-gpu` at quality 32 takes 7 % fewer bytes there at equal PSNR, and 2 % more in the 172 picture (LOG.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HEADS = ("high-gpu", "high-cpu", "medium")


class ReadersError(ValueError):
    """The text names no mixture of heads."""


@dataclass(frozen=True)
class Readers:
    """Heads and the weight of each one's distortion; the rate is weighed against their sum."""

    weights: tuple[tuple[str, float], ...]

    @classmethod
    def read(cls, text: str) -> Readers:
        """Parse "high-gpu=0.55,high-cpu=0.45,medium=0.2". Raises `ReadersError`."""
        weights = tuple(_weight(part) for part in text.split(","))
        names = [name for name, _ in weights]
        if len(set(names)) < len(names):
            raise ReadersError(f"a head is named twice in {text!r}")
        if not any(name != "medium" for name in names):
            raise ReadersError(f"{text!r} names no head of the 344 picture, which the quality is defined for")
        return cls(weights)

    def __str__(self) -> str:
        """Return the text that `read` parses."""
        return ",".join(f"{name}={weight:g}" for name, weight in self.weights)


def _weight(part: str) -> tuple[str, float]:
    name, separator, number = (piece.strip() for piece in part.partition("="))
    if name not in HEADS:
        raise ReadersError(f"a head is one of {', '.join(HEADS)}, not {name!r}")
    try:
        weight = float(number) if separator else 1.0
    except ValueError:
        raise ReadersError(f"the weight of {name} is a number, not {number!r}") from None
    if not (math.isfinite(weight) and 0 < weight <= 1):
        raise ReadersError(f"the weight of {name} is above 0 and at most 1, not {number}")
    return name, weight
