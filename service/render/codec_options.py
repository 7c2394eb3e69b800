"""How a codec worker is set up, and who is told what it does. Does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.render.codec_queue import QueueLimits

if TYPE_CHECKING:
    from models.readers import Readers


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How the worker is set up."""

    device: str
    head: str
    kernels: str
    weights: Path | None
    threads: int
    queue: QueueLimits
    readers: Readers | None = None
    """For which heads better latents are searched for; None leaves it to the codec."""
    lost_head: str = "cpu"
    """Which head makes the 344 picture after the accelerator has failed: `cpu`, or the `same`."""


class Observer(Protocol):
    """Who counts what the worker does. Called on any thread."""

    def batch_done(self, *, size_px: int, items: int) -> None:
        """One synthesis call is done."""

    def queue_changed(self, *, items: int) -> None:
        """So many jobs are waiting now."""

    def refinement_stepped(self, *, seconds: float) -> None:
        """One slice of a search is done: a hit that came meanwhile has waited for it."""

    def device_lost(self) -> None:
        """The accelerator failed; the processor goes on."""
