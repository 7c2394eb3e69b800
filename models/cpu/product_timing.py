"""Time a codec's matrix products in each number format on this CPU, with the shapes of its networks.

Times are the thread's CPU time, and the fastest of several calls counts, so that other load hardly matters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from models.config import RELEASED
from models.cpu.matrices import CELLS
from models.cpu.products import exact_product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Call = Callable[[], object]

_LEAST_CALLS, _CALLS = 6, 40
_BUDGET_S = 0.008
"""Time for measuring one product in both formats (assumed). A format that the CPU emulates takes longer, and then
`_LEAST_CALLS` calls are made."""
_WORTH = 0.8
"""bfloat16 is chosen only if it takes less than this fraction of float32's time, because it is less exact (assumed)."""


@torch.inference_mode()
def exact_format() -> str:
    """Return the faster format for the matrix products of the exact path: "int8" or "float32"."""
    config = RELEASED.high
    channels, hidden = config.hyper_channels, 96
    shapes = ((CELLS, channels, hidden), (CELLS, hidden, config.coded_channels(32)))
    times = [_best_s(_exact_call("int8", shape), _exact_call("float32", shape)) for shape in shapes]
    integer_s, float_s = map(sum, zip(*times, strict=True))
    return "int8" if integer_s < float_s else "float32"


@torch.inference_mode()
def heads_format() -> str:
    """Return "bfloat16" if it is fast enough in the blocks of `high-cpu` on the 44x44 grid, else "float32"."""
    wide = RELEASED.high_cpu.wide
    return _float_format(((4 * CELLS, wide, 2 * wide), (4 * CELLS, 2 * wide, wide)))


@torch.inference_mode()
def analysis_format() -> str:
    """Return "bfloat16" if it is fast enough in the wide encoder's blocks, else "float32".

    It is measured on 484 cells, a quarter of the blocks' cells. On fewer cells bfloat16 takes 0.6 of float32's time
    instead of 0.4 (EPYC Zen 4), which is too close to `_WORTH` on a busy machine.
    """
    wide = RELEASED.high.encoder.wide
    return _float_format(((CELLS, wide, 2 * wide), (CELLS, 2 * wide, wide)))


def _exact_call(name: str, shape: tuple[int, int, int]) -> Call:
    rows, inner, columns = shape
    multiply = exact_product(name)
    left = torch.ones(rows, inner, dtype=multiply.dtype)
    right = multiply.right(torch.ones(columns, inner))
    return lambda: multiply(left, right)


def _float_format(shapes: Sequence[tuple[int, int, int]]) -> str:
    times = [_best_s(_float_call(torch.bfloat16, shape), _float_call(torch.float32, shape)) for shape in shapes]
    half_s, full_s = map(sum, zip(*times, strict=True))
    return "bfloat16" if half_s < _WORTH * full_s else "float32"


def _float_call(dtype: torch.dtype, shape: tuple[int, int, int]) -> Call:
    rows, inner, columns = shape
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return lambda: torch.mm(left, right, out=out)


def _best_s(one: Call, other: Call) -> tuple[float, float]:
    """Return the time in seconds of the fastest call of each function, without the first call, which may be slower.

    The two are called in turns, so that other load on the machine slows both alike.
    """
    one(), other()
    times: list[tuple[float, float]] = []
    while len(times) < _LEAST_CALLS or (len(times) < _CALLS and sum(map(sum, times)) < _BUDGET_S):
        times.append((_time_s(one), _time_s(other)))
    one_s, other_s = zip(*times, strict=True)
    return min(one_s), min(other_s)


def _time_s(call: Call) -> float:
    began_s = time.thread_time()
    call()
    return time.thread_time() - began_s
