"""The discriminator of the adversarial stage: it tells upscaled pictures from photographs, patch by patch.

    picture, LANCZOS picture -- unshuffle(2) -- 3x3 -- 3x3 stride 2 -- 3x3 -- 3x3 stride 2 -- 3x3 --> one score a patch

It sees the LANCZOS picture of the same latent beside the picture that it judges, so that it judges what was added and
not the motif. Its convolutions are spectrally normalised (Miyato et al. 2018, arXiv 1802.05957), its loss is the hinge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

_WIDTH = 48
_STEPS = ((1, _WIDTH), (2, _WIDTH), (1, 2 * _WIDTH), (2, 2 * _WIDTH))
"""Stride and output channels of each 3x3 convolution."""


class Discriminator(nn.Module):
    """Scores patches of a picture, given its LANCZOS picture: high for a photograph, low for an upscaled one."""

    def __init__(self) -> None:
        """Build a discriminator with random weights."""
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        channels = 2 * 3 * 4
        for stride, width in _STEPS:
            layers += [spectral_norm(nn.Conv2d(channels, width, 3, stride, padding=1)), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels, 1, 3, padding=1)))

    def forward(self, x: Tensor, lanczos: Tensor) -> Tensor:
        """Map pictures x (B, 3, S, S) and their LANCZOS pictures, about 0..1, to scores (B, 1, S/8, S/8)."""
        seen: Tensor = self.layers(torch.cat([x, lanczos], dim=1) - 0.5)
        return seen


class Adversary:
    """A discriminator with its optimizer: it learns from each batch before it judges it."""

    def __init__(self, *, rate: float, betas: tuple[float, float], device: str) -> None:
        """Build a discriminator with random weights; `rate` is its learning rate."""
        self.network = Discriminator().to(device)
        self._optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=betas, weight_decay=0.0)

    def learn(self, upscaled: Tensor, truth: Tensor, lanczos: Tensor) -> float:
        """Make one step on upscaled pictures and photographs, and return the hinge loss before it (2 for a guess)."""
        self._optimizer.zero_grad(set_to_none=True)
        scores = self.network(torch.cat([truth, upscaled.detach()]), lanczos.repeat(2, 1, 1, 1))
        real, made = scores.chunk(2)
        loss = F.relu(1 - real).mean() + F.relu(1 + made).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._optimizer.step()
        return float(loss.detach())

    def error(self, upscaled: Tensor, lanczos: Tensor) -> Tensor:
        """Return how much upscaled pictures look made, as a mean; its gradient reaches them, not the discriminator."""
        self.network.requires_grad_(requires_grad=False)
        error: Tensor = -self.network(upscaled, lanczos).mean()
        self.network.requires_grad_(requires_grad=True)
        return error
