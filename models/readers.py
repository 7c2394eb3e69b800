"""Parse the heads for which a search for a better latent is run, and their weights, as in "high-gpu=0.5,medium=0.2".

Several heads decode the same latent. A search for one head makes the pictures of the others slightly worse: a latent
searched for `high-gpu` at quality 32 needs 7 % fewer bytes at equal PSNR of that head's picture, but 2 % more at equal
PSNR of the 172 picture (LOG.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HEADS = ("high-gpu", "high-cpu", "medium")


class ReadersError(ValueError):
    """The text is not a list of heads and weights such as "high-gpu=0.5,medium=0.2"."""


@dataclass(frozen=True)
class Readers:
    """Pairs of a head's name and the weight of its picture's distortion in the loss of a search."""

    weights: tuple[tuple[str, float], ...]

    @classmethod
    def read(cls, text: str) -> Readers:
        """Parse text such as "high-gpu=0.55,high-cpu=0.45,medium=0.2"; a head without a number has weight 1.

        Raises `ReadersError`.
        """
        weights = tuple(_weight(part) for part in text.split(","))
        names = [name for name, _ in weights]
        if len(set(names)) < len(names):
            raise ReadersError(f"{text!r} names a head twice, but each head has one weight")
        if not any(name != "medium" for name in names):
            raise ReadersError(
                f"{text!r} must name high-gpu or high-cpu, because the quality is that of the 344 picture"
            )
        return cls(weights)

    def __str__(self) -> str:
        """Return the text that `read` parses."""
        return ",".join(f"{name}={weight:g}" for name, weight in self.weights)


def _weight(part: str) -> tuple[str, float]:
    name, separator, number = (piece.strip() for piece in part.partition("="))
    if name not in HEADS:
        raise ReadersError(f"a head must be one of {', '.join(HEADS)}, not {name!r}")
    try:
        weight = float(number) if separator else 1.0
    except ValueError:
        raise ReadersError(f"the weight of {name} must be a number, not {number!r}") from None
    if not (math.isfinite(weight) and 0 < weight <= 1):
        raise ReadersError(f"the weight of {name} must be above 0 and at most 1, not {number}")
    return name, weight
