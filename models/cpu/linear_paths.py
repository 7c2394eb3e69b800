"""The linear paths of a head on a CPU, and the pixels; all other parts of the head are added to them.

A path is either a full matrix by torch's products, its first inputs in float32 and the others in the format of the
heads, or the inverse DCT, whose loop (dct_loops.py) also makes the pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from models.config import HIGH_PX, MEDIUM_PX
from models.cpu import dct_loops, loops
from models.cpu.matrices import CELLS, Sheet, interleave, numbers
from models.cpu.number_formats import F32, I32, U8, Kept
from models.dct import DctSynthesis
from models.layers import LOUD
from models.machine_code import compile_loop

if TYPE_CHECKING:
    from torch import Tensor

    from models.cpu.latent import Decoded
    from models.layers import Pointwise
    from models.synthesis import LinearSynthesis


class HighPixels(Protocol):
    """Makes the 344 picture from the linear path, and the network's detail at twice the grid."""

    def run(self, decoded: Decoded, detail: Kept) -> U8: ...


class MediumPixels(Protocol):
    """Makes the 172 picture from the linear path, the share across cells (P, 8 8 3) and the detail."""

    def run(self, decoded: Decoded, across: Tensor, detail: Kept) -> U8: ...


def high_pixels(
    linear: LinearSynthesis | DctSynthesis, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype
) -> HighPixels:
    """Return the path for this kind of `linear`; `bias` (16 16 3) is the network's."""
    if isinstance(linear, DctSynthesis):
        return _HighByDct(linear, deviation, bias=bias)
    return _HighByMatrix(_Matrix(linear.block, deviation, bias=bias, dtype=dtype))


def medium_pixels(
    linear: Pointwise | DctSynthesis, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype
) -> MediumPixels:
    """Return the path for this kind of `linear`; `bias` (8 8 3) is that of all other parts."""
    if isinstance(linear, DctSynthesis):
        return _MediumByDct(linear, deviation, bias=bias)
    return _MediumByMatrix(_Matrix(linear, deviation, bias=bias, dtype=dtype))


class _Matrix:
    """Maps y_hat to the values of a block, in the order row, column, colour; weights include the deviations."""

    def __init__(self, linear: Pointwise, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype) -> None:
        values = linear.weight.shape[0]
        folded = interleave(linear.weight.detach() * deviation).T
        self._sheet = None if dtype == torch.float32 else Sheet(CELLS, values, dtype)
        loud = len(folded) if self._sheet is None else LOUD
        self._loud, self._quiet = folded[:loud].contiguous(), folded[loud:].to(dtype).contiguous()
        self._loud_sums = torch.empty(CELLS, values)
        self.bias = numbers(interleave(linear.bias) + bias)

    def run(self, decoded: Decoded) -> tuple[Tensor, Kept | None]:
        """Return both parts of the sum (P, values): one in float32, one in the heads' format unless that is float32."""
        t = decoded.t[:-1, : len(self._loud)]
        loud = torch.mm(t, self._loud[: t.shape[1]], out=self._loud_sums)
        if self._sheet is None:
            return loud, None
        return loud, self._sheet.product(decoded.quiet, self._quiet[: decoded.quiet.shape[1]])


class _HighByMatrix:
    def __init__(self, matrix: _Matrix) -> None:
        self._matrix = matrix

    def run(self, decoded: Decoded, detail: Kept) -> U8:
        matrix, pixels = self._matrix, _blank(HIGH_PX)
        loud, quiet = matrix.run(decoded)
        compile_loop(loops.pixels_of_two)(loud.numpy(), quiet, detail, matrix.bias, HIGH_PX, pixels)
        return pixels.reshape(HIGH_PX, HIGH_PX, 3)


class _MediumByMatrix:
    def __init__(self, matrix: _Matrix) -> None:
        self._matrix = matrix

    def run(self, decoded: Decoded, across: Tensor, detail: Kept) -> U8:
        matrix, pixels = self._matrix, _blank(MEDIUM_PX)
        loud, quiet = matrix.run(decoded)
        compile_loop(loops.pixels_of_one)(loud.add_(across).numpy(), quiet, detail, matrix.bias, MEDIUM_PX, pixels)
        return pixels.reshape(MEDIUM_PX, MEDIUM_PX, 3)


class _Dct:
    """Gains with the deviations included, places and the inverse, as the loops read them."""

    def __init__(self, linear: DctSynthesis, deviation: Tensor, bias: Tensor) -> None:
        side = linear.stride_px
        self.gain: F32 = numbers(linear.gain * deviation)
        self.places: I32 = linear.places.numpy().astype(np.int32)
        self.inverse: F32 = numbers(linear.inverse)
        self.colours: F32 = numbers(linear.colours)
        self.bias: F32 = numbers(linear.bias.detach().repeat(side * side) + bias)


class _HighByDct:
    def __init__(self, linear: DctSynthesis, deviation: Tensor, *, bias: Tensor) -> None:
        self._dct = _Dct(linear, deviation, bias)

    def run(self, decoded: Decoded, detail: Kept) -> U8:
        dct, pixels, t = self._dct, _blank(HIGH_PX), decoded.t.numpy()
        compile_loop(dct_loops.pixels_of_two_by_dct)(
            t, dct.gain, dct.places, dct.inverse, dct.colours, detail, dct.bias, HIGH_PX, pixels
        )
        return pixels.reshape(HIGH_PX, HIGH_PX, 3)


class _MediumByDct:
    def __init__(self, linear: DctSynthesis, deviation: Tensor, *, bias: Tensor) -> None:
        self._dct = _Dct(linear, deviation, bias)

    def run(self, decoded: Decoded, across: Tensor, detail: Kept) -> U8:
        dct, pixels, t = self._dct, _blank(MEDIUM_PX), decoded.t.numpy()
        compile_loop(dct_loops.pixels_of_one_by_dct)(
            t, dct.gain, dct.places, dct.inverse, dct.colours, across.numpy(), detail, dct.bias, MEDIUM_PX, pixels
        )
        return pixels.reshape(MEDIUM_PX, MEDIUM_PX, 3)


def _blank(side_px: int) -> U8:
    return np.empty((side_px, 3 * side_px), np.uint8)
