"""Analysis transform g_a: picture -> latent. It may be slow, because it runs once per encoded picture, not on hits.

           +-- unshuffle(stride) -- linear ---------------------------------------+
    x -----|                                                                      +--> y
           +-- unshuffle(stride/2) -- 1x1 -- blocks -- unshuffle(2) -- 1x1 -- blocks -- 1x1 (from 0) * deviation

"unshuffle" is `F.pixel_unshuffle`, "(from 0)" means initial weights of zero. The linear path is initialised as the
Karhunen-Loeve transform or the DCT of the picture's blocks, so that the untrained codec is a working transform codec.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig, EncoderConfig
from models.layers import DepthwiseBlock, Pointwise, activate_in_place


class Analysis(nn.Module):
    """g_a of one autoencoder. An autoencoder may have several, here a wide and a light one, with one hyperprior."""

    def __init__(self, config: AutoencoderConfig, encoder: EncoderConfig) -> None:
        """Build networks of the widths in `encoder`; call `start_linear` to initialise the linear path."""
        super().__init__()
        wide, deep, half = encoder.wide, encoder.deep, config.stride_px // 2
        self.stride_px = config.stride_px
        self.linear = Pointwise(config.patch_values, config.latent_channels)
        self.enter = Pointwise(3 * half * half, wide)
        self.wide = nn.Sequential(*[DepthwiseBlock(wide) for _ in range(encoder.wide_blocks)])
        self.descend = Pointwise(4 * wide, deep)
        self.deep = nn.Sequential(*[DepthwiseBlock(deep) for _ in range(encoder.deep_blocks)])
        self.leave = Pointwise(deep, config.latent_channels, gain=0)

    def forward(self, x: Tensor, deviation: Tensor) -> Tensor:
        """Map x (B, 3, S, S) in 0..1 to y (B, N, H, W); deviation (N,) is the standard deviation of each channel."""
        x = x - 0.5
        with torch.autocast(x.device.type, enabled=False):  # A linear path in bf16 costs 0.1 dB at high quality.
            linear: Tensor = self.linear(F.pixel_unshuffle(x, self.stride_px))
        h = self.wide(activate_in_place(self.enter(F.pixel_unshuffle(4 * x, self.stride_px // 2))))
        h = self.deep(activate_in_place(self.descend(F.pixel_unshuffle(h, 2))))
        detail: Tensor = self.leave(h).float()
        return linear + deviation[:, None, None] * detail

    @torch.no_grad()
    def start_linear(self, basis: Tensor, mean: Tensor) -> None:
        """Initialise the linear path to y = basis (x - mean).

        basis is (N, 3 stride^2) and mean (3 stride^2,), the mean block of pixels in 0..1.
        """
        self.linear.weight.copy_(basis)
        self.linear.bias.copy_(-(basis @ (mean - 0.5)))
