"""The float means mu, in two checkerboard passes (He 2021, arXiv 2103.15306). They never choose a table.

z_hat -- 3x3, 2x up --+-- 1x1 ------------------------------------------------> mu of the anchors
                      +----------------+
y_hat of anchors --+-- asinh, 1x1 -----+-- depthwise 3x3, 1x1, 1x1 --+--------> mu of the others
                   +-- depthwise 3x3 (starts as the mean of four) ---+
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig
from models.layers import Pointwise, activate, compress

_HYPER_FEATURES = 64


class Means(nn.Module):
    """mu of the anchors from z_hat, mu of the others from z_hat and the decoded anchors; in float32 everywhere."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Both start at zero but for the linear prediction from the four neighbours."""
        super().__init__()
        channels, features = config.latent_channels, _HYPER_FEATURES
        self.rise = nn.Conv2d(config.hyper_channels, 4 * features, 3, padding=1)
        self.anchor = Pointwise(features, channels, gain=0)
        self.neighbours = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.enter = Pointwise(channels, features)
        self.spatial = nn.Conv2d(2 * features, 2 * features, 3, padding=1, groups=2 * features)
        self.mix = Pointwise(2 * features, config.context_channels)
        self.leave = Pointwise(config.context_channels, channels, gain=0)
        nn.init.zeros_(self.neighbours.weight)

    def features(self, z_hat: Tensor) -> Tensor:
        """Hyper features (B, F, H, W) from z_hat (B, C, H/2, W/2)."""
        return activate(F.pixel_shuffle(self.rise(z_hat / 4), 2))

    def of_anchors(self, features: Tensor, deviation: Tensor) -> Tensor:
        """Means for all places from the hyper features alone, in latent units."""
        mu: Tensor = self.anchor(features) * deviation[:, None, None]
        return mu

    def of_others(self, features: Tensor, anchors: Tensor, deviation: Tensor) -> Tensor:
        """Means for the places between, from decoded anchors (B, N, H, W) that are zero elsewhere."""
        h = torch.cat([activate(self.enter(compress(anchors, deviation))), features], dim=1)
        h = activate(self.mix(self.spatial(h)))
        mu: Tensor = self.neighbours(anchors) + self.leave(h) * deviation[:, None, None]
        return mu
