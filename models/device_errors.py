"""Tell an accelerator's failures apart: out of memory, lost, or a fault of the call. No error texts are parsed.

A CUDA error that ends the device's work (an illegal address, an unrecoverable memory error, a device that fell off its
bus) is permanent: every later call of the process fails as well. Therefore the device is asked to finish its work after
an error. Where that fails too, the device is lost, and this process cannot use it again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

_MEMORY_ALLOCATION = 2
"""cudaErrorMemoryAllocation, raised for pinned memory and graphs; device memory raises `torch.OutOfMemoryError`."""


class DeviceLost(RuntimeError):  # noqa: N818  the name says that it is an error
    """The accelerator itself has failed; another device must do the work."""


def finish_work(device: str) -> None:
    """Wait for all work of an accelerator, and raise its errors. On a CPU there is nothing to wait for."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether less work at once may succeed."""
    if isinstance(error, torch.AcceleratorError):
        return getattr(error, "error_code", None) == _MEMORY_ALLOCATION
    return isinstance(error, torch.OutOfMemoryError)


@contextmanager
def watching(device: str, *, probe: Callable[[str], None] = finish_work) -> Iterator[None]:
    """Raise `DeviceLost` in place of an error that the device does not recover from; pass on all others unchanged."""
    try:
        yield
    except RuntimeError as error:
        if torch.device(device).type == "cpu" or isinstance(error, DeviceLost):
            raise
        _check_device(device, error, probe)
        raise


def halve_once(call: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Return what `call` makes of all items or, where the device is out of memory, of their two halves."""
    try:
        return [call(items)]
    except RuntimeError as error:
        if not is_out_of_memory(error) or len(items) == 1:
            raise
    # outside the handler, because the error's traceback keeps tensors of the first try alive
    half = len(items) // 2
    return [call(items[:half]), call(items[half:])]


def _check_device(device: str, error: RuntimeError, probe: Callable[[str], None]) -> None:
    try:
        probe(device)
    except (RuntimeError, AssertionError):  # torch asserts that it was built for the device
        raise DeviceLost(f"{device} has failed: {error}") from error
