"""The translator: latent of the high picture -> latent that the medium decoder reads, both on the 22x22 grid.

    y_high --+-- linear 1x1 (from the ridge fit) -----------------------------------------------+--> y_medium
             +-- linear 1x1 to edges -- four neighbours -- linear 1x1 (from the ridge fit) -----+
             +-- asinh(y / deviation) -- 1x1 * quality -- depthwise blocks -- 1x1 (from 0) * deviation --+

It predicts the medium latent before rounding (a mean), with neighbours in view, and is trained on pixels through the
medium decoder: a pointwise map trained on the latent error alone stalls (see the README).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig, TranslatorConfig
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, enter


def four_neighbours(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4 C, H, W): the values above, left, right and below of each place; zero beyond the grid."""
    padded = F.pad(x, (1, 1, 1, 1))
    return torch.cat(
        [padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:], padded[:, :, 2:, 1:-1]], 1
    )


class Translator(nn.Module):
    """Latent to latent on one grid."""

    def __init__(self, source: AutoencoderConfig, target: AutoencoderConfig, config: TranslatorConfig) -> None:
        """From the latent of `source` to that of `target`."""
        super().__init__()
        self.linear = Pointwise(source.latent_channels, target.latent_channels)
        self.linear_edges = Pointwise(source.latent_channels, config.edges)
        self.linear_across = Pointwise(4 * config.edges, target.latent_channels)
        self.enter = Pointwise(source.latent_channels, config.width)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, config.width))
        self.blocks = nn.Sequential(*[DepthwiseBlock(config.width, expansion=1) for _ in range(config.blocks)])
        self.leave = Pointwise(config.width, target.latent_channels, gain=0)

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor, target_deviation: Tensor) -> Tensor:
        """y_hat (B, N, H, W) of the high picture -> (B, M, H, W) in the units of the medium latent."""
        h = enter(self, y_hat, quality=quality, deviation=deviation)
        with torch.autocast(y_hat.device.type, enabled=False):
            y_hat = y_hat.float()
            linear: Tensor = self.linear(y_hat) + self.linear_across(four_neighbours(self.linear_edges(y_hat)))
        detail: Tensor = self.leave(self.blocks(h)).float()
        return linear + target_deviation[:, None, None] * detail
