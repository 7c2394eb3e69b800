"""All settings of a training with their defaults. Imports no torch, so that the command line's help stays fast.

`Recipe` says how a stage is trained, `Augmentation` how its crops are drawn, `TrainOptions` what one run does. Each
docstring says where its default comes from: measured (LOG.md has the figures), derived, or assumed. The constants of a
method, such as the polynomial of Muon or the ridge of a least-squares fit, are in the file of that method.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.config import HIGH_PX, RELEASED, Architecture

SHARES = {"medium": 0.15, "high": 0.85}
"""The stages that `--stage all` trains, in this order, with the share of the minutes that each gets (assumed)."""
UPSCALER_STAGES = ("upscaler", "adversarial")
STAGES = (*SHARES, "heads", "release", *UPSCALER_STAGES)
OPTIMIZERS = ("muon", "adamw")
PACK_BYTES = 40_000_000
"""Default size limit of a pack of photographs in bytes (derived: the limit of one transfer to a rented GPU)."""
CROP_PX = 256


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained. The command line sets the fields up to `perceptual`; change the others here."""

    batch: int = 8
    """Crops in a training step; a step on whole pictures has half of it (assumed for a CPU; a GPU can take 32)."""
    crop_px: int = CROP_PX
    """Side of a training crop in pixels (assumed)."""
    rate: float = 2e-3
    """Learning rate of Muon and of AdamW (assumed; it lies between 1e-3 and 2.5e-3, which were both measured)."""
    optimizer: str = "muon"
    """muon: Muon for the matrices of 1x1 layers, AdamW for the other parameters; adamw: AdamW for all parameters.
    muon gave the lower loss in equal time on a GPU (measured)."""
    perceptual: float = 0.15
    """Share of SSIMULACRA2 in the distortion of the decay, 0..1; the flat part uses squared error alone (assumed)."""

    # The fields from here to `measure_every` set the schedule (schedule.py); times are fractions of the run's minutes.
    warm_up_steps: int = 500
    """Steps over which the learning rate rises linearly from 0 (assumed)."""
    warm_up_again_steps: int = 200
    """Warm-up steps of a run that continues from flat weights (derived: the optimizers start without state, and AdamW's
    longest average spans 50 steps)."""
    flat_until: float = 0.70
    """End of the flat part, as a fraction of the minutes (assumed)."""
    decay_until: float = 0.95
    """End of the decay, with all weights on disk, as a fraction of the minutes (assumed)."""
    whole_pictures_share: float = 0.2
    """The last fraction of the decay, which trains on whole pictures instead of crops (assumed)."""
    last_rate: float = 0.01
    """Factor on the learning rate at the end of the decay (assumed)."""
    write_every: float = 0.025
    """Interval between two writes of the weights, as a fraction of the minutes: a crash loses at most it (assumed)."""
    measure_every: float = 0.08
    """Interval between two log lines without validation pictures, as a fraction of the minutes (assumed)."""

    # The next fields are intervals of the training loop in seconds (stage_loop.py).
    validate_every_s: float = 600.0
    """Interval between two validations of the stages `medium` and `high` (assumed)."""
    validate_heads_every_s: float = 60.0
    """Interval between two validations of the stage `heads`, each of which is a point of its plot (assumed)."""
    save_state_every_s: float = 120.0
    """Interval between two writes of state.pt, from which a stopped run is resumed (assumed)."""

    # The next fields set the optimizers (optimizers.py, muon.py).
    linear_rate: float = 0.1
    """Factor on the learning rate of the linear paths (measured: 1 destroys their closed-form initialisation)."""
    betas: tuple[float, float] = (0.9, 0.98)
    """The two beta coefficients of AdamW (assumed)."""
    momentum: float = 0.95
    """The momentum of Muon (assumed: the value of Jordan 2024)."""
    clip: float = 1.0
    """The norm to which the gradient over all parameters is clipped (assumed)."""
    longest_average: float = 0.999
    """Largest decay factor of the weights' moving average (assumed); the averaged weights are released."""

    # The next fields set the loss (losses.py, joint.py).
    high_head_shares: tuple[float, float] = (0.55, 0.45)
    """Weights of the 344 picture's distortions by `high-gpu` and by `high-cpu` (derived: they sum to 1, so that lambda
    keeps its meaning)."""
    medium_head_shares: tuple[float, float] = (0.15, 0.1)
    """Weights of the 172 picture's distortions by the translator and by `medium-gpu`, if the networks have it
    (assumed)."""
    light_encoder_share: float = 0.1
    """Weight of the loss by which the light encoder learns the wide encoder's latent (measured: 0.5 dominates the
    gradient)."""
    adversarial: float = 0.1
    """Weight of the discriminator's verdict beside a distortion of about 0.85, in the stage `adversarial` (assumed)."""
    discriminator_rate: float = 4e-4
    """Learning rate of the discriminator's AdamW (assumed)."""
    wanted_qualities: tuple[int, int] = (10, 54)
    """First and last of the qualities at which most pictures train: the ones that BD-rate covers (measured)."""
    wanted_share: float = 0.8
    """Share of the pictures that train at `wanted_qualities`; the others train at any quality (assumed)."""
    rounding_strength: float = 2.0
    """Strength of the rate-distortion optimised rounding (rounding.py) that the decay trains with (measured)."""
    fixed_batches: int = 8
    """Batches of fixed crops whose loss compares two trainings: 256 crops with a GPU's batch of 32 (assumed)."""

    # The next fields set how a release is made from the weights (release.py).
    rounding_strengths: tuple[float, ...] = (2.0, 1.4, 3.0)
    """Rounding strengths of which a release takes the best, or the first without validation pictures (measured)."""
    counted_batches: int = 96
    """Maximum number of batches whose symbols are counted for the CDF tables: at most one per photograph."""


