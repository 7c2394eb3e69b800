"""The metrics of stored latents that are replaced: by better ones, by ones of new weights, and by medium ones."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from service.metrics.outcomes import DemotionOutcome, ReencodeOutcome, RefinementOutcome


class RefinementCounts:
    """The metrics of searches for better latents, and of re-encodes after a release of weights."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refinements = Counter(
            "edge_refinements_total",
            "Searches for a better latent of a stored picture, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._reencodes = Counter(
            "edge_reencodes_total",
            "Re-encodes of latents of the previous weights, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._bytes = Counter(
            "edge_refined_bytes_total",
            "Bytes of latents that a search replaced (first), and of their replacements (refined).",
            ["latent"],
            registry=registry,
        )
        for outcome in RefinementOutcome:
            self._refinements.labels(outcome.value)
        for latent in ("first", "refined"):
            self._bytes.labels(latent)

    def count(self, outcome: RefinementOutcome) -> None:
        """Count one finished search for a better latent, by its outcome."""
        self._refinements.labels(outcome.value).inc()

    def count_reencode(self, outcome: ReencodeOutcome) -> None:
        """Count one attempt to re-encode a latent of the previous weights, by its outcome."""
        self._reencodes.labels(outcome.value).inc()

    def add_bytes(self, *, first_bytes: int, refined_bytes: int) -> None:
        """Add the size of a latent that a search has replaced, and the size of the better latent."""
        self._bytes.labels("first").inc(first_bytes)
        self._bytes.labels("refined").inc(refined_bytes)


class DemotionCounts:
    """The metrics of demoted records: demotions, the answers that were generated, and refills."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._demotions = Counter(
            "edge_demotions_total",
            "Cold records that were chosen for demotion to a medium latent, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._bytes = Counter(
            "edge_demoted_bytes_total",
            "Bytes of latents that a demotion replaced (high), and of their replacements (medium).",
            ["latent"],
            registry=registry,
        )
        self._generated = Counter(
            "edge_generated_total",
            "Answers with a 344 picture that was generated from a medium latent.",
            registry=registry,
        )
        self._refills = Counter(
            "edge_demoted_refills_total",
            "Refills of demoted pictures that were begun because the pictures were requested again.",
            registry=registry,
        )
        for outcome in DemotionOutcome:
            self._demotions.labels(outcome.value)
        for latent in ("high", "medium"):
            self._bytes.labels(latent)

    def count(self, outcome: DemotionOutcome) -> None:
        """Count a record that was chosen for demotion, by its outcome."""
        self._demotions.labels(outcome.value).inc()

    def add_bytes(self, *, high_bytes: int, medium_bytes: int) -> None:
        """Add the size of a high latent that was replaced, and the size of the medium latent in its place."""
        self._bytes.labels("high").inc(high_bytes)
        self._bytes.labels("medium").inc(medium_bytes)

    def count_generated(self) -> None:
        """Count an answer with a generated picture."""
        self._generated.inc()

    def count_refill(self) -> None:
        """Count a refill of a demoted picture that was begun because the picture was requested again."""
        self._refills.inc()
