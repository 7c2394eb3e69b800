"""Hyperprior (Balle 2018, arXiv 1802.01436) with integer scale indexes and float means in two checkerboard passes.

    y * gain(quality) --h_a--> z --round, clamp--> z_hat --+--[integers only]--> scale index per symbol --> table
                                                           +--[float]--> mu of the anchors (half of the grid)
                                         y_hat of anchors -+--[float]--> mu of the others (He 2021, arXiv 2103.15306)
    q = round(y gain - mu), coded with the zero-mean table of its index; y_hat = (q + mu) / gain

The scale index chooses the CDF table of a symbol, so encoder and decoder must compute the same index (scale_path.py).
mu may differ in its last bits between machines, because it never chooses a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import QUALITIES, AutoencoderConfig, quality_step
from models.entropy_model import HYPER_LIMIT, LOG_STEP, SCALE_FIRST, HyperLatentModel, SymbolModel
from models.layers import (
    QUALITY_KNOTS,
    DepthwiseBlock,
    Pointwise,
    QualityTable,
    activate_in_place,
    asinh,
    clamp_toward,
    round_straight,
)
from models.means import Checkerboard, Means
from models.rounding import Rounding
from models.scale_path import ENERGY_PER_Z, FrozenScaleIndexes, ScaleIndexes


@dataclass(frozen=True)
class Quantised:
    """The quantised latents of a batch: z_hat (B, C, H/2, W/2), and q, index and y_hat (B, N, H, W).

    z_hat, q and index are integers held in float32.
    """

    z_hat: Tensor
    q: Tensor
    index: Tensor
    y_hat: Tensor


@dataclass(frozen=True)
class RateEstimate:
    """The output in training: y_hat (B, N, H, W) by straight-through rounding, and the bits (B,) of y and of z.

    The bits come from likelihoods with additive uniform noise in place of rounding.
    """

    y_hat: Tensor
    y_bits: Tensor
    z_bits: Tensor


class HyperAnalysis(nn.Module):
    """h_a: the latent times its gain -> z.

    The first `energy_groups` channels of z are initialised as the log2 energy of a group of latent channels in 2x2
    cells, so that the scales follow the picture from the first training step. A network whose output is initially zero
    is added to all channels.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build the network; the energy groups are equal runs of latent channels, which are in order of variance."""
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
        """Map y times its gain (B, N, H, W) to z (B, C, H/2, W/2), before rounding."""
        power = F.avg_pool2d(y * y, 2)
        energy = torch.log2(F.conv2d(power, self.member.clamp_min(0)[:, :, None, None]) + 2.0**-6) - 4
        energy = F.pad(energy, (0, 0, 0, 0, 0, self.extra_channels))
        h = self.block(activate_in_place(self.enter(asinh(y))))
        extra: Tensor = self.leave(activate_in_place(self.descend(F.pixel_unshuffle(h, 2)))).float()
        return energy + extra


class Hyperprior(nn.Module):
    """Everything between y and y_hat: the gains, hyper networks, means and likelihoods of one autoencoder."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build the networks; the initial gain of each quality is 1 / `quality_step`, which is optimal at high rate."""
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
        self.register_buffer("coded", _coded_channels(config), persistent=False)
        self.coded: Tensor

    @torch.no_grad()
    def start(self, deviation: Tensor, neighbour_weight: Tensor, groups: int) -> None:
        """Initialise the scales and means in closed form from the standard deviation (N,) of each latent channel.

        `neighbour_weight` (N,) is the coefficient with which the mean of a cell's four neighbours predicts the cell;
        `groups` is `energy_groups` of the configuration. Raises `TypeError` where the scale path is frozen.
        """
        self.deviation.copy_(deviation)
        self.means.neighbours.copy_(neighbour_weight.repeat(4, 1) / 4)
        if isinstance(self.indexes, FrozenScaleIndexes):
            raise TypeError("cannot initialise a frozen scale path: build new networks instead")
        octave = math.log(2) / LOG_STEP  # number of scale indexes by which the scale doubles
        self.indexes.second.zero_()
        bias = torch.zeros_like(deviation)
        for group, of_group in enumerate(torch.arange(len(deviation)).tensor_split(groups)):
            self.indexes.second[of_group, group] = octave / 2 / (ENERGY_PER_Z * 0.99)
            ratio = deviation[of_group] / deviation[of_group].square().mean().sqrt()
            bias[of_group] = octave * (torch.log2(ratio) + 2) - math.log(SCALE_FIRST) / LOG_STEP
        self.indexes.bias.knots.copy_(bias.repeat(QUALITY_KNOTS, 1))

    def gain(self, quality: Tensor) -> Tensor:
        """Return the gains (B, N, 1, 1) of `quality` (B,): quantisation steps per unit of y in each channel."""
        log_gain: Tensor = self.log_gain(quality)
        return torch.exp(log_gain)[:, :, None, None]

    def forward(self, y: Tensor, quality: Tensor, *, rounding: Rounding | None = None) -> RateEstimate:
        """Quantise y (B, N, H, W) differentiably and estimate its bits at `quality` (B,), in training.

        y_hat uses straight-through rounding, the likelihoods additive uniform noise. Symbols are rounded to the nearest
        integer, or by `rounding`.
        """
        gain = self.gain(quality)
        gained = y * gain
        z = self.analysis(gained)
        z_bits = -torch.log2(self.hyper_latents.mass(clamp_toward(z + _noise(z), -HYPER_LIMIT, HYPER_LIMIT), quality))
        coded = self._quantise(gained, gain, z=z, quality=quality, rounding=rounding)
        residual = gained - coded.mu
        y_bits = -torch.log2(self.symbols.mass(residual + _noise(residual), coded.index))
        y_bits = y_bits * self.coded[quality][:, :, None, None]
        return RateEstimate(coded.y_hat, y_bits.flatten(1).sum(1), z_bits.flatten(1).sum(1))

    def quantise(self, y: Tensor, quality: Tensor, *, rounding: Rounding | None = None) -> Quantised:
        """Quantise y (B, N, H, W) at `quality` (B,), rounding to the nearest integer or by `rounding`."""
        gain = self.gain(quality)
        gained = y * gain
        coded = self._quantise(gained, gain, z=self.analysis(gained), quality=quality, rounding=rounding)
        return Quantised(coded.z_hat, coded.q, coded.index, coded.y_hat)

    def coded_bits(self, coded: Quantised, quality: Tensor) -> Tensor:
        """Return the bits (B,) of y and z together by the smooth likelihoods; symbols of scale index 0 take none."""
        y_bits = -torch.log2(self.symbols.mass(coded.q, coded.index)) * (coded.index >= 1)
        z_bits = -torch.log2(self.hyper_latents.mass(coded.z_hat, quality))
        return y_bits.flatten(1).sum(1) + z_bits.flatten(1).sum(1)

    def _quantise(
        self, gained: Tensor, gain: Tensor, *, z: Tensor, quality: Tensor, rounding: Rounding | None = None
    ) -> _Coded:
        z_hat = clamp_toward(round_straight(z), -HYPER_LIMIT, HYPER_LIMIT)
        h1, index = self.indexes(z_hat, quality)
        index = index * self.coded[quality][:, :, None, None]
        board = Checkerboard.of(gained)

        def symbols(mu: Tensor, places: Tensor) -> Tensor:
            residual, of_cells = board.take(gained, places) - mu, board.take(index, places)
            if rounding is None:
                return round_straight(residual) * (of_cells >= 1)
            steps = gain[:, None, :, 0, 0]
            chosen = rounding(residual, index=of_cells, gain=steps, quality=quality)
            # Straight-through. The float sum equals `chosen`: both terms are multiples of the residual's last bit.
            return (residual + (chosen - residual).detach()) * (of_cells >= 1)

        (q, mu), (q_others, mu_others) = self.two_passes(h1, quality, board, symbols)
        q, mu = board.join(q, q_others), board.join(mu, mu_others)
        return _Coded(z_hat, q, index, mu, (q + mu) / gain)

    def dequantise(self, h1: Tensor, q: Tensor, quality: Tensor) -> Tensor:
        """Return y_hat (B, N, H, W) from h1 (B, C, H, W) and symbols q (B, N, H, W), in two passes, as in decoding."""
        board = Checkerboard.of(q)
        halves = self.two_passes(h1, quality, board, lambda _mu, places: board.take(q, places))
        anchors, others = (symbols + mu for symbols, mu in halves)
        return board.join(anchors, others) / self.gain(quality)

    def two_passes(
        self, h1: Tensor, quality: Tensor, board: Checkerboard, symbols: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return (q, mu) of the anchors and (q, mu) of the other cells, each (B, P, N), in quantisation steps.

        `symbols` returns q for mu (B, P, N) and the row-major indexes (P,) of these cells: it quantises in an encoder
        and looks up in a decoder. mu is zero in the channels that a quality does not code.
        """
        steps = self.gain(quality)[:, None, :, 0, 0]
        units = steps * self.coded[quality][:, None]
        features = self.means.features(h1)
        mu_anchors = self.means.of_anchors(features, self.deviation, board) * units
        q_anchors = symbols(mu_anchors, board.anchors)
        decoded = (q_anchors + mu_anchors) / steps
        mu_others = self.means.of_others(features, decoded, self.deviation, board) * units
        q_others = symbols(mu_others, board.others)
        return (q_anchors, mu_anchors), (q_others, mu_others)


@dataclass(frozen=True)
class _Coded:
    z_hat: Tensor
    q: Tensor
    index: Tensor
    mu: Tensor
    y_hat: Tensor


def _coded_channels(config: AutoencoderConfig) -> Tensor:
    """Return a mask (QUALITIES, N): 1.0 for the channels that a quality codes, 0.0 for the others."""
    counts = torch.tensor([config.coded_channels(quality) for quality in range(QUALITIES)])
    return (torch.arange(config.latent_channels) < counts[:, None]).float()


def _noise(like: Tensor) -> Tensor:
    return torch.rand_like(like) - 0.5
