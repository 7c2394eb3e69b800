"""The metrics of the codec, and of the picture files that are made from its latents."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCHES = (1, 2, 4, 8, 16, 32, 64)


class CodecCounts:
    """The metrics of the codec: its batches, its queue, its searches, and its accelerator."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batch_size = Histogram(
            "edge_batch_size",
            "Pictures that were decoded together in one batch, by their size in px.",
            ["size"],
            buckets=BATCHES,
            registry=registry,
        )
        self.queue_depth = 0
        """The decodes and encodes that wait for the codec of this process."""
        self._queue_depth = Gauge(
            "edge_queue_depth",
            "Decodes and encodes that wait for the codec.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._devices_lost = Counter(
            "edge_devices_lost_total",
            "Accelerators (GPUs) that failed and were replaced by the CPU.",
            registry=registry,
        )
        self._refinement_seconds = Counter(
            "edge_refinement_seconds_total",
            "Seconds of the codec's thread spent in searches for better latents.",
            registry=registry,
        )

    def count_batch(self, *, size_px: int, items: int) -> None:
        """Count one synthesis batch and the pictures in it."""
        self._batch_size.labels(str(size_px)).observe(items)

    def set_queue_depth(self, *, items: int) -> None:
        """Set the number of decodes and encodes that wait for the codec."""
        self.queue_depth = items
        self._queue_depth.set(items)

    def count_lost_device(self) -> None:
        """Count the failure of an accelerator, after which the CPU decodes and encodes."""
        self._devices_lost.inc()

    def add_refinement_time(self, *, seconds: float) -> None:
        """Add the time that the codec's thread spent on one slice of a search for better latents."""
        self._refinement_seconds.inc(seconds)


class RenditionCounts:
    """The metrics of picture files by their source, and of the size of the in-memory cache of files."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._family = Counter(
            "edge_renditions_total",
            "Picture files served from latents: decoded (codec), from memory, or shared with another request.",
            ["source"],
            registry=registry,
        )
        self._kept = Gauge(
            "edge_hot_bytes",
            "Bytes of picture files in the in-memory cache.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._known: dict[str, Counter] = {}

    def count_decode(self, *, kept_bytes: int) -> None:
        """Count a decoded file, and set the present size of the in-memory cache."""
        self._from("codec").inc()
        self._kept.set(kept_bytes)

    def count_memory_hit(self) -> None:
        """Count a file that was found in the in-memory cache."""
        self._from("memory").inc()

    def count_shared(self) -> None:
        """Count a request that waited for another request's decode of the same file."""
        self._from("shared").inc()

    def _from(self, source: str) -> Counter:
        if source not in self._known:
            self._known[source] = self._family.labels(source)
        return self._known[source]
