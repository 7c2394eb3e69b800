"""Encode new pictures that have been requested often enough, and limit the encodes in the background."""

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
    """The operator's settings for encoding new pictures."""

    quality: Quality
    source_first: bool = False
    """Whether a miss is answered from the origin's pixels, resized, without waiting for the encode."""
    background_items: int = 1
    """The largest number of encodes at a time that no client waits for."""


class Encoder:
    """Encodes pictures for one process, and counts requests for admission."""

    def __init__(self, rules: EncodeRules, *, worker: PictureCodec, admission: Admission) -> None:
        self._rules = rules
        self._worker = worker
        self._admission = admission
        self._in_background = 0

    @property
    def source_first(self) -> bool:
        """Whether a miss is answered from the origin's pixels, resized, without waiting for the encode."""
        return self._rules.source_first

    @property
    def stream_id(self) -> bytes:
        """The id that bitstreams of the weights in use carry; other weights have another id."""
        return self._worker.names.stream_id

    def note(self, key: bytes) -> None:
        """Count a request for a picture that has no usable record in the store, for admission."""
        self._admission.note(key)

    def admits(self, key: bytes) -> bool:
        """Return whether a picture was requested often enough to be encoded."""
        return self._admission.admits(key)

    async def encode(self, high: Pixels) -> bytes:
        """Return the bitstream of a 344x344 picture for which a client waits. Raises QueueFull or CodecFailed."""
        return await self._worker.encode(high, quality=self._rules.quality)

    async def encode_in_background(self, high: Pixels) -> bytes:
        """Return the bitstream of a 344x344 picture for which no client waits.

        Raises QueueFull if `background_items` encodes are under way, or CodecFailed.
        """
        with self._reserve_place():
            return await self._worker.encode(high, quality=self._rules.quality, patient=True)

    @contextmanager
    def _reserve_place(self) -> Iterator[None]:
        if self._in_background >= self._rules.background_items:
            raise QueueFull(f"{self._in_background} encodes run in the background already, which is the limit")
        self._in_background += 1
        try:
            yield
        finally:
            self._in_background -= 1
