"""New pictures become latents here: those that are worth it, and that there is room for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.cache.admission import Admission
from service.errors import QueueFull
from service.render.picture_codec import PictureCodec
from service.settings.quality import Quality
from service.upstream.source import Pixels


@dataclass(frozen=True, slots=True)
class EncodeRules:
    """What the operator decides about encodes."""

    quality: Quality
    source_first: bool = False
    """Whether clients are shown the source's pixels instead of waiting for the latent."""
    behind_items: int = 1
    """Encodes that may wait when their clients have been answered."""


class Encoder:
    """For all fills of a process."""

    def __init__(self, rules: EncodeRules, *, worker: PictureCodec, admission: Admission) -> None:
        self._rules = rules
        self._worker = worker
        self._admission = admission
        self._behind = 0

    @property
    def source_first(self) -> bool:
        """See the rules."""
        return self._rules.source_first

    @property
    def stream_id(self) -> bytes:
        """Of the weights in use."""
        return self._worker.names.stream_id

    def note(self, key: bytes) -> None:
        """Someone asked for what is not there."""
        self._admission.note(key)

    def admits(self, key: bytes) -> bool:
        """Whether it is asked for often enough."""
        return self._admission.admits(key)

    async def encode(self, high: Pixels) -> bytes:
        """Return the bitstream that a client waits for. Raises QueueFull or CodecFailed."""
        return await self._worker.encode(high, quality=self._rules.quality)

    async def encode_behind(self, high: Pixels) -> bytes:
        """The same, for nobody who waits: refused as soon as `behind_items` wait."""
        with self._place():
            return await self._worker.encode(high, quality=self._rules.quality, patient=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._behind >= self._rules.behind_items:
            raise QueueFull(f"{self._behind} encodes wait behind their answers")
        self._behind += 1
        try:
            yield
        finally:
            self._behind -= 1
