"""Improve the stored record of a hit in the background, behind the answer. Answers no request."""

from __future__ import annotations

from service.cache.answer import Answer, Asked
from service.cache.flights import Flights
from service.cache.promotion import Promotion
from service.cache.reencoder import Reencoder
from service.metrics.latent_counts import DemotionCounts
from service.records.grant import Found


class AfterHit:
    """Re-encodes latents of the previous weights, and fetches demoted pictures again that are requested often."""

    def __init__(self, reencoder: Reencoder, promotion: Promotion, *, flights: Flights, counts: DemotionCounts) -> None:
        self._reencoder = reencoder
        self._promotion = promotion
        self._flights = flights
        self._counts = counts

    def offer(self, found: Found, asked: Asked, answer: Answer) -> None:
        """Replace the record that gave this answer by a better one in the background, if it is due."""
        self._reencoder.offer(found, asked.terms)
        if answer.is_generated and self._promotion.is_due(found.lookup.key):
            self._counts.count_refill()
            self._flights.begin(asked, found.lookup, demoted=True)
