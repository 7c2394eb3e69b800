"""A load of pictures by Zipf's law, and what caches of latents and of files make of all of it: no sampling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from service.shadow.baseline import FORMATS, Baseline
from service.shadow.events import Event
from service.shadow.ghost_cache import GhostCache
from service.shadow.sampler import hash_picture

OVERHEAD_BYTES = 300
LATENT_BYTES = 12_000
# Mean bytes of the two sizes, as measured at the default quality.
JPEG_BYTES, AVIF_BYTES = (16_600, 11_600), (11_500, 7_800)
MINUTES = 50


@dataclass(frozen=True)
class Load:
    """The pictures and sizes that are asked for, in order, and the bytes of the files of each picture."""

    pictures: np.ndarray
    sizes: np.ndarray
    scales: np.ndarray
    """By picture: its bytes over those of the mean picture."""

    @classmethod
    def drawn(cls, *, pictures: int, requests: int, exponent: float, seed: int) -> "Load":
        random = np.random.default_rng(seed)
        weights = 1 / np.arange(1, pictures + 1) ** exponent
        return cls(
            random.choice(pictures, requests, p=weights / weights.sum()),
            random.integers(0, 2, requests),
            random.lognormal(-0.08, 0.4, pictures),
        )

    def bytes_of(self, picture: int, size: int, means: tuple[int, ...]) -> int:
        return round(float(means[size] * self.scales[picture]))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Return the minute, the picture and the size of each request."""
        requests = zip(self.pictures.tolist(), self.sizes.tolist(), strict=True)
        return ((number * MINUTES // len(self.sizes), *one) for number, one in enumerate(requests))


@dataclass(frozen=True)
class Replayed:
    """What came of every request."""

    events: list[tuple[int, Event]]
    """The minute and the event of each request, as a worker would note them with every picture in the sample."""
    own: float
    files: Mapping[str, float]
    """The hit ratio of each format of files, by a simulation of every request."""


def replay(load: Load, *, memory_bytes: int) -> Replayed:
    latents, ghosts = GhostCache(seed=3), {name: GhostCache(seed=seed) for seed, name in enumerate(FORMATS, 4)}
    for ghost in (latents, *ghosts.values()):
        ghost.capacity_bytes = memory_bytes
    events, hits = [], dict.fromkeys((*FORMATS, "latents"), 0)
    for minute, picture, size in load:
        hashed = hash_picture(f"{picture}.jpg")
        latent_bytes = load.bytes_of(picture, 0, (LATENT_BYTES,)) + OVERHEAD_BYTES
        own = latents.access((hashed, 0), latent_bytes, minute=minute)
        hits["latents"] += own
        jpeg, avif = (load.bytes_of(picture, size, means) for means in (JPEG_BYTES, AVIF_BYTES))
        for name, file_bytes in (("jpeg", jpeg), ("avif", avif)):
            hits[name] += ghosts[name].access((hashed, size), file_bytes + OVERHEAD_BYTES, minute=minute)
        events.append((minute, Event(hashed, jpeg, avif, 1, int(own), size, int(own))))
    ratios = {name: count / len(events) for name, count in hits.items()}
    return Replayed(events, ratios.pop("latents"), ratios)


def sampled(replayed: Replayed, baseline: Baseline) -> Iterator[tuple[int, Event]]:
    """Return what a worker would note, whose sample is that of the baseline at this moment."""
    counted = hits = 0
    for minute, event in replayed.events:
        counted, hits = counted + 1, hits + event.own_hit
        if event.picture < baseline.threshold:
            yield minute, event._replace(counted=counted, hits=hits)
            counted = hits = 0
