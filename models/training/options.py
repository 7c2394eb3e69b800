"""Every knob of a training on one page, each with one default. Imports no torch: the command line shows the defaults.

Read `Recipe` for how a stage is trained, `Augmentation` for how its crops are drawn, `TrainOptions` for one run. Each
comment says where the default comes from: measured (LOG.md has the figures), derived, or assumed. The constants of a
method, such as the polynomial of Muon or the ridge of a least-squares fit, stay beside that method.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.config import HIGH_PX, RELEASED, Architecture

SHARES = {"medium": 0.15, "high": 0.85}
"""Share of the minutes that `--stage all` gives each training stage, in this order (assumed)."""
STAGES = (*SHARES, "heads", "release")
OPTIMIZERS = ("muon", "adamw")
PACK_BYTES = 40_000_000
"""Size limit of a pack of photographs (derived: what one transfer to a rented GPU takes)."""
CROP_PX = 256


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained. The command line sets the first block; change the others here."""

    batch: int = 8
    """Crops in a step; a step of whole pictures has half as many (assumed for a CPU; a GPU has room for 32)."""
    crop_px: int = CROP_PX
    """Side of a training crop in pixels; the default is assumed, not tuned."""
    rate: float = 2e-3
    """Learning rate of Muon and of AdamW (assumed, between 1e-3 and 2.5e-3, which were measured)."""
    optimizer: str = "muon"
    """muon: Muon for the 1x1 matrices and AdamW for the rest; adamw: AdamW for everything. muon was better on a GPU."""
    perceptual: float = 0.15
    """Share of SSIMULACRA2 in the distortion of the decay (assumed); the flat part uses squared error alone."""

    # The schedule, in shares of the minutes (schedule.py)
    warm_up_steps: int = 500
    """Steps over which the rate rises from 0 (assumed)."""
    warm_up_again_steps: int = 200
    """The same after flat weights were read (derived: the optimizer's state is not kept, and AdamW forgets in 50)."""
    flat_until: float = 0.70
    """End of the flat part (assumed)."""
    decay_until: float = 0.95
    """End of the decay; its weights are on disk by then (assumed)."""
    whole_pictures_share: float = 0.2
    """Last share of the decay, which trains on whole pictures instead of crops (assumed)."""
    last_rate: float = 0.01
    """Factor on the rate at the end of the decay (assumed)."""
    write_every: float = 0.025
    """Interval between two writes of the weights: what a crash costs at most (assumed)."""
    measure_every: float = 0.08
    """Interval between two lines of the log without validation pictures (assumed)."""

    # Intervals in seconds (stage_loop.py)
    validate_every_s: float = 600.0
    """Interval between two validations of the stages `medium` and `high` (assumed)."""
    validate_heads_every_s: float = 60.0
    """The same for stage `heads`, whose validations make the points of a plot (assumed)."""
    save_state_every_s: float = 120.0
    """Interval between two writes of the state from which a stopped run is resumed (assumed)."""

    # The optimizers (optimizers.py, muon.py)
    linear_rate: float = 0.1
    """Factor on the rate of the linear paths (measured: the full rate destroys the linear start)."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW (assumed)."""
    momentum: float = 0.95
    """Of Muon (assumed: the value of its paper)."""
    clip: float = 1.0
    """Largest norm of the gradient over all parameters (assumed)."""
    longest_average: float = 0.999
    """Decay of the averaged weights, which are the ones released (assumed)."""

    # The loss (losses.py, joint.py)
    high_head_shares: tuple[float, float] = (0.55, 0.45)
    """Weights of the distortions by `high-gpu` and `high-cpu` (derived: they sum to 1, one picture for one rate)."""
    medium_head_shares: tuple[float, float] = (0.15, 0.1)
    """Weights of the distortions by the translator and by `medium-gpu`, where the networks have one (assumed)."""
    light_encoder_share: float = 0.1
    """Weight of the light encoder's distance from the wide encoder's latent (measured: 0.5 dominates the gradient)."""
    wanted_qualities: tuple[int, int] = (10, 54)
    """First and last of the qualities that BD-rate covers (measured)."""
    wanted_share: float = 0.8
    """Share of the pictures that are coded at these qualities; the rest at any quality (assumed)."""
    rounding_strength: float = 2.0
    """Strength of the encoder's rounding (rounding.py), which the decay imitates (measured)."""
    fixed_batches: int = 8
    """Batches of fixed crops whose loss compares two trainings: 256 crops at a GPU's 32 a step (assumed)."""

    # The release (release.py)
    rounding_strengths: tuple[float, ...] = (2.0, 1.4, 3.0)
    """Strengths that a release tries; the first is used where there are no validation pictures (measured)."""
    counted_batches: int = 96
    """Batches of pictures whose symbols make the CDF tables, or fewer if there are fewer photographs (assumed)."""


@dataclass(frozen=True)
class Augmentation:
    """How crops are drawn from photographs (dataset.py)."""

    short_sides_px: tuple[int, ...] = (HIGH_PX, 276, 400)
    """Scales at which each photograph is held: the one that is served, a smaller and a larger one (assumed)."""
    scale_shares: tuple[float, ...] = (0.6, 0.2, 0.2)
    """Share of the crops that is taken at each scale (assumed)."""
    upside_down_share: float = 0.25
    """Share of the crops that is turned upside down (assumed)."""
    recoloured_share: float = 0.2
    """Share of the crops with a changed saturation, and share with a changed contrast (assumed)."""


@dataclass(frozen=True)
class TrainOptions:
    """One run of `latentedge train`."""

    data: list[Path]
    """Folders of photographs, and packs of them (photograph_pack.py)."""
    minutes: float
    """Wall-clock time of the whole command without validation; the decay of the rate ends within it."""
    output: Path = Path("runs/train")
    valid: Path | None = None
    """A folder of photographs to validate on."""
    resume: Path | None = None
    """The folder of a stopped run, which continues there within its minutes."""
    start: Path | None = None
    """A weights file to start from, instead of the closed-form start."""
    flat: Path | None = None
    """A stage's folder with flat weights, from which the training continues as if it had never stopped."""
    contest_s: float = 0.0
    """Seconds that each optimizer gets from the same start; the better one continues. 0: no contest."""
    stage: str = "all"
    architecture: Architecture = RELEASED
    """Networks to train; the weights in `start` have to fit them."""
    threads: int = 2
    seed: int = 0
    device: str = "cpu"
    half_precision: bool = True
    """Compute the networks in bfloat16, and the latent and the rate in float32."""
    note: bool = False
    """Train the research note's translator beside ours in stage `heads`, to compare the two."""
    limit: int | None = None
    """Largest number of photographs that are read."""
    recipe: Recipe = Recipe()


def batch_of(recipe: Recipe, *, whole_pictures: bool) -> tuple[int, int]:
    """Return the side in px and the number of pictures of a step; a whole picture has twice the area of a crop."""
    return (HIGH_PX, max(1, recipe.batch // 2)) if whole_pictures else (recipe.crop_px, recipe.batch)
