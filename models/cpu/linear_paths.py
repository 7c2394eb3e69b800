"""The linear path of a head on a CPU, and the last step of the head: the sum of all its parts, rounded to pixels.

A linear path is either a full matrix, multiplied by torch with the first input channels in float32 and the others in
the heads' number format, or an inverse DCT in a compiled loop (dct_loops.py).
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
    """The last step of a `HighHead`: the linear path plus `detail`, rounded to the 344 picture.

    `detail` is the network's output on the 44x44 grid.
    """

    def run(self, decoded: Decoded, detail: Kept) -> U8: ...


class MediumPixels(Protocol):
    """The last step of a `Translator`: the linear path plus `across` plus `detail`, rounded to the 172 picture.

    `across` (P, 8 * 8 * 3) comes from the neighbours' features, `detail` from the network on the latent grid.
    """

    def run(self, decoded: Decoded, across: Tensor, detail: Kept) -> U8: ...


def high_pixels(
    linear: LinearSynthesis | DctSynthesis, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype
) -> HighPixels:
    """Return the last step of a `HighHead` for its kind of linear path, a full matrix or a DCT.

    `bias` (16 * 16 * 3) is that of the network's last layer; the linear path's own is added to it.
    """
    if isinstance(linear, DctSynthesis):
        return _HighByDct(linear, deviation, bias=bias)
    return _HighByMatrix(_Matrix(linear.block, deviation, bias=bias, dtype=dtype))


def medium_pixels(
    linear: Pointwise | DctSynthesis, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype
) -> MediumPixels:
    """Return the last step of a `Translator` for its kind of linear path, a full matrix or a DCT.

    `bias` (8 * 8 * 3) is the sum of the other parts' biases; the linear path's own is added to it.
    """
    if isinstance(linear, DctSynthesis):
        return _MediumByDct(linear, deviation, bias=bias)
    return _MediumByMatrix(_Matrix(linear, deviation, bias=bias, dtype=dtype))


class _Matrix:
    """The linear path by a full matrix, from t = y_hat / deviation to block values in the order row, column, colour."""

    def __init__(self, linear: Pointwise, deviation: Tensor, *, bias: Tensor, dtype: torch.dtype) -> None:
        values = linear.weight.shape[0]
        folded = interleave(linear.weight.detach() * deviation).T
        self._sheet = None if dtype == torch.float32 else Sheet(CELLS, values, dtype)
        loud = len(folded) if self._sheet is None else LOUD
        self._loud, self._quiet = folded[:loud].contiguous(), folded[loud:].to(dtype).contiguous()
        self._loud_sums = torch.empty(CELLS, values)
        self.bias = numbers(interleave(linear.bias) + bias)

    def run(self, decoded: Decoded) -> tuple[Tensor, Kept | None]:
        """Return two matrices (P, values) whose sum is the result: in float32, and in the heads' number format.

        The second is None where the heads' format is float32.
        """
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
    """The weights of a `DctSynthesis` as arrays for the compiled loops; the gains include the channels' deviations."""

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
