"""Sizes and widths of the networks. Standard library only, no behaviour.

Letters used throughout `models`: x picture, y latent, z hyper-latent, `_hat` decoded, q quantised residual (a symbol),
B batch, N latent channels, H W grid height and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HIGH_PX = 344
"""Side of the picture that is encoded, and of the `high` rendition."""
MEDIUM_PX = 172
"""Side of the `medium` rendition."""
QUALITIES = 64
"""Rate points of one model, 0 (smallest) to 63 (best)."""
GRID = 22
"""Side of the latent grid of both autoencoders: 344 padded to 352 at stride 16, 172 padded to 176 at stride 8."""

_LEAST_SHARE = 0.25
"""Of the latent channels, at the lowest qualities."""
_CHANNEL_STEP = 32
"""Channels are counted by as many: whole vector registers, and few shapes for the matrix products to be ready for."""

LAMBDA_FIRST = 0.0008
"""Rate-distortion weight of quality 0, for bits per pixel + lambda * 255^2 * MSE (assumed; about 0.15 bpp)."""
LAMBDA_LAST = 0.4
"""The same for quality 63 (derived: uniform step 8/255, see `quality_step`; about 40 dB)."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths of one autoencoder and its entropy model."""

    size_px: int
    stride_px: int
    latent_channels: int
    hyper_channels: int
    energy_groups: int
    """Hyper-latent channels that start as the log energy of a group of latent channels."""
    encoder_wide: int
    """Channels of the analysis at twice the latent grid."""
    encoder_wide_blocks: int
    encoder_deep: int
    """Channels of the analysis on the latent grid."""
    encoder_deep_blocks: int
    feature_channels: int
    """Channels that the hyper-latent and the decoded anchors tell the means in."""
    context_channels: int
    """Channels of the mean of what lies between the anchors, before its last layer."""

    @property
    def padded_px(self) -> int:
        """Side of the picture after padding to whole latent cells."""
        return -(-self.size_px // self.stride_px) * self.stride_px

    @property
    def patch_values(self) -> int:
        """Values of the block that one latent cell covers: a complete linear transform has as many coefficients."""
        return 3 * self.stride_px**2

    def coded_channels(self, quality: int) -> int:
        """Latent channels that a quality codes, the first ones, in order of variance; the others are zero there.

        Everything between bytes and pixels is as much cheaper (of the nonzero symbols of a model without this rule
        about 4 in 100 lay beyond: measured at all qualities; training moves them to where they count).
        """
        share = min(1.0, max(_LEAST_SHARE, 0.5 + (quality - 23) / 72))
        return min(self.latent_channels, math.ceil(share * self.latent_channels / _CHANNEL_STEP) * _CHANNEL_STEP)


@dataclass(frozen=True)
class HighHeadConfig:
    """Widths of a synthesis of the high picture."""

    deep: int
    """Channels on the latent grid."""
    deep_blocks: int
    wide: int
    """Channels at twice the latent grid."""
    wide_blocks: int


@dataclass(frozen=True)
class MediumHeadConfig:
    """Widths of the synthesis of the medium picture: all of it on the latent grid."""

    width: int
    blocks: int


@dataclass(frozen=True)
class TranslatorConfig:
    """Widths of the translator from the high latent to the medium picture."""

    edges: int
    """Linear features that a cell shows its four neighbours: LANCZOS reaches across cells (measured, ceiling of a
    linear map at qualities 38 and 63: pointwise 38.4 and 44.9 dB, 16 shared features 38.6 and 46.0, 32 38.8 and 46.8,
    48 38.8 and 47.0)."""
    width: int
    blocks: int


HIGH = AutoencoderConfig(
    size_px=HIGH_PX,
    stride_px=16,
    latent_channels=384,
    hyper_channels=64,
    energy_groups=32,
    encoder_wide=160,
    encoder_wide_blocks=5,
    encoder_deep=320,
    encoder_deep_blocks=6,
    feature_channels=96,
    context_channels=128,
)
MEDIUM = AutoencoderConfig(
    size_px=MEDIUM_PX,
    stride_px=8,
    latent_channels=192,
    hyper_channels=48,
    energy_groups=24,
    encoder_wide=64,
    encoder_wide_blocks=2,
    encoder_deep=160,
    encoder_deep_blocks=3,
    feature_channels=64,
    context_channels=96,
)
HIGH_GPU_HEAD = HighHeadConfig(deep=192, deep_blocks=3, wide=128, wide_blocks=6)
"""`high-gpu`: at most 25 kMAC/px by design."""
HIGH_CPU_HEAD = HighHeadConfig(deep=128, deep_blocks=1, wide=48, wide_blocks=2)
"""`high-cpu`: at most 0.35 GMAC a picture with means and exact path, by design."""
MEDIUM_HEAD = MediumHeadConfig(width=56, blocks=2)
TRANSLATOR = TranslatorConfig(edges=20, width=112, blocks=2)
"""With means and exact path: at most 0.2 GMAC a picture, by design."""


def quality_lambda(quality: float) -> float:
    """Rate-distortion weight of a quality: log-spaced between `LAMBDA_FIRST` and `LAMBDA_LAST`."""
    ratio = LAMBDA_LAST / LAMBDA_FIRST
    return float(LAMBDA_FIRST * ratio ** (quality / (QUALITIES - 1)))


def quality_step(quality: float) -> float:
    """Uniform quantisation step that is optimal at high rate for `quality_lambda`, in pixel units of 0..1.

    From d/dStep of (3 log2(1/Step) bits per pixel + lambda * 255^2 * Step^2 / 12) = 0 with an orthonormal transform.
    """
    return float((18 / (0.6931471805599453 * quality_lambda(quality))) ** 0.5 / 255)
