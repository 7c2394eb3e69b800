"""The options of a codec worker, and the protocol of the observer that receives its metrics. Plain values."""

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
    """The options of a codec worker: which weights it loads, on which device, and how much work it queues."""

    device: str
    head: str
    kernels: str
    weights: Path | None
    threads: int
    queue: QueueLimits
    readers: Readers | None = None
    """The heads whose decoded pictures a search for better latents improves; None lets the codec choose."""
    lost_head: str = "cpu"
    """The head that decodes the 344 picture after the accelerator has failed: `cpu`, or `same` to keep the head."""
    demotes: bool = False
    """Whether records are demoted, so that the weights must have an upscaler."""
    previous_weights: Path | None = None
    """The weights file of the previous release, which is loaded too, so that its latents can still be decoded."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options of the codec worker that these settings ask for."""
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
            demotes=settings.demote > 0,
            previous_weights=settings.previous_weights,
        )


def waiting_messages(limits: QueueLimits) -> int:
    """Return how many messages may wait to be sent to the decoder process: as many jobs as its codec's queues hold."""
    return 2 * limits.queue_items + limits.refine_items


class Observer(Protocol):
    """Receives the metrics of a codec worker. Its methods are called on any thread."""

    def count_batch(self, *, size_px: int, items: int) -> None:
        """Count one synthesis batch of `items` pictures."""

    def set_queue_depth(self, *, items: int) -> None:
        """Set the number of decode and encode jobs that wait in the queues."""

    def add_refinement_time(self, *, seconds: float) -> None:
        """Add the time of one slice of a search for better latents. A hit that arrives meanwhile waits for its end."""

    def count_lost_device(self) -> None:
        """Count the failure of an accelerator, after which the CPU decodes and encodes."""
