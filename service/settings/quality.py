"""Parse the setting EDGE_QUALITY: a fixed quality, or the lowest quality that reaches a target score. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from models.config import QUALITIES

AUTO = "auto:"
BEST_SCORE = 100.0
"""The SSIMULACRA2 score of a picture against itself."""


@dataclass(frozen=True, slots=True)
class TargetScore:
    """A quality setting: for each picture, the lowest quality whose decoded 344 picture reaches this score."""

    ssimulacra2: float

    def __str__(self) -> str:
        """Return the setting as `read_quality` parses it, such as `auto:70`."""
        return AUTO + repr(self.ssimulacra2).removesuffix(".0")


Quality = int | TargetScore


def read_quality(value: object) -> Quality:
    """Parse a number or `auto:<ssimulacra2>`. Raises ValueError with a message for the operator."""
    if isinstance(value, TargetScore):
        return value
    text = str(value).strip()
    quality = _target(text.removeprefix(AUTO)) if text.startswith(AUTO) else _number(text)
    if quality is None:
        raise ValueError(
            f"the value must be 0 to {QUALITIES - 1}, or auto:<ssimulacra2> with a score of 0 to {BEST_SCORE:g}"
        )
    return quality


def _number(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if 0 <= number < QUALITIES else None


def _target(text: str) -> TargetScore | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return TargetScore(score) if 0 <= score <= BEST_SCORE else None  # NaN fails the comparison, so it is refused
