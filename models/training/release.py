"""From averaged weights to the released file: tables come from symbols counted on the training pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from rich.progress import track

from models.autoencoder import HighAutoencoder, MediumAutoencoder, MediumPath
from models.checkpoint import ReleaseNotes, Tables, save
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
from models.training.losses import medium_latent, padded
from models.training.train import load_averaged

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.dataset import PhotographSet

_COUNTED_BATCHES = 96
_BATCH = 8


def release(run: Path, target: Path, *, photographs: PhotographSet, notes: ReleaseNotes, seed: int = 0) -> None:
    """Write the weights file `target` from the three stage folders of a run."""
    high, medium, path = HighAutoencoder(), MediumAutoencoder(), MediumPath()
    for name, module in (("high", high), ("medium", medium), ("translator", path)):
        load_averaged(module, run / name)
    tables = (_counted_tables(high, photographs, seed=seed), _counted_tables(medium, photographs, seed=seed))
    save(target, high=high.eval(), medium=medium.eval(), medium_path=path.eval(), tables=tables, notes=notes)


@torch.no_grad()
def _counted_tables(model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, *, seed: int) -> Tables:
    """Tables from symbols counted at all qualities alike, blended with the smooth likelihoods."""
    y_counts = torch.zeros(SCALE_COUNT, 2 * SUPPORT_LIMIT + 2)
    z_counts = torch.zeros(HYPER_GROUPS, model.config.hyper_channels, 2 * HYPER_LIMIT + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in track(range(_COUNTED_BATCHES), description="counting symbols"):
        crops = photographs.crops(_BATCH, size_px=344, generator=generator)
        x = crops.half if isinstance(model, MediumAutoencoder) else crops.pixels
        quality = torch.randint(0, QUALITIES, (len(x),), generator=generator)
        y = (
            medium_latent(model, x)
            if isinstance(model, MediumAutoencoder)
            else model.analysis(padded(x, model), model.hyperprior.deviation)
        )
        coded = model.hyperprior.quantise(y, quality)
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


def with_default_quality(notes: ReleaseNotes, quality: int) -> ReleaseNotes:
    """The notes once the default quality is measured."""
    return replace(notes, default_quality=quality)
