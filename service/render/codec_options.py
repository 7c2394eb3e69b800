"""How a codec worker is set up, and who is told what it does. Does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from service.render.codec_queue import QueueLimits
from service.settings.edge_settings import Settings
from service.settings.refine_for import read_refine_for

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
    previous_weights: Path | None = None
    """The weights that are loaded beside, to read what they have written."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings say of the codec."""
        return cls(
            device=settings.device,
            head=settings.head,
            kernels=settings.kernels,
            weights=settings.weights,
            threads=settings.threads,
            queue=QueueLimits(
                queue_items=settings.queue_items,
                batch_items=settings.batch_items,
                refine_items=settings.refine_items,
                refine_batch=settings.refine_batch,
                wait_s=settings.queue_wait_s,
            ),
            readers=read_refine_for(settings.refine_for),
            lost_head=settings.lost_head,
            previous_weights=settings.previous_weights,
        )


def waiting_messages(limits: QueueLimits) -> int:
    """Return how many messages may wait on the way to a decoder and back: as many as its queues hold."""
    return 2 * limits.queue_items + limits.refine_items


class Observer(Protocol):
    """Who counts what the worker does. Called on any thread."""

    def count_batch(self, *, size_px: int, items: int) -> None:
        """One synthesis call is done."""

    def set_queue_depth(self, *, items: int) -> None:
        """So many jobs are waiting now."""

    def add_refinement_time(self, *, seconds: float) -> None:
        """One slice of a search is done: a hit that came meanwhile has waited for it."""

    def count_lost_device(self) -> None:
        """The accelerator failed; the processor goes on."""
