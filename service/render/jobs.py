"""What the codec is asked for: decodes, encodes and searches, each with the waiter for its answer. Does no work."""

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
    """A picture, and where its time went."""

    pixels: Pixels
    queue_s: float
    entropy_s: float
    synthesis_s: float
    file: bytes | None = None
    """What `write` of the job has made of the pixels."""
    file_s: float = 0.0


class Waiter(Protocol[Awaited_contra]):
    """The side that waits for a job. Its methods are called on the codec's thread."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""

    def succeed(self, result: Awaited_contra) -> None:
        """Deliver the result."""

    def fail(self, error: CodecError) -> None:
        """Deliver the error."""


@dataclass(frozen=True, slots=True)
class FutureWaiter(Generic[Result]):
    """A future of an event loop of this process."""

    future: asyncio.Future[Result]

    @property
    def gone(self) -> bool:
        """Whether the future was cancelled or has its result."""
        return self.future.done()

    def succeed(self, result: Result) -> None:
        """Set the result, on the loop's own thread."""
        self._deliver(lambda: self.future.set_result(result))

    def fail(self, error: CodecError) -> None:
        """Set the exception, on the loop's own thread."""
        self._deliver(lambda: self.future.set_exception(error))

    def _deliver(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            if not self.future.done():
                settle()

        with contextlib.suppress(RuntimeError):  # the loop was closed: so nobody waits
            self.future.get_loop().call_soon_threadsafe(settle_once)


@dataclass(slots=True, kw_only=True)
class Job(Generic[Result]):
    """Work for the codec's thread."""

    waiter: Waiter[Result]
    submitted_s: float = field(default_factory=time.perf_counter)

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self.waiter.gone

    def succeed(self, result: Result) -> None:
        """Deliver the result to the waiter."""
        self.waiter.succeed(result)

    def fail(self, error: CodecError) -> None:
        """Deliver the error to the waiter."""
        self.waiter.fail(error)


@dataclass(slots=True, kw_only=True)
class DecodeJob(Job[Decoded]):
    """A latent that is to become a rendition: its bitstream, or its symbols where another process has read them."""

    latent: bytes | Symbols
    size_px: int
    write: Write | None = None
    """What else is done on the codec's thread, while it has the pixels at hand."""


@dataclass(slots=True, kw_only=True)
class EncodeJob(Job[bytes]):
    """A high picture that is to become a bitstream."""

    pixels: Pixels
    quality: Quality
    patient: bool = False
    """Whether no client waits for it, so that the expected wait does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: a better bitstream of this quality, which still has the score that was promised."""

    quality: int
    steps: int
    target: TargetScore | None = None


@dataclass(slots=True, kw_only=True)
class RefineJob(Job[bytes | None]):
    """A high picture for which a better bitstream is searched for."""

    pixels: Pixels
    search: Search
    alone: bool = False
    """Whether it is searched for by itself, since a search of several together has failed."""
