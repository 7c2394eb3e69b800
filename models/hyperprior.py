"""Hyperprior (Balle 2018, arXiv 1802.01436) with an exact integer scale path and float means in two checkerboard passes.

    y * gain(quality) --h_a--> z --round, clamp--> z_hat --+--[integers only]--> scale index per symbol --> table
                                                           +--[float]--> mu of the anchors (half of the grid)
                                         y_hat of anchors -+--[float]--> mu of the others (He 2021, arXiv 2103.15306)
    q = round(y gain - mu), coded with the zero-mean table of its index; y_hat = (q + mu) / gain

Only the scale index decides which table the coder uses, so only it has to be the same on every machine: `ScaleIndexes`
computes it in integers held in float32, every sum below 2^24 and therefore exact in any order (cf. Balle 2019, "Integer
networks for data compression with latent-variable models"). mu may differ in the last bits; it never selects a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import QUALITIES, AutoencoderConfig, quality_step
from models.entropy_model import HYPER_LIMIT, LOG_STEP, SCALE_COUNT, SCALE_FIRST, HyperLatentModel, SymbolModel
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, activate, compress, round_straight

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
_HYPER_FEATURES = 64
_ENERGY_PER_Z = 8
"""Hidden units per step of an energy hyper-latent, at the start (assumed)."""


class InexactScalePathError(ValueError):
    """The integer bound of the scale path does not hold for these weights."""


@dataclass(frozen=True)
class Quantised:
    """What is coded of one batch: z_hat (B, C, H/2, W/2), q and scale index (B, N, H, W); all integers held in float32."""

    z_hat: Tensor
    q: Tensor
    index: Tensor
    y_hat: Tensor


@dataclass(frozen=True)
class RateEstimate:
    """Training output: y_hat (B, N, H, W) through straight-through rounding; bits (B,) from the noisy likelihoods."""

    y_hat: Tensor
    y_bits: Tensor
    z_bits: Tensor


class _Toward(torch.autograd.Function):
    """Clamp whose gradient passes where the value is inside, or where the step would bring it back inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        (grad,) = grads
        blocked = ((x < ctx.low) & (grad > 0)) | ((x > ctx.high) & (grad < 0))
        return grad.masked_fill(blocked, 0.0), None, None


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    out: Tensor = _Toward.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch leaves Function.apply untyped
    return out


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
            self.first[4 * group : 4 * group + 4, 9 * group + 4] = _ENERGY_PER_Z * 0.99
        self.first[:, 9 * channels :] = 0

    def integers(self) -> ScaleWeights:
        """The weights as they count: integers held in float32."""
        first = _clamp(round_straight(self.first * 2**_FIRST_SHIFT), -127, 127)
        second = _clamp(round_straight(self.second * 2**_SECOND_SHIFT), -127, 127)
        return ScaleWeights(first, second, round_straight(self.bias.table() * 2**_SECOND_SHIFT))

    def forward(self, z_hat: Tensor, quality: Tensor) -> Tensor:
        """z_hat (B, C, H, W) integers, quality (B,) -> index (B, N, 2 H, 2 W) integers, both held in float32."""
        return scale_indexes(z_hat, quality, self.integers())


