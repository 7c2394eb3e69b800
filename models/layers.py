"""Building blocks of the networks: pointwise maps, depthwise blocks, tables over quality. No entropy coding here."""

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
"""Inputs of a linear path that stay in float32, of the latent's 384 (measured: 16 give 74 dB, 32 76, 64 79)."""
_OF_LATENT = ("linear", "block")
"""Names of the linear maps whose input is a latent."""
QUALITY_KNOTS = 10
"""Knots of a table over quality; values for other qualities are interpolated (assumed)."""


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
        """Map the channels of x by one matrix product over all places, without a copy where x is channels_last."""
        return self.of_cells(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def of_cells(self, cells: Tensor) -> Tensor:
        """Map cells (..., C) to (..., O)."""
        return F.linear(cells, self.weight, self.bias)


class SplitPointwise(nn.Module):
    """A `Pointwise` whose first inputs, of large variance, stay in float32; the others are in half precision.

    It is for linear maps of a latent in order of variance. Half precision throughout is 58 dB from float32; this is
    76 dB, in 1.6 instead of 2.9 ms (measured on the linear path of the 344 picture, one core).
    """

    def __init__(self, whole: Pointwise, dtype: torch.dtype) -> None:
        """Copy the weights of `whole`, which must not change any more."""
        super().__init__()
        weight = whole.weight.detach()
        self.loud = nn.Parameter(weight[:, :LOUD].contiguous(), requires_grad=False)
        self.quiet = nn.Parameter(weight[:, LOUD:].to(dtype).contiguous(), requires_grad=False)
        self.bias = nn.Parameter(whole.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, O, H, W), in float32."""
        cells = x.permute(0, 2, 3, 1)
        quiet = F.linear(cells[..., LOUD:].to(self.quiet.dtype), self.quiet)
        return F.linear(cells[..., :LOUD], self.loud, self.bias).add_(quiet).permute(0, 3, 1, 2)


class DepthwiseBlock(nn.Module):
    """x + W2 act(W1 depthwise3x3(x)): residual block whose work is all in matrix products.

    Spatial mixing by a 3x3 depthwise convolution, channel mixing at `expansion` times the width, as the depthwise
    blocks of DCVC-RT's intra codec (Jia et al. 2025, arXiv 2502.20762), without normalisation.
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
        """Return x plus the residual, both (B, C, H, W)."""
        out: Tensor = x + self.narrow(activate_in_place(self.widen(self.spatial(x))))
        return out


class QualityTable(nn.Module):
    """A learned vector for each quality, interpolated linearly between `QUALITY_KNOTS` knots."""

    def __init__(self, knots: Tensor) -> None:
        """Start from `knots`, of shape (QUALITY_KNOTS, C)."""
        super().__init__()
        self.knots = nn.Parameter(knots.clone())
        self.register_buffer("mix", knot_mix(), persistent=False)
        self.mix: Tensor

    def forward(self, quality: Tensor) -> Tensor:
        """Map qualities (B,) int64 to vectors (B, C)."""
        # a sum, because a GPU in training may round the factors of a matrix product to TF32
        return (self.mix[quality][..., None] * self.knots).sum(1)

    def table(self) -> Tensor:
        """Return all vectors, (QUALITIES, C)."""
        return (self.mix[..., None] * self.knots).sum(1)


class ReadsLatent(Protocol):
    """A network whose first layer is `enter`, scaled by `quality`."""

    enter: Pointwise
    quality: QualityTable


def enter(network: ReadsLatent, y_hat: Tensor, *, quality: Tensor, deviation: Tensor) -> Tensor:
    """Apply the first layer of a network that reads a latent: compress, 1x1, a gain per channel and quality.

    It reads the first channels of the latent, as many as its weights have columns.
    """
    reads, dtype = network.enter.weight.shape[1], network.enter.weight.dtype
    seen = compress(y_hat[:, :reads] / deviation[:reads, None, None])
    h: Tensor = activate(network.enter(seen.to(dtype)))
    gain: Tensor = network.quality(quality)[:, :, None, None]
    return h * gain.to(h.dtype)


def set_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert to `dtype` all but the quality tables and the first inputs of linear paths, which stay in float32."""
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
    """Return the weights (QUALITIES, QUALITY_KNOTS) of linear interpolation between the knots."""
    place = torch.linspace(0, QUALITY_KNOTS - 1, QUALITIES)
    return (1 - (place[:, None] - torch.arange(QUALITY_KNOTS)).abs()).clamp_min(0)


@cache
def quality_lambdas(device: str = "cpu") -> Tensor:
    """Return the rate-distortion weights of all qualities, (QUALITIES,)."""
    with torch.inference_mode(mode=False):
        return torch.tensor([quality_lambda(quality) for quality in range(QUALITIES)], device=device)


def activate(x: Tensor) -> Tensor:
    """Return leaky ReLU with slope 0.1, the only nonlinearity: one instruction on a CPU."""
    return F.leaky_relu(x, 0.1)


def activate_in_place(fresh: Tensor) -> Tensor:
    """Apply leaky ReLU to a result that nothing else reads: allocating memory took longer than the arithmetic."""
    return F.leaky_relu_(fresh, 0.1)


def asinh(x: Tensor) -> Tensor:
    """Return torch.asinh within 1e-6; without gradients in a fifth of its time, because torch's is not vectorised."""
    if torch.is_grad_enabled():
        return torch.asinh(x)
    size = x.abs()
    return torch.copysign(torch.log1p(size + size * size / (1 + torch.sqrt(1 + size * size))), x)


def compress(x: Tensor) -> Tensor:
    """Return x / sqrt(1 +

    x

    ) for x in standard deviations: a latent spans three decades.

    The logarithm of asinh took a third of a decode's small steps (measured); this takes a root and a quotient.
    """
    return x * torch.rsqrt(1 + x.abs())


def four_neighbours(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the values above, left, right and below of each place of x (B, C, H, W); zero beyond the grid."""
    padded = F.pad(x, (1, 1, 1, 1))
    return padded[:, :, :-2, 1:-1], padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:], padded[:, :, 2:, 1:-1]


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Shuffle as `F.pixel_shuffle` does, but keep channels_last, which torch does on a CPU only."""
    batch, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(batch, height, width, channels // factor**2, factor, factor)
    places = parts.permute(0, 1, 4, 2, 5, 3).reshape(batch, height * factor, width * factor, -1)
    return places.permute(0, 3, 1, 2)


def round_straight(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity (straight-through)."""
    return x + (torch.floor(x + 0.5) - x).detach()


class _Toward(torch.autograd.Function):
    """Clamp whose gradient passes where the value is inside, or where the step would move it back inside."""

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
    """Clamp to low..high, with a gradient that can move an outside value back inside."""
    out: Tensor = _Toward.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch leaves Function.apply untyped
    return out
