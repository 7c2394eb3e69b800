"""Make a weights file from a run's averaged weights, with CDF tables counted on the training pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import track

from models.autoencoder import HighAutoencoder, MediumAutoencoder, Networks
from models.checkpoint import ReleaseNotes, Tables, save
from models.codec import Codec
from models.config import QUALITIES
from models.entropy_model import (
    HYPER_GROUPS,
    HYPER_LIMIT,
    SCALE_COUNT,
    SUPPORT_LIMIT,
    hyper_group,
    hyper_tables,
    symbol_tables,
)
from models.evaluation import rd
from models.evaluation.references import pictures_in, reference
from models.evaluation.streams import default_quality
from models.rounding import Rounding
from models.scores import psnr_db
from models.training.losses import medium_latent, pad_whole_pictures
from models.training.validation import QUALITIES as WATCHED
from models.training.validation import jpeg_curve
from models.training.warm_start import fill

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from models.training.dataset import PhotographSet
    from models.training.options import TrainOptions

_FEWEST_BATCHES = 4
_BATCH = 8


def release(
    run: Path,
    target: Path,
    *,
    photographs: PhotographSet,
    options: TrainOptions,
    trained: str,
) -> ReleaseNotes:
    """Write the weights file `target` from the stage folders of `run`, and return its release notes.

    Rounding strength and default quality are chosen on the pictures in `options.valid`. Without them the strength is
    the recipe's first and the quality 24.
    """
    networks = Networks.of(options.architecture)
    for module in networks.parts():
        fill(module, run, start=options.start)
        module.eval()
    recipe, valid = options.recipe, options.valid
    tables = (
        _count_tables(networks.high, photographs, options),
        _count_tables(networks.medium, photographs, options),
    )
    strengths = recipe.rounding_strengths
    notes = ReleaseNotes(24, rounding_strength=strengths[0], perceptual=recipe.perceptual, trained=trained)
    save(target, networks, tables=tables, notes=notes)
    if valid is None:
        return notes
    notes = replace(notes, rounding_strength=_find_best_strength(target, valid, strengths))
    save(target, networks, tables=tables, notes=notes)
    notes = replace(notes, default_quality=default_quality(Codec.load(target, head="gpu", encoder="wide"), valid))
    save(target, networks, tables=tables, notes=notes)
    return notes


def _find_best_strength(weights: Path, valid: Path, strengths: tuple[float, ...]) -> float:
    """Return the rounding strength with the lowest BD-rate against JPEG on every fourth validation picture."""
    codec = Codec.load(weights, head="gpu", encoder="wide")
    squares = [reference(file, codec.size_px) for file in pictures_in(valid)[::4]]
    anchors = [jpeg_curve(square) for square in squares]

    def rate(strength: float) -> float:
        codec.round_with(strength)
        pairs = [(stream_curve(codec, square), anchor) for square, anchor in zip(squares, anchors, strict=True)]
        return rd.median_bd_rate(pairs, rd.PSNR_RANGE_DB).percent

    rates = {strength: rate(strength) for strength in track(strengths, description="choosing the rounding")}
    Console().print("BD-rate against JPEG by rounding strength:", rates)
    return min(rates, key=rates.__getitem__)


def stream_curve(codec: Codec, square: NDArray[np.uint8]) -> rd.Curve:
    """Return the rate-distortion curve (bytes, PSNR) of one picture, encoded at the `QUALITIES` of validation.py."""
    points = []
    for quality in WATCHED:
        blob = codec.encode(square, quality=quality)
        (decoded,) = codec.synthesize([codec.read(blob)], size_px=codec.size_px)
        points.append(rd.RatePoint(len(blob), psnr_db(square, decoded)))
    return rd.curve(points)


@torch.no_grad()
def _count_tables(
    model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, options: TrainOptions
) -> Tables:
    """Return CDF tables from histograms of symbols at random qualities, blended with the smooth likelihoods.

    The symbols are quantised with the encoder's rate-distortion optimised rounding; tables counted on plainly rounded
    symbols cost up to 0.7 % more bytes (LOG.md).
    """
    recipe = options.recipe
    rounding = Rounding.from_tables(symbol_tables(model.hyperprior.symbols), strength=recipe.rounding_strengths[0])
    y_counts = torch.zeros(SCALE_COUNT, 2 * SUPPORT_LIMIT + 2)
    z_counts = torch.zeros(HYPER_GROUPS, model.config.hyper_channels, 2 * HYPER_LIMIT + 1)
    generator = torch.Generator().manual_seed(options.seed)
    batches = max(_FEWEST_BATCHES, min(recipe.counted_batches, photographs.files))
    for _ in track(range(batches), description="counting symbols"):
        crops = photographs.crops(_BATCH, size_px=344, generator=generator)
        x = (crops.half if isinstance(model, MediumAutoencoder) else crops.pixels).cpu()
        quality = torch.randint(0, QUALITIES, (len(x),), generator=generator)
        y = (
            medium_latent(model, x)
            if isinstance(model, MediumAutoencoder)
            else model.analysis(pad_whole_pictures(x, model), model.hyperprior.deviation)
        )
        coded = model.hyperprior.quantise(y, quality, rounding=rounding)
        size = coded.q.abs().clamp_max(SUPPORT_LIMIT + 1)
        column = torch.where(size > SUPPORT_LIMIT, 2 * SUPPORT_LIMIT + 1, coded.q + SUPPORT_LIMIT).long()
        y_counts.view(-1).index_add_(
            0, (coded.index.long() * y_counts.shape[1] + column).flatten(), torch.ones(column.numel())
        )
        for one, of_quality in zip(coded.z_hat, quality.tolist(), strict=True):
            column = one.flatten(1).long() + HYPER_LIMIT
            z_counts[hyper_group(of_quality)].scatter_add_(1, column, torch.ones_like(column, dtype=torch.float32))
    hyper = hyper_tables(model.hyperprior.hyper_latents, z_counts)
    return Tables(symbol_tables(model.hyperprior.symbols, y_counts), hyper)