class FrozenScaleIndexes(nn.Module):
    """The same with stored integers, for coding: nothing is rounded or interpolated at load."""

    def __init__(self, weights: ScaleWeights) -> None:
        """Raises `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""
        super().__init__()
        check_exact(weights)
        self._weights = weights

    def forward(self, z_hat: Tensor, quality: Tensor) -> Tensor:
        """As `ScaleIndexes`; on the CPU, so that one kind of arithmetic serves every device."""
        return scale_indexes(z_hat, quality, self._weights)


@dataclass(frozen=True)
class ScaleWeights:
    """W1 (4 hidden, 9 C), W2 (N, hidden) and bias (QUALITIES, N): integers held in float32."""

    first: Tensor
    second: Tensor
    bias: Tensor


def check_exact(weights: ScaleWeights) -> None:
    """Raise `InexactScalePathError` unless every sum stays below 2^24 for any z_hat."""
    worst_first = float(weights.first.abs().sum(1).max()) * HYPER_LIMIT
    worst_second = float(weights.second.abs().sum(1).max()) * _ACTIVATION_LIMIT + float(weights.bias.abs().max())
    if max(worst_first, worst_second) >= _EXACT_LIMIT:
        message = f"sums of up to {max(worst_first, worst_second):.0f} are not exact in float32"
        raise InexactScalePathError(message)


def scale_indexes(z_hat: Tensor, quality: Tensor, weights: ScaleWeights) -> Tensor:
    """The two layers. Matrix products only: a convolution might be computed by a transform (Winograd, FFT), which is not exact."""
    height, width = z_hat.shape[2:]
    with torch.autocast(z_hat.device.type, enabled=False):
        columns = F.unfold(z_hat.float(), 3, padding=1)
        h = round_straight((weights.first @ columns) * 2.0**-_FIRST_SHIFT)
        plain, rectified = F.pixel_shuffle(h.view(len(h), -1, height, width), 2).split([_PLAIN, _RECTIFIED], dim=1)
        h = torch.cat(
            [_clamp(plain, -_ACTIVATION_LIMIT, _ACTIVATION_LIMIT), _clamp(rectified, 0, _ACTIVATION_LIMIT)], dim=1
        )
        sums = weights.second @ h.flatten(2) + weights.bias[quality][:, :, None]
        index = _clamp(round_straight(sums * 2.0**-_SECOND_SHIFT), 0, SCALE_COUNT - 1)
    return index.view(len(index), -1, 2 * height, 2 * width)


class HyperAnalysis(nn.Module):
    """h_a: gained latent -> z. The first channels start as log2 energies of 2x2 cells in groups of channels, so that the
    scales follow the picture from the first step; a network that starts at zero is added to all channels.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Groups of equal width in order of variance."""
        super().__init__()
        groups, channels = config.energy_groups, config.latent_channels
        member = torch.zeros(groups, channels)
        for group, of_group in enumerate(torch.arange(channels).tensor_split(groups)):
            member[group, of_group] = 1 / len(of_group)
        self.member = nn.Parameter(member)
        self.extra_channels = config.hyper_channels - groups
        self.enter = Pointwise(channels, 96)
        self.block = DepthwiseBlock(96)
        self.descend = Pointwise(4 * 96, 128)
        self.leave = Pointwise(128, config.hyper_channels, gain=0)

    def forward(self, y: Tensor) -> Tensor:
        """Gained latent (B, N, H, W) -> z (B, C, H/2, W/2), real-valued."""
        power = F.avg_pool2d(y * y, 2)
        energy = torch.log2(F.conv2d(power, self.member.clamp_min(0)[:, :, None, None]) + 2.0**-6) - 4
        energy = F.pad(energy, (0, 0, 0, 0, 0, self.extra_channels))
        h = self.block(activate(self.enter(torch.asinh(y))))
        return energy + self.leave(activate(self.descend(F.pixel_unshuffle(h, 2)))).float()


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
        return self.anchor(features) * deviation[:, None, None]

    def of_others(self, features: Tensor, anchors: Tensor, deviation: Tensor) -> Tensor:
        """Means for the places between, from decoded anchors (B, N, H, W) that are zero elsewhere."""
        h = torch.cat([activate(self.enter(compress(anchors, deviation))), features], dim=1)
        h = activate(self.mix(self.spatial(h)))
        return self.neighbours(anchors) + self.leave(h) * deviation[:, None, None]


class Hyperprior(nn.Module):
    """Everything between y and y_hat: gains, hyper networks, means and likelihoods of one autoencoder."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Gains start at the uniform step that is optimal at high rate."""
        super().__init__()
        steps = [quality_step((QUALITIES - 1) * knot / (QUALITY_KNOTS - 1)) for knot in range(QUALITY_KNOTS)]
        log_gain = -torch.tensor([math.log(step) for step in steps])
        self.log_gain = QualityTable(log_gain[:, None].repeat(1, config.latent_channels))
        self.analysis = HyperAnalysis(config)
        self.indexes: ScaleIndexes | FrozenScaleIndexes = ScaleIndexes(config)
        self.means = Means(config)
        self.symbols = SymbolModel()
        self.hyper_latents = HyperLatentModel(config.hyper_channels)
        self.register_buffer("deviation", torch.ones(config.latent_channels))
        self.deviation: Tensor

    @torch.no_grad()
    def start(self, deviation: Tensor, neighbour_weight: Tensor, groups: int) -> None:
        """Closed-form start: deviation (N,) of each channel, weight (N,) of the mean of the four neighbours."""
        self.deviation.copy_(deviation)
        cross = torch.tensor([[0.0, 0.25, 0.0], [0.25, 0.0, 0.25], [0.0, 0.25, 0.0]])
        self.means.neighbours.weight.copy_(neighbour_weight[:, None, None, None] * cross)
        if isinstance(self.indexes, FrozenScaleIndexes):
            raise TypeError("a frozen scale path cannot start afresh")
        octave = math.log(2) / LOG_STEP  # scale indexes per doubling of the scale
        self.indexes.second.zero_()
        bias = torch.zeros_like(deviation)
        for group, of_group in enumerate(torch.arange(len(deviation)).tensor_split(groups)):
            self.indexes.second[of_group, group] = octave / 2 / (_ENERGY_PER_Z * 0.99)
            ratio = deviation[of_group] / deviation[of_group].square().mean().sqrt()
            bias[of_group] = octave * (torch.log2(ratio) + 2) - math.log(SCALE_FIRST) / LOG_STEP
        self.indexes.bias.knots.copy_(bias.repeat(QUALITY_KNOTS, 1))

    def gain(self, quality: Tensor) -> Tensor:
        """Gains (B, N, 1, 1): symbols per unit of the latent."""
        return torch.exp(self.log_gain(quality))[:, :, None, None]

    def forward(self, y: Tensor, quality: Tensor) -> RateEstimate:
        """Training pass: rounding straight-through into y_hat, uniform noise for the rate (mixed quantisation)."""
        gain = self.gain(quality)
        gained = y * gain
        z = self.analysis(gained)
        z_bits = -torch.log2(self.hyper_latents.mass(_clamp(z + _noise(z), -HYPER_LIMIT, HYPER_LIMIT), quality))
        coded = self._quantise(gained, gain, z=z, quality=quality)
        residual = gained - coded.mu
        y_bits = -torch.log2(self.symbols.mass(residual + _noise(residual), coded.index))
        return RateEstimate(coded.y_hat, y_bits.flatten(1).sum(1), z_bits.flatten(1).sum(1))

    def quantise(self, y: Tensor, quality: Tensor, *, dead_zone: float = 0.0) -> Quantised:
        """y (B, N, H, W) -> what is coded. `dead_zone` (symbol steps) widens the interval that rounds to zero."""
        gain = self.gain(quality)
        gained = y * gain
        coded = self._quantise(gained, gain, z=self.analysis(gained), quality=quality, dead_zone=dead_zone)
        return Quantised(coded.z_hat, coded.q, coded.index, coded.y_hat)

    def coded_bits(self, coded: Quantised, quality: Tensor) -> Tensor:
        """Bits (B,) that coding takes by the smooth likelihoods: integers, skipped symbols free."""
        y_bits = -torch.log2(self.symbols.mass(coded.q, coded.index)) * (coded.index >= 1)
        z_bits = -torch.log2(self.hyper_latents.mass(coded.z_hat, quality))
        return y_bits.flatten(1).sum(1) + z_bits.flatten(1).sum(1)

    def _quantise(self, gained: Tensor, gain: Tensor, *, z: Tensor, quality: Tensor, dead_zone: float = 0.0) -> _Coded:
        z_hat = _clamp(round_straight(z), -HYPER_LIMIT, HYPER_LIMIT)
        index = self.indexes(z_hat, quality)
        coded = index >= 1
        anchor_place = checkerboard(gained)
        features = self.means.features(z_hat)
        mu_anchor = self.means.of_anchors(features, self.deviation) * gain
        q_anchor = _round_symbols(gained - mu_anchor, dead_zone) * coded * anchor_place
        anchors = (q_anchor + mu_anchor) / gain * anchor_place
        mu_other = self.means.of_others(features, anchors, self.deviation) * gain
        mu = torch.where(anchor_place, mu_anchor, mu_other)
        q = torch.where(anchor_place, q_anchor, _round_symbols(gained - mu, dead_zone) * coded)
        return _Coded(z_hat, q, index, mu, (q + mu) / gain)

    def dequantise(self, z_hat: Tensor, q: Tensor, quality: Tensor) -> Tensor:
        """Symbols -> y_hat (B, N, H, W): the decoder's side, two passes of means."""
        gain = self.gain(quality)
        anchor_place = checkerboard(q)
        features = self.means.features(z_hat)
        mu_anchor = self.means.of_anchors(features, self.deviation) * gain
        anchors = (q + mu_anchor) / gain * anchor_place
        mu_other = self.means.of_others(features, anchors, self.deviation) * gain
        return torch.where(anchor_place, anchors, (q + mu_other) / gain)


@dataclass(frozen=True)
class _Coded:
    z_hat: Tensor
    q: Tensor
    index: Tensor
    mu: Tensor
    y_hat: Tensor


def checkerboard(like: Tensor) -> Tensor:
    """Places of the anchors, (1, 1, H, W) bool: row + column even."""
    height, width = like.shape[-2:]
    rows = torch.arange(height, device=like.device)[:, None] + torch.arange(width, device=like.device)
    return (rows % 2 == 0)[None, None]


def _round_symbols(x: Tensor, dead_zone: float) -> Tensor:
    if not dead_zone:
        return round_straight(x)
    return torch.sign(x) * torch.floor((x.abs() + 0.5 - dead_zone).clamp_min(0))


def _noise(like: Tensor) -> Tensor:
    return torch.rand_like(like) - 0.5
