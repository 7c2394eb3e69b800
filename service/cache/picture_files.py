"""Make the file that a client asked for, from a latent or from pixels. Makes no request to the store or the origin.

An in-memory cache holds finished files by what they were decoded from: the digest of the latent, the head, the size and
the media type. An entity tag would not do, because it names the source file, and a parent may say anything about that.
The cache needs no invalidation: each request has just read the record from the store, so the latent of a picture that
was purged, replaced or refined, here or by another edge, is never looked up again. Simultaneous requests for a file
share one decode. Without the in-memory cache, every request is a decode.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from service.cache import source_file
from service.cache.coalescing import Coalescing
from service.cache.s3_fifo import S3Fifo
from service.metrics.codec_counts import RenditionCounts
from service.metrics.outcomes import FileSource
from service.metrics.timings import Timings
from service.records.latent_facts import latent_tag
from service.records.record import Record
from service.render import image_file
from service.render.picture_codec import PictureCodec
from service.rules.conditional import Rendered, entity_tag, source_entity_tag
from service.rules.negotiation import Wanted
from service.upstream.source import Prepared

QUICK = {"image/jpeg"}
"""Media types whose files take less time to write (0.4 ms at 344 px) than to hand the pixels to another thread."""


class FileName(NamedTuple):
    """What determines a finished file."""

    latent_digest: bytes
    head_id: bytes
    size_px: int
    media_type: str


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A finished picture file, or the bitstream for a client that asked for the latent."""

    body: bytes
    source: FileSource


class PictureFiles:
    """Makes picture files on demand, and keeps them in the in-memory cache."""

    def __init__(
        self,
        worker: PictureCodec,
        threads: Executor,
        *,
        memory: S3Fifo[FileName],
        counts: RenditionCounts,
        waiters: int,
        finds_screens: bool,
    ) -> None:
        """Create the maker of files. `finds_screens` says whether this edge stores screen streams (EDGE_SCREEN)."""
        self._worker = worker
        self._threads = threads
        self._memory = memory
        self._counts = counts
        self._finds_screens = finds_screens
        self._decodes: Coalescing[bytes] = Coalescing(waiters)

    def entity_tag(self, record: Record, wanted: Wanted) -> str:
        """Return the entity tag of the file that `make` would return for this record. Needs no decode."""
        if wanted.is_latent:
            return latent_tag(record)
        return entity_tag(
            Rendered(
                source_digest=record.source_digest,
                quality=record.quality,
                stream_id=record.stream_id,
                head_id=self._worker.readable[record.stream_id][wanted.size_px],
                size_px=wanted.size_px,
                media_type=wanted.media_type,
                refinement=record.refinement,
            )
        )

    def source_tag(self, source_digest: bytes, wanted: Wanted) -> str:
        """Return the entity tag of a file that is made by resizing the origin's picture, without the codec."""
        return source_entity_tag(source_digest, size_px=wanted.size_px, media_type=wanted.media_type)

    def find(self, record: Record, wanted: Wanted) -> PictureFile | None:
        """Return a file of this record that needs no decode: the latent, or a file in memory. Otherwise None."""
        if wanted.is_latent:
            return PictureFile(record.bitstream, FileSource.LATENT)
        body = self._memory.get(self._name(record, wanted))
        return None if body is None else PictureFile(body, FileSource.MEMORY)

    async def make(self, record: Record, wanted: Wanted, timings: Timings) -> PictureFile:
        """Return a file of this record, from the in-memory cache or its latent.

        Raises DamagedBitstream, CodecFailed or QueueFull.
        """
        found = self.find(record, wanted)
        if found is not None:
            if found.source is FileSource.MEMORY:
                self._counts.count_memory_hit()
            return found
        name = self._name(record, wanted)
        if not self._memory.limit_bytes:
            return PictureFile(await self._decode_and_keep(record, wanted, name, timings), FileSource.CODEC)
        landed = await self._decodes.run(name, lambda _: self._decode_and_keep(record, wanted, name, timings))
        if landed.collapsed:
            self._counts.count_shared()
        return PictureFile(landed.value, FileSource.SHARED if landed.collapsed else FileSource.CODEC)

    def _name(self, record: Record, wanted: Wanted) -> FileName:
        head_id = self._worker.readable[record.stream_id][wanted.size_px]
        return FileName(record.latent_digest, head_id, wanted.size_px, wanted.media_type)

    async def _decode_and_keep(self, record: Record, wanted: Wanted, name: FileName, timings: Timings) -> bytes:
        body = await self._decode(record, wanted, timings)
        self._memory.put(name, body)
        self._counts.count_decode(kept_bytes=self._memory.size_bytes)
        return body

    async def _decode(self, record: Record, wanted: Wanted, timings: Timings) -> bytes:
        at_once = self._worker.runs_on_cpu and wanted.media_type in QUICK
        write = partial(image_file.write, media_type=wanted.media_type, is_screen=record.is_screen)
        decoded = await self._worker.decode(record.bitstream, size_px=wanted.size_px, write=write if at_once else None)
        timings.add("queue", decoded.queue_s)
        timings.add("entropy", decoded.entropy_s)
        timings.add("synthesis", decoded.synthesis_s)
        if decoded.file is not None:
            timings.add("file", decoded.file_s)
            return decoded.file
        return await self._write(partial(write, decoded.pixels), timings)

    async def write_source(self, source: Prepared, wanted: Wanted, timings: Timings) -> bytes:
        """Return a source's pixels of the wanted size as a file of the wanted media type."""
        write = partial(source_file.write, source, wanted, finds_screens=self._finds_screens)
        return await self._write(write, timings)

    async def _write(self, write: Callable[[], bytes], timings: Timings) -> bytes:
        with timings.measure("file"):
            return await asyncio.get_running_loop().run_in_executor(self._threads, write)
