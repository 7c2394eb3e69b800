"""The translators: heads that decode the 172 picture from the latent of the 344 picture, on the 22x22 latent grid.

    y_high --+-- linear: 1x1, or gains and an inverse DCT to half the side ----------+
             +-- linear 1x1 to edges -- four neighbours -- linear 1x1 ---------------+-- shuffle(8) --> x_hat
             +-- compress(y / deviation) 1x1 * quality -- depthwise blocks -- 1x1 ---+

"Edges" are the sums through which a cell affects its four neighbours. A translator is initialised as the least-squares
linear map from a cell and its neighbours to the cell's 8x8 pixels, and is trained on pixels. Two alternatives were
rejected: a pointwise network that maps one autoencoder's latent to the other's stops improving, and predicting the
medium autoencoder's latent well costs more multiplications than pixels (see docs/codec.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig, TranslatorConfig
from models.dct import DctSynthesis
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, enter, four_neighbours


class Translator(nn.Module):
    """The network that maps the latent of the 344 picture to the 172 picture, on the latent grid."""

    def __init__(self, source: AutoencoderConfig, target: AutoencoderConfig, config: TranslatorConfig) -> None:
        """Build a translator of the widths in `config`.

        It reads latents of the autoencoder `source` and makes pictures of the size of the autoencoder `target`.
        """
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
        """Map y_hat (B, N, H, W) of the 344 picture and quality (B,) to x_hat (B, 3, 8 H, 8 W), about 0..1."""
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
