"""The exact path: the network z_hat -> scale index, in integers held in float32. It alone chooses the CDF tables.

    z_hat -- rise: 3x3 of each channel, 2x up --> h1 -- mix: 1x1 --> h2 -- second: 1x1, quality bias --> index
                                                  +--> float network of the means (means.py)

Number formats: z_hat in -15..15; weights int8, with 4, 7 and 7 fractional bits in the three layers; hidden values in
-127..127 (8 bits, which bf16 and TF32 hold exactly); biases with 7 fractional bits. Every rescale is
floor(x 2^-k + 1/2). All sums stay below 2^24 and are therefore exact in float32 in any order of summation. So every
machine computes the same index, for one picture and in a batch (cf. Balle 2019, "Integer networks for data compression
with latent-variable models").
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig
from models.entropy_model import HYPER_LIMIT, SCALE_COUNT
from models.layers import QUALITY_KNOTS, QualityTable, clamp_toward, round_straight

_RISE_SHIFT = 4
"""Fractional bits of the int8 weights of the first layer, `rise`: they represent -7.9..7.9."""
SHIFT = 7
"""Fractional bits of the int8 weights of `mix` and `second` (they represent -0.99..0.99), and of all biases."""
_LIMIT = 127
_EXACT_LIMIT = 1 << 24
"""Integers of a magnitude below 2^24 are exact in float32."""
PLAIN = 32
"""Number of channels of h2 that keep their sign; the other 64 are rectified (clamped to 0..127)."""
_RECTIFIED = 64
ENERGY_PER_Z = 8
"""Initial gain of `rise`: one step of a hyper-latent raises h1 by this many integer units (assumed)."""


class InexactScalePathError(ValueError):
    """The weights of the scale path are so large that a sum could reach 2^24, where float32 is no longer exact."""


@dataclass(frozen=True)
class ScaleWeights:
    """The scale path's integer weights, held in float32.

    Shapes: rise (4 C, 9), mix (96, C), mix_bias (96,), second (N, 96), bias (QUALITIES, N).
    """

    rise: Tensor
    mix: Tensor
    mix_bias: Tensor
    second: Tensor
    bias: Tensor


INTEGER_PARTS = tuple(field.name for field in fields(ScaleWeights))
"""Names of the scale path's tensors in the weights file: `mix_bias` and `bias` are int32, the others int8."""


