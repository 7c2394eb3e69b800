"""Classify an accelerator's errors: out of memory, device lost, or an error of this call only. No texts are parsed.

A sticky CUDA error (an illegal address, an uncorrectable memory error, a device that fell off its bus) makes every
later CUDA call of the process fail as well. Therefore the device is synchronised after each error. If that fails too,
the device is lost, and this process cannot use it again.
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
"""cudaErrorMemoryAllocation. torch reports it for pinned host memory and CUDA graphs; for device memory it raises
`torch.OutOfMemoryError` instead."""


class DeviceLost(RuntimeError):  # noqa: N818  the name says that it is an error
    """The accelerator has failed for good, so this process must decode on another device."""


def finish_work(device: str) -> None:
    """Synchronise with a CUDA device and raise the errors of its queued work. Do nothing for any other device."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that memory is short, so that a smaller batch may succeed."""
    if isinstance(error, torch.AcceleratorError):
        return getattr(error, "error_code", None) == _MEMORY_ALLOCATION
    return isinstance(error, torch.OutOfMemoryError)


@contextmanager
def watching(device: str, *, probe: Callable[[str], None] = finish_work) -> Iterator[None]:
    """Raise `DeviceLost` if the body fails and `probe` then fails too; let the body's error pass unchanged if not."""
    try:
        yield
    except RuntimeError as error:
        if torch.device(device).type == "cpu" or isinstance(error, DeviceLost):
            raise
        _check_device(device, error, probe)
        raise


def halve_once(call: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Return [call(items)] or, where that runs out of device memory, the results of `call` for the two halves."""
    try:
        return [call(items)]
    except RuntimeError as error:
        if not is_out_of_memory(error) or len(items) == 1:
            raise
    # The halves run outside the except block, because the error's traceback keeps the first tensors in memory.
    half = len(items) // 2
    return [call(items[:half]), call(items[half:])]


def _check_device(device: str, error: RuntimeError, probe: Callable[[str], None]) -> None:
    try:
        probe(device)
    except (RuntimeError, AssertionError):  # torch.cuda functions raise AssertionError in a torch built without CUDA.
        raise DeviceLost(f"the device {device} has failed and cannot be used again: {error}") from error
