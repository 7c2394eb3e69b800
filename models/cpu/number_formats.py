"""Number formats of the compiled loops' arrays: float32, or bf16 held as uint16, because numba has no bf16 type.

A loop reads an element by `widen`, computes in float32, and writes it by `narrow`. numba compiles a loop for each
combination of its arrays' formats, so that there is no branch on the format at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

F32 = NDArray[np.float32]
U16 = NDArray[np.uint16]
I8 = NDArray[np.int8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Kept = NDArray[np.uint16] | NDArray[np.float32]
"""An array of bf16 numbers as uint16, or of float32 numbers."""


def widen(number: np.uint16 | np.float32) -> np.float32:
    """Convert an element of a `Kept` array to float32: uint16 is taken as the bits of a bf16 number."""
    return number if isinstance(number, np.float32) else _of_half(number)


def narrow(value: np.float32, like: Kept) -> Any:  # noqa: ANN401  (the type of an element of `like`)
    """Convert a float32 number to the format of the array `like`; bf16 is rounded to nearest, ties to even."""
    return value if like.dtype == np.float32 else _half(value)


@njit(inline="always")
def _of_half(bits: np.uint16) -> np.float32:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(inline="always")
def _half(value: np.float32) -> np.uint16:
    bits = np.float32(value).view(np.uint32)
    return np.uint16(np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


# numba requires that an overload and the function that it returns have the same parameter names and annotations.


@overload(widen, inline="always")
def _overload_widen(number: object) -> Callable[..., Any]:
    def as_it_is(number: object) -> object:
        return number

    def of_half(number: object) -> object:
        return _of_half(number)  # type: ignore[arg-type]  # of the type that numba has found

    return as_it_is if isinstance(number, types.Float) else of_half


@overload(narrow, inline="always")
def _overload_narrow(value: object, like: types.Array) -> Callable[..., Any]:  # noqa: ARG001  (the type of `value` does not matter)
    def as_it_is(value: object, like: types.Array) -> object:  # noqa: ARG001  (likewise)
        return np.float32(value)  # type: ignore[arg-type]  # of the type that numba has found

    def half(value: object, like: types.Array) -> object:  # noqa: ARG001  (likewise)
        return _half(value)  # type: ignore[arg-type]  # likewise

    return as_it_is if isinstance(like.dtype, types.Float) else half
