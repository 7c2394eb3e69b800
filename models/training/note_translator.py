"""The translator that a research note proposed, for comparison: a pointwise MLP trained on latents.

It maps each cell of the decoded high latent to the same cell of the medium autoencoder's decoded (rounded) latent, and
is trained on the squared error between the two latents. It is never released. docs/codec.md compares it with the
released translator, which is trained on pixels.
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
    """An MLP with its own optimizer, trained to predict the decoded latents of the frozen medium autoencoder."""

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
        """Decode y_hat (B, N, H, W) of 344 pictures to 172 pictures (B, 3, 8 H, 8 W), by MLP and medium head."""
        deviation = self._medium.hyperprior.deviation
        x_hat: Tensor = self._medium.head(self._translate(y_hat), quality=quality, deviation=deviation)
        return x_hat

    def learn(self, y_hat: Tensor, half: Tensor, quality: Tensor) -> None:
        """Train one step on the error between the predicted latents and those of the 172 pictures `half`."""
        with torch.no_grad():
            y = medium_latent(self._medium, half)
            target = self._medium.hyperprior.quantise(y, quality).y_hat
        error = (self._translate(y_hat) - target).square().mean()
        self._optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._optimizer.step()

    def _translate(self, y_hat: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) of 344 pictures to y_hat (B, M, H, W) of the medium autoencoder."""
        first, second, last = self.layers
        translated: Tensor = last(activate(second(activate(first(y_hat)))))
        return translated
