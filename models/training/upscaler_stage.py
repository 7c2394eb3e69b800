"""Stage `upscaler`: train the upscaler on the medium pictures of demoted photographs, with all other networks frozen.

Its flat part trains on squared error alone, its decay with a share of SSIMULACRA2. The stage ends with the file
upscaler.safetensors, which `DemotedCodec` loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from models import upscaler
from models.codec import Codec
from models.config import HIGH_PX, UPSCALER
from models.demoted_codec import DemotedCodec
from models.evaluation.references import pictures_in, reference
from models.perceptual import distortion
from models.pixels import to_pixels, to_tensor
from models.scores import Ssimulacra2, psnr_db
from models.training.dataset import PhotographSet
from models.training.demoted_pairs import DemotedPairs, demoted_mediums
from models.training.kept import AVERAGED, load_kept
from models.training.stage_loop import run_stage
from models.upscaler import Upscaler, UpscalerNotes, lanczos_double

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from models.picture_array import Pixels
    from models.training.options import TrainOptions
    from models.training.schedule import Phase
    from models.training.stopwatch import Stopwatch

PAIRS = "pairs.safetensors"
FILE = "upscaler.safetensors"
_LEAST_ERROR = 4.0
"""Squared error, in squared 8-bit levels, that is added to that of LANCZOS before dividing by it (assumed)."""
_PICTURES = 8
_QUALITIES = (22, 34, 46)


class UpscalerTask:
    """Stage `upscaler` for the training loop: the upscaler, its loss and its validation."""

    def __init__(self, pairs: DemotedPairs, options: TrainOptions, validation: UpscalerValidation | None) -> None:
        """Build an untrained upscaler."""
        self.validate_every_s = options.recipe.validate_heads_every_s
        self.network = Upscaler(UPSCALER).to(options.device)
        self.model: nn.Module = self.network
        self._pairs, self._options, self._validation = pairs, options, validation

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the distortion of a random batch: squared error, in the decay mixed with SSIMULACRA2.

        It is divided by the squared error of LANCZOS, so that a soft picture counts as much as a sharp one, as in a
        mean of PSNRs.
        """
        batch = self._pairs.batch(self._options.recipe, phase, generator)
        by_lanczos = distortion(lanczos_double(batch.medium, self.network.taps), batch.truth, perceptual=0)
        with torch.autocast(self._options.device, dtype=torch.bfloat16, enabled=self._options.half_precision):
            x_hat = self.network(batch.medium, quality=batch.quality)
        found = distortion(x_hat, batch.truth, perceptual=phase.perceptual)
        return (found / (by_lanczos + _LEAST_ERROR)).mean()

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return the figures of `UpscalerValidation` for the averaged weights, or {} without validation pictures."""
        assert isinstance(averaged, Upscaler)
        return self._validation.score(averaged) if self._validation else {}


@dataclass(frozen=True)
class _Demoted:
    truth: Pixels
    seen: Ssimulacra2
    medium: Pixels
    quality: int


class UpscalerValidation:
    """Scores an upscaler against LANCZOS on eight demoted validation pictures, at three qualities."""

    def __init__(self, folder: Path, codecs: tuple[Codec, DemotedCodec]) -> None:
        """Demote eight pictures, evenly spread over those in `folder`, or all where there are fewer."""
        files = pictures_in(folder)
        self._demoted: list[_Demoted] = []
        for file in files[:: max(1, len(files) // _PICTURES)][:_PICTURES]:
            truth = reference(file, HIGH_PX)
            mediums = demoted_mediums(codecs, truth, quality=codecs[0].default_quality, mediums=[*_QUALITIES])
            seen = Ssimulacra2(truth)
            self._demoted += [_Demoted(truth, seen, *one) for one in zip(mediums, _QUALITIES, strict=True)]
        self._lanczos = [_scores(Upscaler(UPSCALER), one) for one in self._demoted]

    @torch.no_grad()
    def score(self, network: Upscaler) -> dict[str, float]:
        """Return by how much the upscaler is better than LANCZOS: gain_psnr_db and gain_ssimulacra2, means."""
        ours = np.array([_scores(network, one) for one in self._demoted])
        psnr, ssimulacra2 = (ours - np.array(self._lanczos)).mean(0).tolist()
        return {"gain_psnr_db": psnr, "gain_ssimulacra2": ssimulacra2}


@torch.no_grad()
def _scores(network: Upscaler, one: _Demoted) -> tuple[float, float]:
    device = str(network.taps.device)
    x_hat = network(to_tensor(one.medium, device), quality=torch.tensor([one.quality], device=device))
    (found,) = to_pixels(x_hat, HIGH_PX)
    return psnr_db(one.truth, found), one.seen.score(found)


def train_upscaler(options: TrainOptions, folder: Path, watch: Stopwatch) -> None:
    """Train stage `upscaler` in `folder`, and write the upscaler's file there.

    The codec is that of `options.start`, by default the released one. The time to make the pairs does not count.
    """
    codec = Codec.load(options.start, device=options.device)
    codecs = codec, DemotedCodec.untrained(codec, options.start)
    photographs = PhotographSet(options.data, limit=options.limit)
    with watch.pause():
        pairs = DemotedPairs.of(folder / PAIRS, photographs, codecs, seed=options.seed)
        validation = UpscalerValidation(options.valid, codecs) if options.valid else None
    task = UpscalerTask(pairs, options, validation)
    run_stage(task, folder / "upscaler", budget_s=60 * options.minutes, options=options, watch=watch)
    kept = load_kept(folder / "upscaler", AVERAGED)
    kept.fill(task.network)
    progress = kept.progress
    trained = f"{progress.minutes:.0f} min, {progress.step} steps on {options.device}, {photographs.files} photographs"
    notes = UpscalerNotes(codecs[1].stream_id.hex(), trained)
    upscaler.save(folder / FILE, task.network, notes)
    Console().print(notes)
