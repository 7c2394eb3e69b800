"""Compile Python loops by numba. The tests also run the loops as plain Python functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


@cache
def compile_loop(loop: _Loop) -> _Loop:
    """Return the loop compiled by numba; it runs without the interpreter lock.

    The machine code is cached beside the source file or, where that is not writable, in the user's cache directory.
    Loops must not divide by zero. A multiplication and an addition may be fused (FMA), but sums keep their order.
    """
    from numba import njit

    def machine_code(*, kept: bool) -> _Loop:
        compile_ = njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=kept)
        return compile_(loop)  # type: ignore[return-value]  # a Dispatcher has the signature of its loop

    try:
        return machine_code(kept=True)
    except RuntimeError:  # numba finds no writable cache directory, so each process compiles for some seconds
        return machine_code(kept=False)
