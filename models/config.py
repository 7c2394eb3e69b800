"""Sizes and widths of the networks, and the released architecture. Standard library only.

Letters used throughout `models`: x picture, y latent, z hyper-latent, `_hat` decoded, q quantised residual (a symbol),
B batch, N latent channels, C channels of the hyper-latent or of a layer, H W height and width of the latent grid. A
cell is one position of the latent grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

HIGH_PX = 344
"""Side in pixels of the picture that is encoded, and of the decoded `high` picture."""
MEDIUM_PX = 172
"""Side in pixels of the decoded `medium` picture."""
QUALITIES = 64
"""Number of qualities (rate points) of one model: 0 gives the fewest bytes, 63 the best picture."""
GRID = 22
"""Side in cells of both autoencoders' latent grids: 344 px padded to 352 at stride 16, 172 px to 176 at stride 8."""

_LEAST_SHARE = 0.25
"""Fraction of the latent channels that the lowest qualities code."""
_CHANNEL_STEP = 32
"""The number of coded channels is a multiple of this, to fill vector registers and to have few matrix shapes."""

LAMBDA_FIRST = 0.0008
"""lambda of quality 0 in the loss: bits per pixel + lambda * 255^2 * MSE (assumed; gives about 0.15 bpp)."""
LAMBDA_LAST = 0.4
"""lambda of quality 63 in the loss (derived from a uniform step of 8/255, see `quality_step`; about 40 dB)."""


LinearPath = Literal["matrix", "dct"]
"""How the linear path of a head maps a latent to pixels: by a full matrix, or by gains and a separable inverse DCT."""
_LARGEST = 1 << 13
"""Upper limit of every number in an architecture, so that a damaged weights file cannot exhaust the memory."""


class _Widths:
    """Base class of the configurations: every integer field must be in 0..8192."""

    def __post_init__(self) -> None:
        """Raise `ValueError` where an integer field is not in 0..8192."""
        for name, value in vars(self).items():
            if isinstance(value, int) and not 0 <= value <= _LARGEST:
                raise ValueError(f"{name} must be in 0..{_LARGEST}, not {value}")


@dataclass(frozen=True)
class EncoderConfig(_Widths):
    """Widths of one analysis transform."""

    wide: int
    """Channels of the layers on the finer grid, of twice the side of the latent grid."""
    wide_blocks: int
    deep: int
    """Channels of the layers on the latent grid."""
    deep_blocks: int


