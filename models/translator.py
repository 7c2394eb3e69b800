"""The translators: latent of the high picture -> medium picture, all of it on the 22x22 grid until the last shuffle.

    y_high --+-- linear: 1x1, or gains and an inverse DCT to half the side ----------+
             +-- linear 1x1 to edges -- four neighbours -- linear 1x1 ---------------+-- shuffle(8) --> x_hat
             +-- compress(y / deviation) 1x1 * quality -- depthwise blocks -- 1x1 ---+

A translator starts as a least-squares linear map of a cell and its neighbours, and is trained on pixels. A pointwise
map trained on the error between two latents stops improving, and going through the medium autoencoder's latent costs
more multiplications (see docs/codec.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig, TranslatorConfig
from models.dct import DctSynthesis
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, enter, four_neighbours


class Translator(nn.Module):
    """Maps the high latent to the medium picture on one grid."""

    def __init__(self, source: AutoencoderConfig, target: AutoencoderConfig, config: TranslatorConfig) -> None:
        """Build a translator from the latent of `source` to pictures of the size of `target`."""
        super().__init__()
        self.stride_px = target.stride_px
        self.linear: Pointwise | DctSynthesis = (
            DctSynthesis(source.latent_channels, target.stride_px)
            if config.linear == "dct"
            else Pointwise(source.latent_channels, target.patch_values)
        )
        self.linear_edges = Pointwise(source.latent_channels, config.edges)
        self.linear_across = Pointwise(4 * config.edges, target.patch_values)
        self.enter = Pointwise(source.latent_channels, config.width)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, config.width))
        self.blocks = nn.Sequential(*[DepthwiseBlock(config.width) for _ in range(config.blocks)])
        self.leave = Pointwise(config.width, target.patch_values, gain=0)

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) of the high picture, quality (B,) to x_hat (B, 3, 8 H, 8 W), about 0..1."""
        h = enter(self, y_hat, quality=quality, deviation=deviation)
        detail: Tensor = self.leave(self.blocks(h)).float()
        with torch.autocast(y_hat.device.type, enabled=False):
            y_hat = y_hat.float()
            detail = detail + self._across(y_hat)
            linear: Tensor = self.linear(y_hat)
        if isinstance(self.linear, DctSynthesis):
            return linear + F.pixel_shuffle(detail, self.stride_px)
        return F.pixel_shuffle(linear + detail, self.stride_px)

    def _across(self, y_hat: Tensor) -> Tensor:
        edges = self.linear_edges(y_hat)
        shares: Tensor = self.linear_across(torch.cat(four_neighbours(edges), dim=1))
        return shares