@dataclass(frozen=True)
class Augmentation:
    """How random crops are drawn from photographs (dataset.py)."""

    short_sides_px: tuple[int, ...] = (HIGH_PX, 276, 400)
    """The short sides in pixels to which each photograph is scaled: the served 344, a smaller and a larger one
    (assumed)."""
    scale_shares: tuple[float, ...] = (0.6, 0.2, 0.2)
    """Share of the crops from each scale in `short_sides_px` (assumed)."""
    upside_down_share: float = 0.25
    """Share of the crops that are flipped vertically (assumed)."""
    recoloured_share: float = 0.2
    """Share of the crops whose saturation is changed, and likewise share whose contrast is changed (assumed)."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of one run of `latentedge train`."""

    data: list[Path]
    """Folders or packs (photograph_pack.py) of the training photographs."""
    minutes: float
    """Wall-clock time of the whole command, without the time of validations."""
    output: Path = Path("runs/train")
    valid: Path | None = None
    """A folder of validation photographs; None means no validation."""
    resume: Path | None = None
    """The output folder of a stopped run to continue there; None means a new run in `output`."""
    start: Path | None = None
    """A weights file to start from; None means the closed-form initialisation."""
    flat: Path | None = None
    """A stage's folder of an earlier run, from whose flat weights the training continues; None means a new training."""
    contest_s: float = 0.0
    """Seconds for which each optimizer is tried before the better one continues; 0 means no trial."""
    stage: str = "all"
    architecture: Architecture = RELEASED
    """The networks to train; a weights file in `start` must have the same architecture."""
    threads: int = 2
    seed: int = 0
    device: str = "cpu"
    half_precision: bool = True
    """Compute the networks in bfloat16 by autocast; the latent and the rate stay in float32."""
    note: bool = False
    """In stage `heads`, train the research note's translator (note_translator.py) too, for comparison."""
    limit: int | None = None
    """Largest number of photographs to read; None means all."""
    recipe: Recipe = Recipe()


def batch_of(recipe: Recipe, *, whole_pictures: bool) -> tuple[int, int]:
    """Return the side in pixels and the number of the pictures of a training step.

    A step on whole pictures has half of `recipe.batch`, because a whole picture has nearly twice the area of a crop.
    """
    return (HIGH_PX, max(1, recipe.batch // 2)) if whole_pictures else (recipe.crop_px, recipe.batch)
