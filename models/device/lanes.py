"""Streams and events of a CUDA device under one interface; on a CPU work is done at once, in order."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from types import TracebackType

    from torch import Tensor


class Mark:
    """A point in the work of a lane."""

    def __init__(self, event: torch.cuda.Event | None = None) -> None:
        self.event = event

    def wait(self) -> None:
        """Block this thread, without the interpreter lock, until the work up to here is done."""
        if self.event is not None:
            self.event.synchronize()


class Lane:
    """A queue of work that runs beside the work of other lanes. `with lane:` puts work on it."""

    def __init__(self, device: str) -> None:
        on_gpu = torch.device(device).type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch's own
        self._entered: list[torch.cuda.StreamContext] = []

    @property
    def stream(self) -> torch.cuda.Stream | None:
        """Return the CUDA stream, which a capture needs."""
        return self._stream

    def __enter__(self) -> Self:
        if self._stream is not None:
            entered = torch.cuda.stream(self._stream)
            entered.__enter__()  # type: ignore[no-untyped-call]  # as above
            self._entered.append(entered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._entered.pop().__exit__(kind, error, trace)

    def after(self, mark: Mark) -> None:
        """Let the device wait for a point in another lane before it continues this one."""
        if self._stream is not None and mark.event is not None:
            self._stream.wait_event(mark.event)

    def mark(self) -> Mark:
        """Return the point at which the work given to the lane so far ends."""
        if self._stream is None:
            return Mark()
        # the waiting thread sleeps, because its core has bitstreams to read
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # as above
        event.record(self._stream)
        return Mark(event)


class HostMemory:
    """Memory of the host for copies to and from a device, pinned where possible.

    torch reuses a freed block only after all copies from or to it are done. A new block for each batch therefore costs
    microseconds, and never overwrites a picture in use.
    """

    def __init__(self, device: str) -> None:
        self._pinned = torch.device(device).type == "cuda"

    def empty(self, *shape: int) -> Tensor:
        """Return bytes with undefined values."""
        if self._pinned:
            try:
                return torch.empty(*shape, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                self._pinned = False
                logging.getLogger(__name__).warning("no pinned memory, so copies are slower: %s", error)
        return torch.empty(*shape, dtype=torch.uint8)
