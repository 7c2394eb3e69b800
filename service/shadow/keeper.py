"""Replay the noted requests of all workers in the baseline, once a second, in the leading process."""

from __future__ import annotations

import os
from pathlib import Path

from service.metrics.shadow_counts import ShadowCounts, ShadowFigures
from service.records.census import StoreCensus
from service.shadow.baseline import FORMATS, Baseline
from service.shadow.events import EventRing, Threshold
from service.shadow.sampler import RING_PATTERN, Sampler

_MINUTE_S = 60


class Keeper:
    """The baseline of one edge, with the rings of its workers."""

    def __init__(self, counts: ShadowCounts, *, folder: Path | None, sampler: Sampler | None) -> None:
        """Create a keeper. Without a folder, the ring is that of the `sampler` in this process."""
        self._counts = counts
        self._folder = folder
        self._baseline = Baseline()
        self._rings: dict[str, EventRing] = {}
        self._threshold = Threshold(folder) if sampler is None or folder is not None else sampler.threshold
        if folder is None and sampler is not None:
            self._rings[""] = sampler.ring

    def replay(self, census: StoreCensus, *, now_s: float) -> None:
        """Replay the requests noted since the last call, and set the gauges."""
        if census.answers:
            self._baseline.set_memory(_memory_bytes(census), file_overhead_bytes=census.overhead_bytes)
        self._open_rings()
        for ring in self._rings.values():
            events, lost = ring.take()
            self._counts.count_events(taken=len(events), lost=lost)
            self._baseline.add(events, minute=int(now_s) // _MINUTE_S)
        self._forget_rings_of_the_dead()
        self._threshold.value = self._baseline.threshold
        self._counts.set_figures(self._figures())

    def _open_rings(self) -> None:
        if self._folder is not None:
            for file in sorted(self._folder.glob(RING_PATTERN)):
                if file.name not in self._rings:
                    self._rings[file.name] = EventRing(file)

    def _forget_rings_of_the_dead(self) -> None:
        for name in [name for name in self._rings if self._folder is not None and not _is_alive(name)]:
            self._rings.pop(name).close()
            assert self._folder is not None
            (self._folder / name).unlink(missing_ok=True)

    def _figures(self) -> ShadowFigures:
        estimates = {name: one for name in FORMATS if (one := self._baseline.estimate(name)) is not None}
        return ShadowFigures(
            hit_ratios={name: one.hit_ratio for name, one in estimates.items()},
            errors={name: one.error for name, one in estimates.items()},
            own_hit_ratio=self._baseline.own_hit_ratio(),
            files=self._baseline.files,
            rate=self._baseline.rate,
            is_full=self._baseline.is_full,
        )


def _is_alive(ring_name: str) -> bool:
    """Return whether the worker that writes a ring still runs; its pid is in the name."""
    try:
        os.kill(int(ring_name.removeprefix("shadow-").removesuffix(".events")), 0)
    except ProcessLookupError:
        return False
    return True


def _memory_bytes(census: StoreCensus) -> float:
    """Return the memory that records may take: the limit less other memory, or without a limit their present memory."""
    if not census.limit_bytes:
        return census.latent_bytes
    return max(census.latent_bytes, census.limit_bytes - (census.used_bytes - census.latent_bytes))
