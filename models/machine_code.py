"""Compile Python loops by numba. They stay plain functions too, which tests can run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


@cache
def compile_loop(loop: _Loop) -> _Loop:
    """Return the loop in machine code, which runs without the interpreter lock.

    The code is cached beside its file or, where that is not writable, in the user's cache. Loops must not divide by
    zero. A product may be added before it is rounded, but sums keep their order.
    """
    from numba import njit

    def machine_code(*, kept: bool) -> _Loop:
        compile_ = njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=kept)
        return compile_(loop)  # type: ignore[return-value]  # a Dispatcher has the signature of its loop

    try:
        return machine_code(kept=True)
    except RuntimeError:  # no writable cache: compiling takes some seconds at every start
        return machine_code(kept=False)
