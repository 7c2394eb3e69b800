"""From a latent, or from pixels, to the file that a client asked for. Knows no store and no origin."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from service.cache.latent_facts import latent_tag
from service.cache.record import Record
from service.render import image_file
from service.render.codec_worker import CodecWorker
from service.timings import Timings
from service.web.conditional import Rendered, entity_tag, source_entity_tag
from service.web.negotiation import Wanted

Pixels = NDArray[np.uint8]


class Renditions:
    """Made on demand, each time."""

    def __init__(self, worker: CodecWorker, threads: Executor) -> None:
        self._worker = worker
        self._threads = threads

    def entity_tag(self, record: Record, wanted: Wanted) -> str:
        """Known before anything is decoded."""
        if wanted.is_latent:
            return latent_tag(record)
        return entity_tag(
            Rendered(
                source_digest=record.source_digest,
                quality=record.quality,
                stream_id=record.stream_id,
                head_id=self._worker.codec.head_id(wanted.size_px),
                size_px=wanted.size_px,
                media_type=wanted.media_type,
                refinement=record.refinement,
            )
        )

    def source_tag(self, source_digest: bytes, wanted: Wanted) -> str:
        """That of a file that `file` makes of the source's own pixels."""
        return source_entity_tag(source_digest, size_px=wanted.size_px, media_type=wanted.media_type)

    async def decoded(self, record: Record, wanted: Wanted, timings: Timings) -> bytes:
        """The file of a record. Raises DamagedBitstream, CodecFailed or QueueFull."""
        if wanted.is_latent:
            return record.bitstream
        decoded = await self._worker.decode(record.bitstream, size_px=wanted.size_px)
        timings.add("queue", decoded.queue_s)
        timings.add("entropy", decoded.entropy_s)
        timings.add("synthesis", decoded.synthesis_s)
        return await self.file(decoded.pixels, wanted, timings)

    async def file(self, pixels: Pixels, wanted: Wanted, timings: Timings) -> bytes:
        """The file of a picture in its size."""
        with timings.measured("file"):
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, image_file.write, pixels, wanted.media_type
            )
