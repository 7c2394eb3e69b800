"""The jobs of the codec: decodes, encodes and searches, each with the waiter that gets its result. Plain values."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from models.picture_array import Pixels
from service.errors import CodecError
from service.settings.quality import Quality, TargetScore

if TYPE_CHECKING:
    from models.latent_codec import Symbols

Write = Callable[[Pixels], bytes]
Result = TypeVar("Result")
Awaited_contra = TypeVar("Awaited_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture, and the time that each step of its decode took."""

    pixels: Pixels
    queue_s: float
    entropy_s: float
    synthesis_s: float
    file: bytes | None = None
    """The picture file that the job's `write` returned; None if the job has no `write`."""
    file_s: float = 0.0


class Waiter(Protocol[Awaited_contra]):
    """Waits for the result of a job. Its methods are called on the codec's thread."""

    @property
    def gone(self) -> bool:
        """Return whether nobody needs the result any more, so that the job can be dropped."""

    def succeed(self, result: Awaited_contra) -> None:
        """Deliver the result of the job."""

    def fail(self, error: CodecError) -> None:
        """Deliver the error with which the job failed."""


@dataclass(frozen=True, slots=True)
class FutureWaiter(Generic[Result]):
    """Delivers the result of a job to a future of an event loop in this process."""

    future: asyncio.Future[Result]

    @property
    def gone(self) -> bool:
        """Return whether the future is cancelled or has its result."""
        return self.future.done()

    def succeed(self, result: Result) -> None:
        """Set the future's result, on the thread of its event loop."""
        self._deliver(lambda: self.future.set_result(result))

    def fail(self, error: CodecError) -> None:
        """Set the future's exception, on the thread of its event loop."""
        self._deliver(lambda: self.future.set_exception(error))

    def _deliver(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            if not self.future.done():
                settle()

        with contextlib.suppress(RuntimeError):  # the event loop is closed, so that nothing awaits the future
            self.future.get_loop().call_soon_threadsafe(settle_once)


@dataclass(slots=True, kw_only=True)
class Job(Generic[Result]):
    """A job for the codec's thread, with the time at which it was submitted."""

    waiter: Waiter[Result]
    submitted_s: float = field(default_factory=time.perf_counter)

    @property
    def gone(self) -> bool:
        """Return whether nobody needs the result any more, so that the job can be dropped."""
        return self.waiter.gone

    def succeed(self, result: Result) -> None:
        """Deliver the result to the waiter."""
        self.waiter.succeed(result)

    def fail(self, error: CodecError) -> None:
        """Deliver the error to the waiter."""
        self.waiter.fail(error)


@dataclass(slots=True, kw_only=True)
class DecodeJob(Job[Decoded]):
    """Decode a latent: a bitstream, or symbols that another process has already entropy-decoded."""

    latent: bytes | Symbols
    stream_id: bytes
    """The stream id of the latent, which says by which weights it is decoded."""
    size_px: int
    write: Write | None = None
    """Encodes a picture file from the pixels, on the codec's thread; None if only the pixels are wanted."""


@dataclass(slots=True, kw_only=True)
class EncodeJob(Job[bytes]):
    """Encode a picture (344, 344, 3) to a bitstream."""

    pixels: Pixels
    quality: Quality
    patient: bool = False
    """Whether no client waits for the bitstream, so that the job is accepted whatever its expected wait."""


@dataclass(slots=True, kw_only=True)
class DemoteJob(Job[bytes]):
    """Make the medium bitstream that replaces a high one, while the codec is idle."""

    bitstream: bytes
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The parameters of a search for a better bitstream: its quality, its optimisation steps, and the score to keep."""

    quality: int
    steps: int
    target: TargetScore | None = None


@dataclass(slots=True, kw_only=True)
class RefineJob(Job[bytes | None]):
    """Search for a better bitstream of a picture (344, 344, 3)."""

    pixels: Pixels
    search: Search
    alone: bool = False
    """Whether this job must run alone, because a search for several pictures together failed."""
