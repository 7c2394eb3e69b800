"""The translator: latent of the high picture -> latent that the medium decoder reads, both on the 22x22 grid.

    y_high --+-- linear 1x1 (from the ridge fit) -----------------------------------------------+--> y_medium
             +-- asinh(y / deviation) -- 1x1 * quality -- depthwise blocks -- 1x1 (from 0) * deviation --+

It predicts the medium latent before rounding (a mean), with neighbours in view, and is trained on pixels through the
medium decoder: a pointwise map trained on the latent error alone stalls (see the README).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import AutoencoderConfig, TranslatorConfig
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, enter


class Translator(nn.Module):
    """Latent to latent on one grid."""

    def __init__(self, source: AutoencoderConfig, target: AutoencoderConfig, config: TranslatorConfig) -> None:
        """From the latent of `source` to that of `target`."""
        super().__init__()
        self.linear = Pointwise(source.latent_channels, target.latent_channels)
        self.enter = Pointwise(source.latent_channels, config.width)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, config.width))
        self.blocks = nn.Sequential(*[DepthwiseBlock(config.width, expansion=1) for _ in range(config.blocks)])
        self.leave = Pointwise(config.width, target.latent_channels, gain=0)

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor, target_deviation: Tensor) -> Tensor:
        """y_hat (B, N, H, W) of the high picture -> (B, M, H, W) in the units of the medium latent."""
        h = enter(self, y_hat, quality=quality, deviation=deviation)
        with torch.autocast(y_hat.device.type, enabled=False):
            linear: Tensor = self.linear(y_hat.float())
        detail: Tensor = self.leave(self.blocks(h)).float()
        return linear + target_deviation[:, None, None] * detail
