"""The exact path: z_hat -> scale index, in integers held in float32. The only network between bytes and tables.

Number formats: z_hat in -15..15; W1 and W2 int8 with 4 and 7 fractional bits; hidden values in -127..127 (8 bits, so
even a bf16 or TF32 input holds them); bias with 7 fractional bits. Every rescale is floor(x 2^-k + 1/2). All sums stay
below 2^24 and are therefore exact in float32 in any order: one index on every machine, alone or in a batch (cf. Balle
2019, "Integer networks for data compression with latent-variable models").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig
from models.entropy_model import HYPER_LIMIT, SCALE_COUNT
from models.layers import QUALITY_KNOTS, QualityTable, clamp_toward, round_straight

_FIRST_SHIFT = 4
"""Fractional bits of the first layer's weights (int8: -7.9..7.9)."""
_SECOND_SHIFT = 7
"""Fractional bits of the second layer's weights (int8: -0.99..0.99) and of the quality bias."""
_ACTIVATION_LIMIT = 127
_EXACT_LIMIT = 1 << 24
"""Integers below this are exact in float32."""
_PLAIN = 32
"""Hidden channels of the scale path that keep their sign; the others are rectified."""
_RECTIFIED = 64
ENERGY_PER_Z = 8
"""Hidden units per step of an energy hyper-latent, at the start (assumed)."""


class InexactScalePathError(ValueError):
    """The integer bound of the scale path does not hold for these weights."""


class ScaleIndexes(nn.Module):
    """z_hat -> scale index, in integers. Two layers:

    h = clamp(floor((W1 * z_hat) / 2^4 + 1/2)), W1 int8, 3x3, 2x up by shuffle; 32 channels in -127..127, 64 in 0..127;
    index = clamp(floor((W2 h + bias[quality]) / 2^7 + 1/2), 0, 63), W2 int8.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Float weights that are rounded to integers at each use, gradients passing straight through."""
        super().__init__()
        hidden = _PLAIN + _RECTIFIED
        first = torch.empty(4 * hidden, 9 * config.hyper_channels).normal_(std=0.1)
        self.first = nn.Parameter(first)
        self.second = nn.Parameter(torch.empty(config.latent_channels, hidden).normal_(std=0.01))
        self.bias = QualityTable(torch.zeros(QUALITY_KNOTS, config.latent_channels))
        with torch.no_grad():
            self._start(config.energy_groups, config.hyper_channels)

    def _start(self, groups: int, channels: int) -> None:
        """Plain hidden channel g carries energy hyper-latent g, unchanged by its neighbours."""
        self.first[: 4 * _PLAIN] = 0
        for group in range(groups):
            self.first[4 * group : 4 * group + 4] = 0
            # unfold orders its columns (channel, tap); tap 4 is the centre of 3x3
            self.first[4 * group : 4 * group + 4, 9 * group + 4] = ENERGY_PER_Z * 0.99
        self.first[:, 9 * channels :] = 0

    def integers(self) -> ScaleWeights:
        """The weights as they count: integers held in float32."""
        first = clamp_toward(round_straight(self.first * 2**_FIRST_SHIFT), -127, 127)
        second = clamp_toward(round_straight(self.second * 2**_SECOND_SHIFT), -127, 127)
        return ScaleWeights(first, second, round_straight(self.bias.table() * 2**_SECOND_SHIFT))

    @torch.no_grad()
    def thaw(self, weights: ScaleWeights) -> None:
        """Go on training from stored integers; the quality bias is fitted to its knots, at most a rounding away."""
        self.first.copy_(weights.first / 2**_FIRST_SHIFT)
        self.second.copy_(weights.second / 2**_SECOND_SHIFT)
        knots = torch.linalg.lstsq(self.bias.mix, weights.bias / 2**_SECOND_SHIFT).solution
        self.bias.knots.copy_(knots)

    def forward(self, z_hat: Tensor, quality: Tensor) -> Tensor:
        """z_hat (B, C, H, W) integers, quality (B,) -> index (B, N, 2 H, 2 W) integers, both held in float32."""
        return scale_indexes(z_hat, quality, self.integers())


class FrozenScaleIndexes(nn.Module):
    """The same with stored integers, for coding: nothing is rounded or interpolated at load."""

    def __init__(self, weights: ScaleWeights) -> None:
        """Raises `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""
        super().__init__()
        check_exact(weights)
        # Shifted by powers of two and with the half of the rounding added: as exact as the integers themselves.
        self._first = weights.first * 2.0**-_FIRST_SHIFT
        self._second = (weights.second * 2.0**-_SECOND_SHIFT).T.contiguous()
        self._bias = weights.bias * 2.0**-_SECOND_SHIFT + 0.5

    @torch.no_grad()
    def forward(self, z_hat: Tensor, quality: Tensor) -> Tensor:
        """As `ScaleIndexes`, channels_last; on the CPU, so that one kind of arithmetic serves every device.

        The same integers without gradients and in place: 1.2 instead of 1.9 ms a picture (measured, one core).
        """
        height, width = z_hat.shape[2:]
        columns = F.unfold(z_hat.float(), 3, padding=1)
        h = torch.matmul(self._first, columns).add_(0.5).floor_()
        h = F.pixel_shuffle(h.view(len(h), -1, height, width), 2)
        h[:, :_PLAIN].clamp_(-_ACTIVATION_LIMIT, _ACTIVATION_LIMIT)
        h[:, _PLAIN:].clamp_(0, _ACTIVATION_LIMIT)
        cells = h.flatten(2).transpose(1, 2)
        index = torch.matmul(cells, self._second).add_(self._bias[quality][:, None]).floor_()
        index = index.clamp_(0, SCALE_COUNT - 1)
        return index.view(len(index), 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ScaleWeights:
    """W1 (4 hidden, 9 C), W2 (N, hidden) and bias (QUALITIES, N): integers held in float32."""

    first: Tensor
    second: Tensor
    bias: Tensor


def check_exact(weights: ScaleWeights) -> None:
    """Raise `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""
    worst_first = float(weights.first.detach().abs().sum(1).max()) * HYPER_LIMIT
    worst_second = float(weights.second.detach().abs().sum(1).max()) * _ACTIVATION_LIMIT + float(
        weights.bias.detach().abs().max()
    )
    if max(worst_first, worst_second) >= _EXACT_LIMIT:
        message = f"sums of up to {max(worst_first, worst_second):.0f} are not exact in float32"
        raise InexactScalePathError(message)


def scale_indexes(z_hat: Tensor, quality: Tensor, weights: ScaleWeights) -> Tensor:
    """The two layers, as matrix products: a convolution might go by a transform (Winograd, FFT), which is not exact."""
    height, width = z_hat.shape[2:]
    with torch.autocast(z_hat.device.type, enabled=False):
        columns = F.unfold(z_hat.float(), 3, padding=1)
        h = round_straight((weights.first @ columns) * 2.0**-_FIRST_SHIFT)
        h = F.pixel_shuffle(h.view(len(h), -1, height, width), 2)
        plain, rectified = h[:, :_PLAIN], h[:, _PLAIN:]
        h = torch.cat(
            [clamp_toward(plain, -_ACTIVATION_LIMIT, _ACTIVATION_LIMIT), clamp_toward(rectified, 0, _ACTIVATION_LIMIT)],
            dim=1,
        )
        sums = weights.second @ h.flatten(2) + weights.bias[quality][:, :, None]
        index = clamp_toward(round_straight(sums * 2.0**-_SECOND_SHIFT), 0, SCALE_COUNT - 1)
    return index.view(len(index), -1, 2 * height, 2 * width)
