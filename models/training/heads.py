"""Stage `heads`: what reads the frozen high latents: `high-cpu`, and the translator to the medium picture.

Both are trained on the same batches, since the frozen encoder is the dear part of a step. The translator starts as the
least-squares linear map from a cell and its neighbours to the cell's pixels; then both follow their pixels. Beside it,
if asked for and on the same batches, the translator that the research note proposed (note_translator.py). The rival is
always at hand: decode 344, then LANCZOS to 172; `gap_db` is how far behind it the translator is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.autoencoder import HighAutoencoder, LightHeads, MediumAutoencoder
from models.config import MEDIUM, TRANSLATOR
from models.training.heads_validation import HeadsValidation, Ways
from models.training.linear_start import neighbour_fit
from models.training.losses import decoded_latent, linear_groups, picture_loss
from models.training.note_translator import NoteTranslator
from models.training.options import CROP_PX, batch_of
from models.training.warm_start import fill
from models.translator import four_neighbours

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.dataset import PhotographSet
    from models.training.options import TrainOptions
    from models.training.schedule import Moment

_RIDGE_BATCHES, _RIDGE_BATCH = 24, 8


class HeadsTask:
    """The light heads as a `Task` of the training loop."""

    validate_every_s = 60.0
    """Often: the plot of the translator's way is made of it."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions, folder: Path) -> None:
        """Reads the averaged weights of the stage `high` in `folder`, and of `medium` for the note's translator."""
        self._photographs, self._options, self._folder = photographs, options, folder
        self._high = HighAutoencoder().to(options.device).requires_grad_(requires_grad=False)
        self._read_high()
        self.model: nn.Module = LightHeads().to(options.device)
        self._light.high.linear.load_state_dict(self._high.head.linear.state_dict())
        self._r2 = self._fit_linear(torch.Generator().manual_seed(options.seed))
        self._note = NoteTranslator(self._medium()) if options.note else None
        self._validation = HeadsValidation(options.valid) if options.valid else None

    @property
    def _light(self) -> LightHeads:
        assert isinstance(self.model, LightHeads)
        return self.model

    def _read_high(self) -> None:
        fill(self._high, self._folder / "high", start=self._options.start)

    def _medium(self) -> MediumAutoencoder:
        medium = MediumAutoencoder().to(self._options.device).requires_grad_(requires_grad=False)
        fill(medium, self._folder / "medium", start=self._options.start)
        return medium

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
        """Both heads' errors on one batch of decoded latents."""
        size_px, batch = batch_of(moment, self._options)
        crops = self._photographs.crops(batch, size_px=size_px, generator=generator)
        quality = torch.randint(0, 64, (batch,), generator=generator).to(crops.pixels.device)
        half = self._options.half_precision
        y_hat = decoded_latent(self._high, crops.pixels, quality, half_precision=half)
        if self._note is not None:
            self._note.learn(y_hat, crops.half, quality)
        with torch.autocast(y_hat.device.type, dtype=torch.bfloat16, enabled=half):
            x_hat = self._light.high(y_hat, quality=quality, deviation=self._high.hyperprior.deviation)
            x_half = self._light.medium(y_hat, quality=quality, deviation=self._high.hyperprior.deviation)
        high, medium = (
            picture_loss(found, truth, quality, perceptual=self._options.perceptual)
            for found, truth in ((x_hat, crops.pixels), (x_half, crops.half))
        )
        return high + medium

    def groups(self, rate: float) -> list[dict[str, object]]:
        """All parameters, the linear paths slower."""
        return linear_groups(self.model, rate)

    @torch.no_grad()
    def _fit_linear(self, generator: torch.Generator) -> float:
        """Set the translator's linear path in closed form, sampled over qualities; gives the mean R^2 over pixels."""
        rows, targets = [], []
        for _ in range(min(_RIDGE_BATCHES, 2 * self._photographs.files)):
            crops = self._photographs.crops(_RIDGE_BATCH, size_px=CROP_PX, generator=generator)
            quality = torch.randint(16, 64, (_RIDGE_BATCH,), generator=generator).to(crops.pixels.device)
            y_hat = decoded_latent(self._high, crops.pixels, quality, half_precision=False)
            around = torch.cat([y_hat, four_neighbours(y_hat)], dim=1)
            target = F.pixel_unshuffle(crops.half, MEDIUM.stride_px)
            # the outermost cells have no neighbours
            rows.append(around[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2).cpu())
            targets.append(target[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2).cpu())
        fit = neighbour_fit(torch.cat(rows), torch.cat(targets), edges=TRANSLATOR.edges)
        translator = self._light.medium
        for part, weight in ((translator.linear, fit.centre), (translator.linear_across, fit.across)):
            part.weight.copy_(weight)
            part.bias.zero_()
        translator.linear.bias.copy_(fit.bias)
        translator.linear_edges.weight.copy_(fit.edges)
        translator.linear_edges.bias.zero_()
        return fit.r2

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """How far the translator is behind its rival, and the light head behind the better one."""
        if self._validation is None:
            return {}
        self._read_high()  # the high autoencoder may still be training beside this stage
        assert isinstance(averaged, LightHeads)
        figures = self._validation.score(Ways(averaged, self._high, self._note))
        return {"r2_linear": self._r2, **figures}
