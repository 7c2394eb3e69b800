"""Sizes and widths of the networks, and the released architecture. Standard library only, no behaviour.

Letters used throughout `models`: x picture, y latent, z hyper-latent, `_hat` decoded, q quantised residual (a symbol),
B batch, N latent channels, H W grid height and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

HIGH_PX = 344
"""Side of the picture that is encoded, and of the `high` rendition."""
MEDIUM_PX = 172
"""Side of the `medium` rendition."""
QUALITIES = 64
"""Rate points of one model, 0 (smallest) to 63 (best)."""
GRID = 22
"""Side of the latent grid of both autoencoders: 344 padded to 352 at stride 16, 172 padded to 176 at stride 8."""

_LEAST_SHARE = 0.25
"""Share of the latent channels that the lowest qualities code."""
_CHANNEL_STEP = 32
"""The number of coded channels is a multiple of this: whole vector registers, and few shapes of matrix products."""

LAMBDA_FIRST = 0.0008
"""Rate-distortion weight of quality 0, for bits per pixel + lambda * 255^2 * MSE (assumed; about 0.15 bpp)."""
LAMBDA_LAST = 0.4
"""The same for quality 63 (derived: uniform step 8/255, see `quality_step`; about 40 dB)."""


LinearPath = Literal["matrix", "dct"]
"""How the linear path of a head maps a latent to pixels: by a full matrix, or by gains and a separable inverse DCT."""
_LARGEST = 1 << 13
"""Upper limit of every width, count and side: a damaged file must not request absurd amounts of memory."""


class _Widths:
    """A group of widths and counts, each in 0..8192."""

    def __post_init__(self) -> None:
        """Raise `ValueError` where a number is out of range."""
        for name, value in vars(self).items():
            if isinstance(value, int) and not 0 <= value <= _LARGEST:
                raise ValueError(f"{name} is {value}, expected 0..{_LARGEST}")


@dataclass(frozen=True)
class EncoderConfig(_Widths):
    """Widths of one analysis."""

    wide: int
    """Channels at twice the side of the latent grid."""
    wide_blocks: int
    deep: int
    """Channels on the latent grid."""
    deep_blocks: int


@dataclass(frozen=True)
class AutoencoderConfig(_Widths):
    """Widths of one autoencoder and its entropy model."""

    size_px: int
    stride_px: int
    latent_channels: int
    basis: Literal["klt", "dct"]
    """How the latent starts: as principal components of blocks, or as the DCT coefficients of largest variance."""
    hyper_channels: int
    energy_groups: int
    """Hyper-latent channels that start as the log energy of a group of latent channels."""
    encoder: EncoderConfig
    feature_channels: int
    """Channels of the features from which the means are computed."""
    context_reads: int
    """Latent channels of the decoded anchors, the first ones, from which the means of the other cells are computed."""
    context_channels: int
    """Channels of the means between the anchors, before the last layer."""

    @property
    def padded_px(self) -> int:
        """Return the side of the picture after padding to whole latent cells."""
        return -(-self.size_px // self.stride_px) * self.stride_px

    @property
    def patch_values(self) -> int:
        """Return the values in the block of one latent cell: a complete linear transform has as many coefficients."""
        return 3 * self.stride_px**2

    def coded_channels(self, quality: int) -> int:
        """Return how many latent channels a quality codes: the first ones, in order of variance; others are zero.

        Every step between bytes and pixels gets cheaper in proportion. Without this rule about 4 in 100 nonzero symbols
        of a model lay in the other channels (measured at all qualities); training moves them to channels that are
        coded.
        """
        share = min(1.0, max(_LEAST_SHARE, 0.5 + (quality - 23) / 72))
        return min(self.latent_channels, math.ceil(share * self.latent_channels / _CHANNEL_STEP) * _CHANNEL_STEP)


@dataclass(frozen=True)
class HighHeadConfig(_Widths):
    """Widths of a synthesis of the high picture."""

    linear: LinearPath
    reads: int
    """Latent channels, the first ones, that the network reads; the linear path reads them all."""
    deep: int
    """Channels on the latent grid."""
    deep_blocks: int
    wide: int
    """Channels at twice the latent grid."""
    wide_blocks: int


@dataclass(frozen=True)
class MediumHeadConfig(_Widths):
    """Widths of the synthesis of the medium picture, which stays on the latent grid."""

    width: int
    blocks: int


@dataclass(frozen=True)
class TranslatorConfig(_Widths):
    """Widths of a translator from the high latent to the medium picture."""

    linear: LinearPath
    edges: int
    """Linear features that a cell shows its four neighbours, because LANCZOS reaches across cells (measured, best
    linear map at qualities 38 and 63: pointwise 38.4 and 44.9 dB, 16 shared features 38.6 and 46.0, 32 38.8 and
    46.8, 48 38.8 and 47.0)."""
    width: int
    blocks: int


@dataclass(frozen=True)
class Architecture:
    """All networks of one weights file."""

    high: AutoencoderConfig
    medium: AutoencoderConfig
    high_gpu: HighHeadConfig
    """Head `high-gpu`: the better 344 picture."""
    high_cpu: HighHeadConfig
    """Head `high-cpu`: the cheaper one."""
    medium_head: MediumHeadConfig
    """Head of the medium autoencoder."""
    medium_cpu: TranslatorConfig
    """The translator: the head of the 172 picture on a CPU."""
    medium_gpu: TranslatorConfig | None
    """Head `medium-gpu`: a better 172 picture. Without it the translator serves everywhere."""
    light_encoder: EncoderConfig | None
    """A cheaper analysis that writes the same streams. Without it there is one analysis."""

    def __post_init__(self) -> None:
        """Raise `ValueError` where a head inverts a DCT but the latent does not start as one."""
        paths = {self.high_gpu.linear, self.high_cpu.linear, self.medium_cpu.linear}
        if self.medium_gpu is not None:
            paths.add(self.medium_gpu.linear)
        if "dct" in paths and self.high.basis != "dct":
            raise ValueError("a head with a DCT path needs a latent that starts as a DCT")


RELEASED = Architecture(
    high=AutoencoderConfig(
        size_px=HIGH_PX,
        stride_px=16,
        latent_channels=384,
        basis="dct",
        hyper_channels=64,
        energy_groups=32,
        # 6.7 GMAC
        encoder=EncoderConfig(wide=256, wide_blocks=6, deep=512, deep_blocks=6),
        feature_channels=96,
        context_reads=96,
        context_channels=128,
    ),
    medium=AutoencoderConfig(
        size_px=MEDIUM_PX,
        stride_px=8,
        latent_channels=192,
        basis="klt",
        hyper_channels=48,
        energy_groups=24,
        encoder=EncoderConfig(wide=64, wide_blocks=2, deep=160, deep_blocks=3),
        feature_channels=64,
        context_reads=192,
        context_channels=96,
    ),
    # 6.8 GMAC: a GPU serves it
    high_gpu=HighHeadConfig(linear="matrix", reads=384, deep=384, deep_blocks=4, wide=256, wide_blocks=10),
    high_cpu=HighHeadConfig(linear="dct", reads=256, deep=96, deep_blocks=1, wide=40, wide_blocks=2),
    medium_head=MediumHeadConfig(width=56, blocks=2),
    # at most 0.2 GMAC a picture with means and exact path
    medium_cpu=TranslatorConfig(linear="dct", edges=20, width=112, blocks=4),
    # 0.8 GMAC
    medium_gpu=TranslatorConfig(linear="dct", edges=48, width=256, blocks=5),
    light_encoder=EncoderConfig(wide=160, wide_blocks=5, deep=320, deep_blocks=6),
)
"""The networks of the released weights."""


def quality_lambda(quality: float) -> float:
    """Return the rate-distortion weight of a quality: log-spaced from `LAMBDA_FIRST` to `LAMBDA_LAST`."""
    ratio = LAMBDA_LAST / LAMBDA_FIRST
    return float(LAMBDA_FIRST * ratio ** (quality / (QUALITIES - 1)))


def quality_step(quality: float) -> float:
    """Return the uniform quantisation step that is optimal at high rate, in pixel units of 0..1.

    From d/dStep of (3 log2(1/Step) bits per pixel + lambda * 255^2 * Step^2 / 12) = 0 with an orthonormal transform.
    """
    return float((18 / (0.6931471805599453 * quality_lambda(quality))) ** 0.5 / 255)
