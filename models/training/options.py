"""Every knob of a training on one page, with its default. Standard library only: the command line shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.config import HIGH_PX, RELEASED, Architecture

SHARES = {"medium": 0.15, "high": 0.85}
"""What `all` gives to each training stage, in this order (assumed)."""
STAGES = (*SHARES, "heads", "release")
OPTIMIZERS = ("muon", "adamw")
PACK_BYTES = 40_000_000
"""Largest size of a pack of photographs, unless it is told another."""


CROP_PX = 256


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained. The command line sets the first block; the rest is changed here."""

    batch: int = 8
    """Crops in a step, and half as many whole pictures: more where a device has room for them."""
    crop_px: int = CROP_PX
    rate: float = 2e-3
    """Learning rate of Muon and of AdamW."""
    optimizer: str = "muon"
    """muon: Muon for the 1x1 matrices and AdamW for the rest; adamw: AdamW for everything."""
    perceptual: float = 0.15
    """Share of SSIMULACRA2 in the distortion of the decay; the flat part knows squared error alone."""

    # the schedule, in shares of the minutes (schedule.py)
    warm_up_steps: int = 500
    warm_up_again_steps: int = 200
    """After flat weights were read: the optimizer's state does not travel, and AdamW's remembers 50 steps."""
    flat_until: float = 0.70
    decay_until: float = 0.95
    """By then the decayed weights are on the disk as well."""
    whole_pictures_share: float = 0.2
    """Share of the decay, its end, that sees whole pictures instead of crops."""
    last_rate: float = 0.01
    write_every: float = 0.025
    """Weights are written whenever this share of the minutes is gone: what a crash costs at most."""
    measure_every: float = 0.08
    """The loss on the fixed crops is logged as often."""

    # the optimizers (optimizers.py, muon.py)
    linear_rate: float = 0.1
    """Factor on the rate of the linear paths: the full rate destroys the linear start (see LOG.md)."""
    betas: tuple[float, float] = (0.9, 0.98)
    momentum: float = 0.95
    clip: float = 1.0
    longest_average: float = 0.999
    """Decay of the averaged weights, which are what is released."""

    # what is drawn, and what it is coded like
    wanted_qualities: tuple[int, int] = (10, 54)
    """What BD-rate counts (measured); this share of the draws falls there, the rest anywhere."""
    wanted_share: float = 0.8
    rounding_strength: float = 2.0
    """Of the encoder's rounding (rounding.py), which the decay imitates: what a release starts from (see LOG.md)."""
    fixed_batches: int = 8
    """Batches of crops, always the same, by whose loss two trainings are compared: 256 crops of a GPU's 32 a step."""


@dataclass(frozen=True)
class TrainOptions:
    """What `latentedge train` is asked for."""

    data: list[Path]
    """Folders of photographs, and packs of them (photograph_pack.py)."""
    minutes: float
    """Wall-clock time of the whole command but for validation; the decay of the rate ends within it."""
    output: Path = Path("runs/train")
    valid: Path | None = None
    resume: Path | None = None
    """A run that was stopped: it goes on in its own folder, within its minutes."""
    start: Path | None = None
    """A weights file to go on from, instead of the closed-form start."""
    flat: Path | None = None
    """A stage's folder with flat weights, to go on from them as if their training had never stopped."""
    contest_s: float = 0.0
    """Seconds that each optimizer gets from the same start; the better one goes on. 0: no contest."""
    stage: str = "all"
    architecture: Architecture = RELEASED
    """Networks to train; those of `start` have to fit."""
    threads: int = 2
    seed: int = 0
    device: str = "cpu"
    half_precision: bool = True
    note: bool = False
    """Train the research note's translator beside ours in stage `heads`, to compare."""
    limit: int | None = None
    """Photographs that are read at most."""
    recipe: Recipe = Recipe()


def batch_of(recipe: Recipe, *, whole_pictures: bool) -> tuple[int, int]:
    """Side in px and number of the pictures of a step: crops, or half as many whole pictures, of twice the area."""
    return (HIGH_PX, max(1, recipe.batch // 2)) if whole_pictures else (recipe.crop_px, recipe.batch)
