"""Measure how long a codec's products take in each number format on this CPU, on the shapes of its networks.

Time is the thread's own, so that other work on the machine counts little, and the best of several calls counts.
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
"""Time for one product in both formats; where one has no instructions, both get the least number of calls."""
_WORTH = 0.8
"""Half precision costs accuracy, so it must save a fifth of the time."""


@torch.inference_mode()
def exact_format() -> str:
    """Return the faster format of the exact path."""
    config = RELEASED.high
    channels, hidden = config.hyper_channels, 96
    shapes = ((CELLS, channels, hidden), (CELLS, hidden, config.coded_channels(32)))
    times = [_best_s(_exact_call("int8", shape), _exact_call("float32", shape)) for shape in shapes]
    integer_s, float_s = map(sum, zip(*times, strict=True))
    return "int8" if integer_s < float_s else "float32"


@torch.inference_mode()
def heads_format() -> str:
    """Return bfloat16 where it is fast enough in the blocks of `high-cpu` at twice the latent grid."""
    wide = RELEASED.high_cpu.wide
    return _float_format(((4 * CELLS, wide, 2 * wide), (4 * CELLS, 2 * wide, wide)))


@torch.inference_mode()
def analysis_format() -> str:
    """Return bfloat16 where it is fast enough in the encoder's blocks, measured on a quarter of their cells.

    On fewer cells it takes 0.6 of float32's time instead of 0.4 (EPYC Zen 4), too close to `_WORTH` on a busy machine.
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
    """Return the time of each one's fastest call, without the first, which may prepare a kernel.

    They are called by turns: where other work slows the machine for a while, it slows both.
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
