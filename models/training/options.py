"""What a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.config import HIGH_PX, RELEASED, Architecture

CROP_PX = 256
SHARES = {"medium": 0.15, "high": 0.85}
"""What `all` gives to each training stage, in this order (assumed)."""
STAGES = (*SHARES, "heads", "release")


@dataclass(frozen=True)
class TrainOptions:
    """What `latentedge train` is asked for."""

    data: list[Path]
    valid: Path | None
    minutes: float
    output: Path
    resume: Path | None = None
    start: Path | None = None
    """A weights file to go on from, instead of the closed-form start."""
    stage: str = "all"
    architecture: Architecture = RELEASED
    """Networks to train; those of `start` have to fit."""
    threads: int = 2
    seed: int = 0
    device: str = "cpu"
    half_precision: bool = True
    batch: int = 8
    """Crops of 256 px in a step, half as many whole pictures: more where a device has room for them."""
    rate: float = 2.5e-3
    """Learning rate; the linear paths take a tenth of it."""
    perceptual: float = 0.0
    """Share of SSIMULACRA2 in the distortion; the rest is squared error."""
    note: bool = False
    """Train the research note's translator beside ours in stage `heads`, to compare."""
    limit: int | None = None


def batch_of(options: TrainOptions, *, whole_pictures: bool) -> tuple[int, int]:
    """Side in px and number of the pictures of a step: crops, or half as many whole pictures, of twice the area."""
    return (HIGH_PX, max(1, options.batch // 2)) if whole_pictures else (CROP_PX, options.batch)