@dataclass(frozen=True)
class AutoencoderConfig(_Widths):
    """Sizes and widths of one autoencoder and its entropy model."""

    size_px: int
    stride_px: int
    latent_channels: int
    basis: Literal["klt", "dct"]
    """Transform that initialises the latent: the principal components of picture blocks (Karhunen-Loeve), or the DCT
    coefficients of largest variance."""
    hyper_channels: int
    energy_groups: int
    """Number of hyper-latent channels that are initialised as the log energy of a group of latent channels."""
    encoder: EncoderConfig
    feature_channels: int
    """Channels of the features of the hyper-latent from which the means are computed (means.py)."""
    context_reads: int
    """The means of the non-anchor cells are computed from this many first latent channels of the decoded anchors."""
    context_channels: int
    """Input channels of the last layer of the network that computes the means of the non-anchor cells."""

    @property
    def padded_px(self) -> int:
        """Return the side in pixels of the picture after padding to a multiple of the stride."""
        return -(-self.size_px // self.stride_px) * self.stride_px

    @property
    def patch_values(self) -> int:
        """Return the number of colour values in the block of pixels of one latent cell: 3 * stride^2."""
        return 3 * self.stride_px**2

    def coded_channels(self, quality: int) -> int:
        """Return how many of the latent channels, which are in order of variance, a quality codes; the others are zero.

        The cost of every step between bytes and pixels falls in proportion. A model without this limit had about 4 % of
        its nonzero symbols in the channels that are now left out (measured at all qualities); training with the limit
        moves that information to the coded channels.
        """
        share = min(1.0, max(_LEAST_SHARE, 0.5 + (quality - 23) / 72))
        return min(self.latent_channels, math.ceil(share * self.latent_channels / _CHANNEL_STEP) * _CHANNEL_STEP)


@dataclass(frozen=True)
class HighHeadConfig(_Widths):
    """Widths of a head of the 344 picture."""

    linear: LinearPath
    reads: int
    """Number of latent channels, from the first, that the head's network reads; its linear path reads all channels."""
    deep: int
    """Channels of the layers on the latent grid."""
    deep_blocks: int
    wide: int
    """Channels of the layers on the finer grid, of twice the side of the latent grid."""
    wide_blocks: int


@dataclass(frozen=True)
class MediumHeadConfig(_Widths):
    """Widths of the head of the medium autoencoder, whose layers are all on the latent grid."""

    width: int
    blocks: int


@dataclass(frozen=True)
class TranslatorConfig(_Widths):
    """Widths of a translator: a head that decodes the 172 picture from the latent of the 344 picture."""

    linear: LinearPath
    edges: int
    """Number of linear features of a cell that its four neighbours read too, because the LANCZOS filter reaches across
    cells. PSNR of the best linear map at qualities 38 and 63 (measured): without them 38.4 and 44.9 dB, with 16 of them
    38.6 and 46.0, with 32 38.8 and 46.8, with 48 38.8 and 47.0."""
    width: int
    blocks: int


@dataclass(frozen=True)
class UpscalerConfig(_Widths):
    """Widths of the upscaler (upscaler.py), whose layers are all on one grid of cells of the medium picture."""

    cell_px: int
    """Side in pixels of the medium picture's block that is one cell of the grid."""
    width: int
    blocks: int

    def __post_init__(self) -> None:
        """Raise `ValueError` where a field is out of range, or a cell has no pixel."""
        super().__post_init__()
        if not self.cell_px:
            raise ValueError("cell_px must be at least 1, not 0")

    @property
    def patch_values(self) -> int:
        """Return the number of colour values in the block of pixels of one cell: 3 * cell_px^2."""
        return 3 * self.cell_px**2


@dataclass(frozen=True)
class Architecture:
    """The sizes and widths of all networks of one weights file."""

    high: AutoencoderConfig
    medium: AutoencoderConfig
    high_gpu: HighHeadConfig
    """The head `high-gpu`, which decodes the 344 picture in better quality, for a GPU."""
    high_cpu: HighHeadConfig
    """The head `high-cpu`, which decodes the 344 picture cheaply, for a CPU."""
    medium_head: MediumHeadConfig
    """The head of the medium autoencoder."""
    medium_cpu: TranslatorConfig
    """The translator: the head that decodes the 172 picture on a CPU."""
    medium_gpu: TranslatorConfig | None
    """The head `medium-gpu`, which decodes a better 172 picture on a GPU; None: the translator does it there too."""
    light_encoder: EncoderConfig | None
    """A cheaper analysis for a CPU, which writes streams of the same format; None: the file has one analysis only."""

    def __post_init__(self) -> None:
        """Raise `ValueError` where a head has a DCT path but the high latent is not initialised as a DCT."""
        paths = {self.high_gpu.linear, self.high_cpu.linear, self.medium_cpu.linear}
        if self.medium_gpu is not None:
            paths.add(self.medium_gpu.linear)
        if "dct" in paths and self.high.basis != "dct":
            raise ValueError(f'a head with a DCT path needs a latent with basis "dct", not {self.high.basis!r}')


RELEASED = Architecture(
    high=AutoencoderConfig(
        size_px=HIGH_PX,
        stride_px=16,
        latent_channels=384,
        basis="dct",
        hyper_channels=64,
        energy_groups=32,
        # The wide encoder takes 6.7 GMAC per picture.
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
    # The head high-gpu takes 6.8 GMAC per picture, too many for hits on a CPU.
    high_gpu=HighHeadConfig(linear="matrix", reads=384, deep=384, deep_blocks=4, wide=256, wide_blocks=10),
    high_cpu=HighHeadConfig(linear="dct", reads=256, deep=96, deep_blocks=1, wide=40, wide_blocks=2),
    medium_head=MediumHeadConfig(width=56, blocks=2),
    # The translator is limited to 0.2 GMAC per picture, including the means and the exact path.
    medium_cpu=TranslatorConfig(linear="dct", edges=20, width=112, blocks=4),
    # The head medium-gpu takes 0.8 GMAC per picture.
    medium_gpu=TranslatorConfig(linear="dct", edges=48, width=256, blocks=5),
    light_encoder=EncoderConfig(wide=160, wide_blocks=5, deep=320, deep_blocks=6),
)
"""The architecture of the released weights."""

UPSCALER = UpscalerConfig(cell_px=4, width=96, blocks=5)
"""The architecture of the released upscaler: at most 0.5 GMAC for a 344 picture."""


def quality_lambda(quality: float) -> float:
    """Return the rate-distortion weight lambda of a quality: log-spaced from `LAMBDA_FIRST` to `LAMBDA_LAST`."""
    ratio = LAMBDA_LAST / LAMBDA_FIRST
    return float(LAMBDA_FIRST * ratio ** (quality / (QUALITIES - 1)))


def quality_step(quality: float) -> float:
    """Return the uniform quantisation step that is optimal at high rate, for pixel values in 0..1.

    It minimises 3 log2(1/step) bits per pixel + lambda * 255^2 * step^2 / 12, for an orthonormal transform.
    """
    return float((18 / (0.6931471805599453 * quality_lambda(quality))) ** 0.5 / 255)
