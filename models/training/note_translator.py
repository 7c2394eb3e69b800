"""The research note's translator, for comparison: a pointwise MLP trained on the error between two latents.

It maps each cell of the decoded high latent to the same cell of the medium autoencoder's decoded latent, rounding
included, by squared error alone. It is never released: it shows what that recipe achieves beside the real translator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.autoencoder import MediumAutoencoder
from models.config import Architecture
from models.layers import Pointwise, activate
from models.training.losses import medium_latent

_HIDDEN = 384
_RATE = 1e-3


class NoteTranslator:
    """Trains an MLP, with its own optimizer, to predict the latents of the frozen medium autoencoder."""

    def __init__(self, architecture: Architecture, medium: MediumAutoencoder) -> None:
        """Build three layers with random weights, on the device of the medium autoencoder."""
        self._medium = medium
        maps = [
            Pointwise(architecture.high.latent_channels, _HIDDEN),
            Pointwise(_HIDDEN, _HIDDEN),
            Pointwise(_HIDDEN, architecture.medium.latent_channels),
        ]
        self.layers = nn.ModuleList(maps).to(medium.hyperprior.deviation.device)
        self._optimizer = torch.optim.Adam(self.layers.parameters(), lr=_RATE)

    def pictures(self, y_hat: Tensor, quality: Tensor) -> Tensor:
        """Decode y_hat (B, N, H, W) of the high picture to medium pictures (B, 3, ., .)."""
        deviation = self._medium.hyperprior.deviation
        x_hat: Tensor = self._medium.head(self._translate(y_hat), quality=quality, deviation=deviation)
        return x_hat

    def learn(self, y_hat: Tensor, half: Tensor, quality: Tensor) -> None:
        """Train one step on the latent error."""
        with torch.no_grad():
            y = medium_latent(self._medium, half)
            target = self._medium.hyperprior.quantise(y, quality).y_hat
        error = (self._translate(y_hat) - target).square().mean()
        self._optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._optimizer.step()

    def _translate(self, y_hat: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) of the high picture to a latent (B, M, H, W) for the medium decoder."""
        first, second, last = self.layers
        translated: Tensor = last(activate(second(activate(first(y_hat)))))
        return translated
