"""Loops written in Python, compiled by numba. They are plain functions too, which tests may run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


@cache
def compile_loop(loop: _Loop) -> _Loop:
    """The same in machine code, without the interpreter lock.

    Kept beside its file or, where that is not writable, in the user's cache. No division here is by zero, and a product
    may be added before it is rounded; sums keep their order.
    """
    from numba import njit

    def machine_code(*, kept: bool) -> _Loop:
        compile_ = njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=kept)
        return compile_(loop)  # type: ignore[return-value]  # a Dispatcher is called like what it compiles

    try:
        return machine_code(kept=True)
    except RuntimeError:  # nowhere to keep it: some seconds at every start
        return machine_code(kept=False)
