"""Synthesis transforms g_s, called heads: latent -> picture. They must be fast, because one runs on every decoded hit.

    y_hat --+-- linear: a 1x1 map and shuffle(stride), or gains and an inverse DCT ------+--> x_hat
            +-- compress(y_hat / deviation) -- 1x1 * quality -- blocks -- 1x1 (from 0) -- shuffle -+

"shuffle" is `F.pixel_shuffle`, "(from 0)" means initial weights of zero. `HighHead` has blocks on the latent grid and
on a grid of twice its side (44x44). `MediumHead` has blocks on the latent grid only, which is cheaper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig, HighHeadConfig, MediumHeadConfig
from models.dct import DctSynthesis
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, activate, enter, pixel_shuffle


class LinearSynthesis(nn.Module):
    """The linear path y_hat -> picture by a full matrix: a 1x1 map and a pixel shuffle."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build the map from the latent channels of a cell to the colour values of its block of pixels."""
        super().__init__()
        self.stride_px = config.stride_px
        self.block = Pointwise(config.latent_channels, config.patch_values)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) to a picture (B, 3, H stride, W stride), in float32 even under autocast."""
        with torch.autocast(y_hat.device.type, enabled=False):
            x_hat: Tensor = F.pixel_shuffle(self.block(y_hat.float()), self.stride_px)
        return x_hat

    @torch.no_grad()
    def start(self, basis: Tensor, mean: Tensor) -> None:
        """Initialise the path to x = basis y + mean.

        basis (3 stride^2, N) is the inverse of the basis in `Analysis.start_linear`, mean (3 stride^2,) the mean block.
        """
        self.block.weight.copy_(basis)
        self.block.bias.copy_(mean)


class HighHead(nn.Module):
    """A head (g_s) of the 344 picture."""

    def __init__(self, config: AutoencoderConfig, head: HighHeadConfig) -> None:
        """Build networks of the widths in `head`."""
        super().__init__()
        self.linear: LinearSynthesis | DctSynthesis = (
            DctSynthesis(config.latent_channels, config.stride_px) if head.linear == "dct" else LinearSynthesis(config)
        )
        self.enter = Pointwise(head.reads, head.deep)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, head.deep))
        self.deep = nn.Sequential(*[DepthwiseBlock(head.deep) for _ in range(head.deep_blocks)])
        self.ascend = Pointwise(head.deep, 4 * head.wide)
        self.wide = nn.Sequential(*[DepthwiseBlock(head.wide) for _ in range(head.wide_blocks)])
        self.leave = Pointwise(head.wide, 3 * (config.stride_px // 2) ** 2, gain=0)

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) and quality (B,) to x_hat (B, 3, 16 H, 16 W), about 0..1; deviation is (N,)."""
        h = enter(self, y_hat, quality=quality, deviation=deviation)
        h = self.wide(pixel_shuffle(activate(self.ascend(self.deep(h))), 2))
        detail = F.pixel_shuffle(self.leave(h), self.linear.stride_px // 2)
        linear: Tensor = self.linear(y_hat)
        return linear + detail.float()


class MediumHead(nn.Module):
    """The head (g_s) of the medium autoencoder, for its 172 picture."""

    def __init__(self, config: AutoencoderConfig, head: MediumHeadConfig) -> None:
        """Build networks of the widths in `head`."""
        super().__init__()
        self.linear = LinearSynthesis(config)
        self.enter = Pointwise(config.latent_channels, head.width)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, head.width))
        self.blocks = nn.Sequential(*[DepthwiseBlock(head.width) for _ in range(head.blocks)])
        self.leave = Pointwise(head.width, config.patch_values, gain=0)

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) and quality (B,) to x_hat (B, 3, 8 H, 8 W), about 0..1; deviation is (N,)."""
        h = enter(self, y_hat, quality=quality, deviation=deviation)
        detail = F.pixel_shuffle(self.leave(self.blocks(h)), self.linear.stride_px)
        linear: Tensor = self.linear(y_hat)
        return linear + detail.float()
