"""Building blocks of the networks: 1x1 convolutions, depthwise blocks, vectors by quality. No entropy coding here."""

from __future__ import annotations

import math
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from models.config import QUALITIES, quality_lambda

LOUD = 32
"""Number of a linear path's first input channels, of 384, that stay in float32 when the others are bf16 (measured: the
PSNR against float32 for all channels is 74 dB with 16, 76 dB with 32, 79 dB with 64)."""
HEAD_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The number formats of a head, by their names (see models/cpu/kernels.py)."""
_OF_LATENT = ("linear", "block")
"""Attribute names of the `Pointwise` layers that map a latent linearly to pixels."""
QUALITY_KNOTS = 10
"""Number of knots of a `QualityTable`; the vectors of the 64 qualities are interpolated between them (assumed)."""


class Pointwise(nn.Module):
    """1x1 convolution (B, C, H, W) -> (B, O, H, W), with its weight stored as a matrix (O, C)."""

    def __init__(self, channels: int, out_channels: int, *, gain: float = 1.0) -> None:
        """Initialise uniform weights of variance gain^2 / (3 C); gain 0 makes them zero."""
        super().__init__()
        bound = gain / math.sqrt(channels)
        self.weight = nn.Parameter(
            torch.empty(out_channels, channels).uniform_(-bound, bound) if gain else torch.zeros(out_channels, channels)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W) by one matrix product, without a copy where x is channels_last."""
        return self.of_cells(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def of_cells(self, cells: Tensor) -> Tensor:
        """Map vectors (..., C) to (..., O), for example a list of grid positions (B, P, C)."""
        return F.linear(cells, self.weight, self.bias)


class SplitPointwise(nn.Module):
    """A `Pointwise` whose first 32 input channels are multiplied in float32, the others in half precision.

    The channels of a latent are in order of variance, so the first ones need the precision. The linear path of the 344
    picture then has a PSNR of 76 dB against float32 and takes 1.6 ms instead of 2.9; with half precision for all
    channels it is 58 dB (measured, one core).
    """

    def __init__(self, whole: Pointwise, dtype: torch.dtype) -> None:
        """Copy the weights of `whole`, split by input channel: the first 32 in float32, the others in `dtype`."""
        super().__init__()
        weight = whole.weight.detach()
        self.loud = nn.Parameter(weight[:, :LOUD].contiguous(), requires_grad=False)
        self.quiet = nn.Parameter(weight[:, LOUD:].to(dtype).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(whole.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W); the result is in float32."""
        cells = x.permute(0, 2, 3, 1)
        quiet = F.linear(cells[..., LOUD:].to(self.quiet.dtype), self.quiet)
        return F.linear(cells[..., :LOUD], self.loud, self.bias).add_(quiet).permute(0, 3, 1, 2)


class DepthwiseBlock(nn.Module):
    """Residual block x + W2 act(W1 depthwise3x3(x)); nearly all of its multiplications are in matrix products.

    A 3x3 depthwise convolution mixes positions, and two 1x1 layers mix channels at `expansion` times the width, as in
    the depthwise blocks of DCVC-RT's intra codec (Jia et al. 2025, arXiv 2502.20762), without normalisation.
    """

    def __init__(self, channels: int, *, expansion: int = 2) -> None:
        """Build a block that starts close to the identity."""
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        nn.init.normal_(self.spatial.weight, std=0.1)
        with torch.no_grad():
            self.spatial.weight[:, :, 1, 1] += 1.0
        nn.init.zeros_(self.spatial.bias)  # type: ignore[arg-type]  # a Conv2d made with bias has one
        self.widen = Pointwise(channels, expansion * channels, gain=1.7)
        self.narrow = Pointwise(expansion * channels, channels, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W) plus the block's residual of it."""
        out: Tensor = x + self.narrow(activate_in_place(self.widen(self.spatial(x))))
        return out


class QualityTable(nn.Module):
    """A learned vector for each quality, interpolated linearly between `QUALITY_KNOTS` knots."""

    def __init__(self, knots: Tensor) -> None:
        """Initialise the knots' vectors to `knots` (QUALITY_KNOTS, C)."""
        super().__init__()
        self.knots = nn.Parameter(knots.clone())
        self.register_buffer("mix", knot_mix(), persistent=False)
        self.mix: Tensor

    def forward(self, quality: Tensor) -> Tensor:
        """Map qualities (B,) int64 to vectors (B, C)."""
        # The interpolation is a sum, because a GPU in training may round the factors of a matrix product to TF32.
        return (self.mix[quality][..., None] * self.knots).sum(1)

    def table(self) -> Tensor:
        """Return the vectors of all qualities, (QUALITIES, C)."""
        return (self.mix[..., None] * self.knots).sum(1)


class ReadsLatent(Protocol):
    """A network that reads a latent by the layer `enter`, whose output is scaled by the gains of `quality`."""

    enter: Pointwise
    quality: QualityTable


def enter(network: ReadsLatent, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
    """Apply the first layer of a network that reads y_hat (B, N, H, W); return (B, O, H, W).

    The steps are: y_hat / deviation, `compress`, the 1x1 layer `network.enter`, leaky ReLU, and the gain (B, O) of
    `quality` (B,). Only the first channels of y_hat are used: the number of input channels of `network.enter`.
    """
    reads, dtype = network.enter.weight.shape[1], network.enter.weight.dtype
    seen = compress(y_hat[:, :reads] / deviation[:reads, None, None])
    h: Tensor = activate(network.enter(seen.to(dtype)))
    gain: Tensor = network.quality(quality)[:, :, None, None]
    return h * gain.to(h.dtype)


def set_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert a head to `dtype` in place, except its quality tables and parts of its linear path.

    Of a linear path, a `Pointwise` becomes a `SplitPointwise`; all other layers of it stay in float32.
    """
    for name, part in list(network.named_children()):
        if isinstance(part, SplitPointwise):
            continue
        if isinstance(part, Pointwise) and name in _OF_LATENT and dtype != torch.float32:
            setattr(network, name, SplitPointwise(part, dtype))
        elif name == "linear":
            set_precision(part, dtype)
        elif not name.startswith(("linear", "quality")):
            part.to(dtype)


def knot_mix() -> Tensor:
    """Return the weights (QUALITIES, QUALITY_KNOTS) by which a quality's vector is interpolated from the knots."""
    place = torch.linspace(0, QUALITY_KNOTS - 1, QUALITIES)
    return (1 - (place[:, None] - torch.arange(QUALITY_KNOTS)).abs()).clamp_min(0)


@cache
def quality_lambdas(device: str = "cpu") -> Tensor:
    """Return the rate-distortion weight lambda of each quality, (QUALITIES,): see `quality_lambda`."""
    with torch.inference_mode(mode=False):
        return torch.tensor([quality_lambda(quality) for quality in range(QUALITIES)], device=device)


def activate(x: Tensor) -> Tensor:
    """Apply leaky ReLU with slope 0.1, the activation of all networks, because it is cheap on a CPU."""
    return F.leaky_relu(x, 0.1)


def activate_in_place(fresh: Tensor) -> Tensor:
    """Apply `activate` in place, which saves an allocation. The caller must not need the old values of `fresh`."""
    return F.leaky_relu_(fresh, 0.1)


def asinh(x: Tensor) -> Tensor:
    """Return asinh(x) to within 1e-6 of torch.asinh.

    Without gradients it is five times as fast as torch.asinh, which torch does not vectorise.
    """
    if torch.is_grad_enabled():
        return torch.asinh(x)
    size = x.abs()
    return torch.copysign(torch.log1p(size + size * size / (1 + torch.sqrt(1 + size * size))), x)


def compress(x: Tensor) -> Tensor:
    """Return x / sqrt(1 + |x|), which compresses the range of a latent: it spans three decades of standard deviations.

    It is cheaper than asinh, whose logarithm took a third of the time between a decode's matrix products (measured).
    """
    return x * torch.rsqrt(1 + x.abs())


def four_neighbours(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four shifted copies of x (B, C, H, W): the value above, left, right and below of each position.

    Values beyond the grid are zero.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:], padded[:, :, 2:, 1:-1]


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Return what `F.pixel_shuffle` returns, with channels_last memory on a GPU too, where torch's own loses it."""
    batch, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(batch, height, width, channels // factor**2, factor, factor)
    places = parts.permute(0, 1, 4, 2, 5, 3).reshape(batch, height * factor, width * factor, -1)
    return places.permute(0, 3, 1, 2)


def round_straight(x: Tensor) -> Tensor:
    """Return floor(x + 1/2), with the gradient of the identity (straight-through)."""
    return x + (torch.floor(x + 0.5) - x).detach()


class _Toward(torch.autograd.Function):
    """Clamp to low..high whose gradient is zero only where a descent step would move an outside value further out."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high  # type: ignore[attr-defined]
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        low, high = ctx.low, ctx.high  # type: ignore[attr-defined]
        blocked = ((x < low) & (grad > 0)) | ((x > high) & (grad < 0))
        return grad.masked_fill(blocked, 0.0), None, None


def clamp_toward(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp x to low..high, with a gradient that passes for outside values too if descent moves them back inside."""
    out: Tensor = _Toward.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch leaves Function.apply untyped
    return out
