"""The research note's translator, as a witness: a pointwise MLP trained on the latent error between two autoencoders.

It maps each cell of the decoded high latent to the same cell of the medium autoencoder's decoded latent, rounding
included, by squared error alone. Never released: it shows beside the real translator what that recipe comes to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.autoencoder import MediumAutoencoder, pad_to_cells
from models.config import HIGH, MEDIUM
from models.layers import Pointwise, activate

_HIDDEN = 384
_RATE = 1e-3


class NoteTranslator:
    """The MLP and its own optimizer."""

    def __init__(self, device: str) -> None:
        """Three layers, from a random start."""
        maps = [
            Pointwise(HIGH.latent_channels, _HIDDEN),
            Pointwise(_HIDDEN, _HIDDEN),
            Pointwise(_HIDDEN, MEDIUM.latent_channels),
        ]
        self.layers = nn.ModuleList(maps).to(device)
        self._optimizer = torch.optim.Adam(self.layers.parameters(), lr=_RATE)

    def translated(self, y_hat: Tensor) -> Tensor:
        """y_hat (B, N, H, W) of the high picture -> (B, M, H, W), meant for the medium decoder."""
        first, second, last = self.layers
        translated: Tensor = last(activate(second(activate(first(y_hat)))))
        return translated

    def learn(self, y_hat: Tensor, medium: MediumAutoencoder, half: Tensor, quality: Tensor) -> None:
        """One step on the latent error."""
        with torch.no_grad():
            padded = pad_to_cells(half, medium.config) if half.shape[2] == medium.config.size_px else half
            y = medium.analysis(padded, medium.hyperprior.deviation)
            target = medium.hyperprior.quantise(y, quality).y_hat
        error = (self.translated(y_hat) - target).square().mean()
        self._optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._optimizer.step()
