"""Stage `translator`: from the frozen high autoencoder's latents to medium pictures.

    closed form: ridge fit of the linear path -> warm-up on the latent error -> pixels through the frozen medium decoder
    -> pixels, decoder unfrozen (joint finish)

The rival is always at hand: decode 344, then LANCZOS to 172; `gap_db` is how far behind it the medium path is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models.autoencoder import HighAutoencoder, MediumAutoencoder, MediumPath, pad_to_cells
from models.config import HIGH_PX, MEDIUM_PX, TranslatorConfig
from models.training.linear_start import neighbour_fit
from models.training.losses import decoded_latent, latent_loss, medium_latent, medium_pixel_loss
from models.training.references import pictures_in, reference, resized
from models.training.scores import psnr_db
from models.training.validation import PICTURES, QUALITIES, to_pixels, to_tensor
from models.translator import four_neighbours

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from models.training.dataset import PhotographSet
    from models.training.options import TrainOptions
    from models.training.schedule import Moment

_LATENT_UNTIL = 0.06
_FROZEN_UNTIL = 0.35
"""Shares of the budget: latent warm-up, then pixels with the decoder frozen, then both together."""
_CROP_PX, _BATCH = 256, 8
_RIDGE_BATCHES = 24


class TranslatorTask:
    """The medium path as a `Task` of the training loop."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions, folder: Path) -> None:
        """Reads the averaged weights of the stages `high` and `medium` in `folder`."""
        self._photographs, self._options, self._folder = photographs, options, folder
        self._high = HighAutoencoder().to(options.device).requires_grad_(requires_grad=False)
        self._medium = MediumAutoencoder().to(options.device).requires_grad_(requires_grad=False)
        self._load("high", self._high)
        self._load("medium", self._medium)
        self.model: nn.Module = MediumPath().to(options.device)
        self._path.head.load_state_dict(self._medium.head.state_dict())
        self.fit = self._fit_linear(torch.Generator().manual_seed(options.seed))
        self._files = pictures_in(options.valid) if options.valid else ()

    @property
    def _path(self) -> MediumPath:
        assert isinstance(self.model, MediumPath)
        return self.model

    def _load(self, stage: str, networks: nn.Module) -> None:
        networks.load_state_dict(torch.load(self._folder / stage / "state.pt", weights_only=True)["averaged"])

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
        """Latent error, then pixel error, by the share of the budget that is gone."""
        size_px, batch = (HIGH_PX, _BATCH // 2) if moment.whole_pictures else (_CROP_PX, _BATCH)
        crops = self._photographs.crops(batch, size_px=size_px, generator=generator)
        quality = torch.randint(0, 64, (batch,), generator=generator).to(crops.pixels.device)
        y_hat = decoded_latent(self._high, crops.pixels, quality, half_precision=self._options.half_precision)
        source, medium = self._high.hyperprior, self._medium.hyperprior
        if moment.share < _LATENT_UNTIL:
            target = medium_latent(self._medium, crops.half)
            return latent_loss(self._path, y_hat, target, quality=quality, source=source, medium=medium)
        self._path.head.requires_grad_(requires_grad=moment.share >= _FROZEN_UNTIL)
        return medium_pixel_loss(self._path, y_hat, crops.half, quality=quality, source=source, medium=medium)

    def groups(self, rate: float) -> list[dict[str, object]]:
        """The linear paths at a tenth of the rate; the decoder, trained already, at a quarter."""
        linear = [parameter for name, parameter in self._path.named_parameters() if "linear" in name]
        head = [parameter for name, parameter in self._path.head.named_parameters() if "linear" not in name]
        translator = [parameter for name, parameter in self._path.translator.named_parameters() if "linear" not in name]
        return [
            {"params": linear, "lr": 0.1 * rate},
            {"params": head, "lr": 0.25 * rate},
            {"params": translator, "lr": rate},
        ]

    @torch.no_grad()
    def _fit_linear(self, generator: torch.Generator) -> float:
        """Set the linear path in closed form, sampled over qualities; gives the mean R^2 over channels."""
        rows, targets = [], []
        for _ in range(min(_RIDGE_BATCHES, 2 * self._photographs.files)):
            crops = self._photographs.crops(_BATCH, size_px=_CROP_PX, generator=generator)
            quality = torch.randint(16, 64, (_BATCH,), generator=generator)
            y_hat = decoded_latent(self._high, crops.pixels, quality, half_precision=False)
            around = torch.cat([y_hat, four_neighbours(y_hat)], dim=1)
            target = medium_latent(self._medium, crops.half)
            # the outermost cells have no neighbours
            rows.append(around[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2))
            targets.append(target[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2))
        fit = neighbour_fit(torch.cat(rows), torch.cat(targets), edges=TranslatorConfig().edges)
        translator = self._path.translator
        for part, weight in ((translator.linear, fit.centre), (translator.linear_across, fit.across)):
            part.weight.copy_(weight)
            part.bias.zero_()
        translator.linear.bias.copy_(fit.bias)
        translator.linear_edges.weight.copy_(fit.edges)
        translator.linear_edges.bias.zero_()
        return fit.r2

    @torch.no_grad()
    def score(self, averaged: nn.Module) -> dict[str, float]:
        """PSNR of the medium pictures and of the rival, per watched quality, and the mean gap in dB."""
        if not self._files:
            return {}
        self._load("high", self._high)  # it may still be training beside this stage
        chosen = self._files[:: max(1, len(self._files) // PICTURES)][:PICTURES]
        pairs = [(reference(file, HIGH_PX), reference(file, MEDIUM_PX)) for file in chosen]
        figures, gaps = {"r2_linear": self.fit}, []
        for quality in QUALITIES:
            both = np.array([self._scores(averaged, high, medium, quality) for high, medium in pairs]).mean(0)
            figures[f"psnr_{quality}"], figures[f"rival_{quality}"] = float(both[0]), float(both[1])
            gaps.append(both[1] - both[0])
        figures["gap_db"] = float(np.mean(gaps))
        return figures

    def _scores(
        self, averaged: nn.Module, high: NDArray[np.uint8], medium: NDArray[np.uint8], quality: int
    ) -> tuple[float, float]:
        x, of_quality = pad_to_cells(to_tensor(high), self._high.config), torch.tensor([quality])
        y_hat = decoded_latent(self._high, x, of_quality, half_precision=False)
        deviation = self._high.hyperprior.deviation
        x_medium = averaged(
            y_hat,
            quality=of_quality,
            deviation=deviation,
            target_deviation=self._medium.hyperprior.deviation,
        )
        ours = to_pixels(x_medium[:, :, :MEDIUM_PX, :MEDIUM_PX])
        x_high = self._high.head(y_hat, quality=of_quality, deviation=deviation)
        rival = resized(to_pixels(x_high[:, :, :HIGH_PX, :HIGH_PX]), MEDIUM_PX)
        return psnr_db(medium, ours), psnr_db(medium, rival)