class ScaleIndexes(nn.Module):
    """The trainable network from z_hat to the scale index, in integers. It has three layers:

    h1 = clamp(floor((rise * z_hat) / 2^4 + 1/2), -127, 127), four 3x3 filters per channel, pixel-shuffled 2x up;
    h2 = clamp(floor((mix h1 + bias) / 2^7 + 1/2)), 32 channels in -127..127, 64 in 0..127;
    index = clamp(floor((second h2 + bias[quality]) / 2^7 + 1/2), 0, 63).
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build float weights that are rounded to integers at each use, with straight-through gradients.

        `rise` starts as bilinear interpolation of z_hat, and `mix` passes the energy channels on unchanged.
        """
        super().__init__()
        hidden, channels = PLAIN + _RECTIFIED, config.hyper_channels
        self.rise = nn.Parameter(ENERGY_PER_Z * _bilinear().repeat(channels, 1))
        mix = torch.empty(hidden, channels).normal_(std=0.1)
        mix[:PLAIN] = 0
        mix[: config.energy_groups, : config.energy_groups] = 0.99 * torch.eye(config.energy_groups)
        self.mix = nn.Parameter(mix)
        self.mix_bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Parameter(torch.empty(config.latent_channels, hidden).normal_(std=0.01))
        self.bias = QualityTable(torch.zeros(QUALITY_KNOTS, config.latent_channels))

    def integers(self) -> ScaleWeights:
        """Return the weights rounded to the integers that coding uses, held in float32."""

        def of(weight: Tensor, shift: int) -> Tensor:
            return clamp_toward(round_straight(weight * 2**shift), -127, 127)

        return ScaleWeights(
            of(self.rise, _RISE_SHIFT),
            of(self.mix, SHIFT),
            round_straight(self.mix_bias * 2**SHIFT),
            of(self.second, SHIFT),
            round_straight(self.bias.table() * 2**SHIFT),
        )

    @torch.no_grad()
    def thaw(self, weights: ScaleWeights) -> None:
        """Set the float weights from stored integers, to train further.

        The bias (QUALITIES, N) is fitted by least squares to the knots of its `QualityTable`, with an error of at most
        about one rounding step.
        """
        self.rise.copy_(weights.rise / 2**_RISE_SHIFT)
        self.mix.copy_(weights.mix / 2**SHIFT)
        self.mix_bias.copy_(weights.mix_bias / 2**SHIFT)
        self.second.copy_(weights.second / 2**SHIFT)
        self.bias.knots.copy_(torch.linalg.lstsq(self.bias.mix, weights.bias / 2**SHIFT).solution)

    def forward(self, z_hat: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Map z_hat (B, C, H, W), quality (B,) to h1 (B, C, 2 H, 2 W) and index (B, N, 2 H, 2 W), all integers."""
        weights = self.integers()
        h1 = _upsample(z_hat, weights.rise)
        return h1, _indexes(h1, quality, weights)

    def upsample(self, z_hat: Tensor) -> Tensor:
        """Return h1 only: z_hat upsampled to the latent's grid."""
        return _upsample(z_hat, self.integers().rise)


class FrozenScaleIndexes(nn.Module):
    """`ScaleIndexes` with integer weights as the weights file stores them, for encoding and decoding."""

    def __init__(self, weights: ScaleWeights) -> None:
        """Store the weights. Raises `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""
        super().__init__()
        check_exact(weights)
        for part in INTEGER_PARTS:
            self.register_buffer(part, getattr(weights, part), persistent=False)

    @property
    def weights(self) -> ScaleWeights:
        """Return the integer weights, on the device of this module."""
        return ScaleWeights(*(getattr(self, part) for part in INTEGER_PARTS))

    @torch.no_grad()
    def forward(self, z_hat: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return h1 and index as `ScaleIndexes.forward` does; the integers are the same on every device."""
        h1 = self.upsample(z_hat)
        return h1, _indexes(h1, quality, self.weights)

    @torch.no_grad()
    def upsample(self, z_hat: Tensor) -> Tensor:
        """Return h1 only: z_hat upsampled to the latent's grid."""
        return _upsample(z_hat, self.weights.rise)


def check_exact(weights: ScaleWeights) -> None:
    """Raise `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""

    def worst(weight: Tensor, largest: int, bias: Tensor | None = None) -> float:
        offset = 0.0 if bias is None else float(bias.detach().abs().max())
        return float(weight.detach().abs().sum(1).max()) * largest + offset

    found = max(
        worst(weights.rise, HYPER_LIMIT),
        worst(weights.mix, _LIMIT, weights.mix_bias),
        worst(weights.second, _LIMIT, weights.bias),
    )
    if found >= _EXACT_LIMIT:
        raise InexactScalePathError(
            f"the scale path's weights allow sums of up to {found:.0f}, which are not exact in float32: they must stay "
            f"below {_EXACT_LIMIT}"
        )


def _upsample(z_hat: Tensor, rise: Tensor) -> Tensor:
    """Upsample z_hat (B, C, H, W) to h1 (B, C, 2 H, 2 W), each channel by its own four 3x3 filters.

    It adds shifted copies instead of calling a convolution, which may use Winograd or FFT and is then inexact.
    """
    height, width = z_hat.shape[2:]
    padded = F.pad(z_hat.float(), (1, 1, 1, 1))
    taps = rise.view(1, -1, 4, 9, 1, 1)
    sums = [
        taps[:, :, :, 3 * dy + dx] * padded[:, :, None, dy : dy + height, dx : dx + width]
        for dy in range(3)
        for dx in range(3)
    ]
    total = torch.stack(sums).sum(0).flatten(1, 2)
    h1: Tensor = clamp_toward(round_straight(total * 2.0**-_RISE_SHIFT), -_LIMIT, _LIMIT)
    return F.pixel_shuffle(h1, 2)


def _indexes(h1: Tensor, quality: Tensor, weights: ScaleWeights) -> Tensor:
    with torch.autocast(h1.device.type, enabled=False):
        sums = weights.mix @ h1.flatten(2) + weights.mix_bias[:, None]
        h2 = round_straight(sums * 2.0**-SHIFT)
        plain, rectified = h2[:, :PLAIN], h2[:, PLAIN:]
        h2 = torch.cat([clamp_toward(plain, -_LIMIT, _LIMIT), clamp_toward(rectified, 0, _LIMIT)], dim=1)
        sums = weights.second @ h2 + weights.bias[quality][:, :, None]
        index = clamp_toward(round_straight(sums * 2.0**-SHIFT), 0, SCALE_COUNT - 1)
    return index.view(len(index), -1, *h1.shape[2:])


def _bilinear() -> Tensor:
    """Return the 3x3 filters (4, 9) of bilinear 2x upsampling, one per output phase in `F.pixel_shuffle`'s order."""
    near, far = 0.75, 0.25
    rows = torch.tensor([[far, near, 0.0], [0.0, near, far]])
    return torch.einsum("ay,bx->abyx", rows, rows).reshape(4, 9)
