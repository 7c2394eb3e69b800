"""CUDA streams and events behind an interface that also works on a CPU, where all work is done at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from types import TracebackType

    from torch import Tensor


class Mark:
    """A point in the queued work of a lane: a CUDA event, or nothing on a CPU."""

    def __init__(self, event: torch.cuda.Event | None = None) -> None:
        self.event = event

    def wait(self) -> None:
        """Block the calling thread, without the interpreter lock, until the lane's work up to this point is done."""
        if self.event is not None:
            self.event.synchronize()


class Lane:
    """A CUDA stream: a queue of work that runs concurrently with other lanes. `with lane:` queues the block's work."""

    def __init__(self, device: str) -> None:
        on_gpu = torch.device(device).type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch's own
        self._entered: list[torch.cuda.StreamContext] = []

    @property
    def stream(self) -> torch.cuda.Stream | None:
        """Return the CUDA stream, in which a graph can be captured, or None on a CPU."""
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
        """Make the later work of this lane wait, on the device, for a point in another lane."""
        if self._stream is not None and mark.event is not None:
            self._stream.wait_event(mark.event)

    def mark(self) -> Mark:
        """Return a mark at the end of the work queued in this lane so far."""
        if self._stream is None:
            return Mark()
        # With blocking=True a waiting thread sleeps instead of spinning, which leaves its core to bitstream decoding.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # as above
        event.record(self._stream)
        return Mark(event)


class HostMemory:
    """Allocates host memory for copies to and from a device, pinned where possible.

    torch's caching allocator reuses a freed block only after all copies from or to it are done. So a new block for each
    batch takes microseconds and never overwrites a picture in use.
    """

    def __init__(self, device: str) -> None:
        self._pinned = torch.device(device).type == "cuda"

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialised uint8 tensor of this shape, not pinned if pinned memory has failed before."""
        if self._pinned:
            try:
                return torch.empty(*shape, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                self._pinned = False
                logging.getLogger(__name__).warning("no pinned memory, so copies are slower: %s", error)
        return torch.empty(*shape, dtype=torch.uint8)
