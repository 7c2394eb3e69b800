"""Count each ended fill in the metrics, and have its new latent refined. Answers no request."""

from __future__ import annotations

from service.cache.fill_result import Failed, FillResult, NewRecord, Unstored
from service.metrics.request_counts import RequestCounts
from service.reason import NOT_ENCODED
from service.refine.refiner import Refiner
from service.upstream.source import Source


class AfterFill:
    """Counts ended fills in the metrics, and offers new latents to the refiner, which searches for better ones."""

    def __init__(self, refiner: Refiner, counts: RequestCounts) -> None:
        self._refiner = refiner
        self._counts = counts

    def observe(self, result: FillResult) -> None:
        """Count a fill that has ended, and offer its latent to the refiner if the fill encoded and stored a new one."""
        if not isinstance(result, Failed) and result.facts.in_background:
            self._counts.observe_stages(result.facts.timings)
        match result:
            case Unstored(why=why) if why in NOT_ENCODED:
                self._counts.count_skipped_encode(why)
            case NewRecord(record=record, delivered=Source() as source, stored_at=key) if key:
                self._refiner.offer(key, record, source.prepared.high)
