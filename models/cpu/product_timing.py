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
    from collections.abc import Callable

_LEAST_CALLS, _CALLS = 4, 8
_BUDGET_S = 0.002
"""Time for one product in one format; a format without instructions gets the least number of calls."""
_WORTH = 0.8
"""Half precision costs accuracy, so it must save a fifth of the time."""


@torch.inference_mode()
def exact_format() -> str:
    """Return the faster format of the exact path."""
    config = RELEASED.high
    channels, hidden = config.hyper_channels, 96
    shapes = ((CELLS, channels, hidden), (CELLS, hidden, config.coded_channels(32)))
    in_float = sum(_exact_s("float32", shape) for shape in shapes)
    return "int8" if sum(_exact_s("int8", shape) for shape in shapes) < in_float else "float32"


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


def _exact_s(name: str, shape: tuple[int, int, int]) -> float:
    rows, inner, columns = shape
    multiply = exact_product(name)
    left = torch.ones(rows, inner, dtype=multiply.dtype)
    right = multiply.right(torch.ones(columns, inner))
    return _best_s(lambda: multiply(left, right))


def _float_format(shapes: tuple[tuple[int, int, int], ...]) -> str:
    half_s, full_s = (sum(_product_s(dtype, shape) for shape in shapes) for dtype in (torch.bfloat16, torch.float32))
    return "bfloat16" if half_s < _WORTH * full_s else "float32"


def _product_s(dtype: torch.dtype, shape: tuple[int, int, int]) -> float:
    rows, inner, columns = shape
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return _best_s(lambda: torch.mm(left, right, out=out))


def _best_s(call: Callable[[], object]) -> float:
    """Return the time of the fastest call, without the first one, which may prepare a kernel."""
    call()
    times: list[float] = []
    while len(times) < _LEAST_CALLS or (len(times) < _CALLS and sum(times) < _BUDGET_S):
        began_s = time.thread_time()
        call()
        times.append(time.thread_time() - began_s)
    return min(times)
