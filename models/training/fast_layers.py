"""Triton layers for training on a GPU that are faster than torch's: depthwise 3x3 convolution and bias gradients.

Tensors are (B, C, H, W) in channels_last, so that all channels of a pixel are adjacent: `x[p, c]`, with p over B H W.
shift(k, p) is the neighbour of pixel p at tap k = 3 dy + dx; its value is zero beyond the picture:

    out[p, c] = bias[c] + sum_k weight[c, k] x[shift(k, p), c]
    grad_weight[c, k] = sum_p grad[p, c] x[shift(k, p), c]

The gradient of x is the first formula with the taps in reverse order. The tests compare with torch's convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.layers import Pointwise
from models.training import triton_kernels

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

_PLACES, _CHANNELS = 64, 32
"""Pixels and channels that one Triton program computes."""
_SUMMED_BLOCKS = 4
"""Blocks of pixels that one Triton program sums before it adds its sum to the shared result by an atomic addition."""


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, bias, reverse=False)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]  # torch leaves it out of its types
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        batch, channels, height, width = x.shape
        grad_weight = torch.zeros(channels, 9, dtype=torch.float32, device=x.device)
        grad_bias = torch.zeros(channels, dtype=torch.float32, device=x.device)
        places = batch * height * width
        grid = (_blocks(places, _PLACES * _SUMMED_BLOCKS), _blocks(channels, _CHANNELS))
        triton_kernels.weigh[grid](
            x, grad, grad_weight, grad_bias, places, height, width, channels, _SUMMED_BLOCKS, _PLACES, _CHANNELS
        )
        return _convolve(grad, weight, weight, reverse=True), grad_weight.view(weight.shape), grad_bias


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, *, reverse: bool) -> Tensor:
    batch, channels, height, width = x.shape
    out = torch.empty_like(x, memory_format=torch.channels_last)
    places = batch * height * width
    grid = (_blocks(places, _PLACES), _blocks(channels, _CHANNELS))
    triton_kernels.convolve[grid](x, weight, bias, out, places, height, width, channels, reverse, _PLACES, _CHANNELS)
    return out


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the depthwise 3x3 convolution (B, C, H, W), channels_last, of x with weight (C, 1, 3, 3) and bias (C,).

    It is differentiable. x may have any float precision.
    """
    out: Tensor = _Depthwise.apply(x, weight, bias)  # type: ignore[no-untyped-call]  # torch leaves Function.apply untyped
    return out


def _blocks(count: int, size: int) -> int:
    return -(-count // size)


class _Linear(torch.autograd.Function):
    """y = x w^T + b for x (P, C), with a faster bias gradient: torch's sum takes as long as the matrix product."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, precision: torch.dtype) -> Tensor:
        x, narrow = x.to(precision), weight.to(precision)
        ctx.save_for_backward(x, narrow)
        return torch.addmm(bias.to(precision), x, narrow.T)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, narrow = ctx.saved_tensors  # type: ignore[attr-defined]  # as above
        grad = grads[0].contiguous()
        grad_x = grad @ narrow if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]  # as above
        return grad_x, (grad.T @ x).float(), column_sums(grad), None


def column_sums(x: Tensor) -> Tensor:
    """Return the sum (C,) in float32 over the rows of x (P, C), which may have any float precision."""
    places, channels = x.shape
    sums = torch.zeros(channels, dtype=torch.float32, device=x.device)
    grid = (_blocks(places, _PLACES * _SUMMED_BLOCKS), _blocks(channels, _CHANNELS))
    triton_kernels.sum_columns[grid](x, sums, places, channels, _SUMMED_BLOCKS, _PLACES, _CHANNELS)
    return sums


class FastPointwise(nn.Module):
    """A `Pointwise` with a faster backward pass, which shares the parameters of the plain one."""

    def __init__(self, plain: Pointwise) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to (B, O, H, W), as `Pointwise.forward` does."""
        return self.of_cells(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def of_cells(self, cells: Tensor) -> Tensor:
        """Map vectors (..., C) to (..., O), in autocast's precision if it is enabled, else in float32."""
        kind = cells.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        flat = cells.reshape(-1, cells.shape[-1])
        out: Tensor = _Linear.apply(flat, self.weight, self.bias, precision)  # type: ignore[no-untyped-call]  # as above
        return out.view(*cells.shape[:-1], -1)


class FastDepthwise(nn.Module):
    """A depthwise 3x3 `Conv2d` computed by the Triton kernels, which shares the parameters of the plain one."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        assert plain.bias is not None, "every depthwise layer here has a bias"
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x, of the same shape (B, C, H, W)."""
        return depthwise(x, self.weight, self.bias)


def speed_up(networks: nn.Module) -> None:
    """Replace all depthwise 3x3 and `Pointwise` layers of `networks`, in place, by the faster layers of this file."""
    for name, part in list(networks.named_children()):
        if isinstance(part, nn.Conv2d) and part.groups == part.in_channels and part.kernel_size == (3, 3):
            setattr(networks, name, FastDepthwise(part))
        elif isinstance(part, Pointwise):
            setattr(networks, name, FastPointwise(part))
        else:
            speed_up(part)
