"""Encode new pictures: the ones that are worth it, as far as there is room in the queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.picture_array import Pixels
from service.cache.admission import Admission
from service.errors import QueueFull
from service.render.picture_codec import PictureCodec
from service.settings.quality import Quality


@dataclass(frozen=True, slots=True)
class EncodeRules:
    """What the operator decides about encodes."""

    quality: Quality
    source_first: bool = False
    """Whether requests are answered from the source's pixels instead of waiting for the latent."""
    background_items: int = 1
    """How many encodes may wait in the background, after their clients were answered."""


class Encoder:
    """Encodes for all fills of a process."""

    def __init__(self, rules: EncodeRules, *, worker: PictureCodec, admission: Admission) -> None:
        self._rules = rules
        self._worker = worker
        self._admission = admission
        self._in_background = 0

    @property
    def source_first(self) -> bool:
        """Whether requests are answered from the source's pixels instead of waiting for the latent."""
        return self._rules.source_first

    @property
    def stream_id(self) -> bytes:
        """The stream id of the weights in use."""
        return self._worker.names.stream_id

    def note(self, key: bytes) -> None:
        """Count a request for a picture that has no usable record."""
        self._admission.note(key)

    def admits(self, key: bytes) -> bool:
        """Return whether a picture is asked for often enough to be encoded."""
        return self._admission.admits(key)

    async def encode(self, high: Pixels) -> bytes:
        """Return the bitstream that a client waits for. Raises QueueFull or CodecFailed."""
        return await self._worker.encode(high, quality=self._rules.quality)

    async def encode_in_background(self, high: Pixels) -> bytes:
        """Return the bitstream that no client waits for. Raises QueueFull or CodecFailed.

        At most `background_items` wait.
        """
        with self._place():
            return await self._worker.encode(high, quality=self._rules.quality, patient=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_background >= self._rules.background_items:
            raise QueueFull(f"{self._in_background} encodes wait in the background")
        self._in_background += 1
        try:
            yield
        finally:
            self._in_background -= 1
