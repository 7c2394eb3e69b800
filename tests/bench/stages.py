"""The stages of a decoded hit without anything around them: in this thread, one picture after another.

In the order of a hit, so that no stage finds the processor's caches full of its own, as it would if it were run over
and over.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
import uvloop

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from service.render import image_file
from service.render.heap import keep_freed_memory
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore, Token

SIZES_PX = {"344": HIGH_PX, "172": MEDIUM_PX}
STORE_READS = 1000
ENCODES = 6


class NoAlarm:
    def count_store_error(self, _reason: str) -> None:
        raise AssertionError("the store must answer in a benchmark")


class Stages:
    """Measured once for each call of `measure`."""

    def __init__(self, sources: Sequence[Path]) -> None:
        keep_freed_memory()
        torch.set_num_threads(1)
        limits = image_file.ImageLimits(source_pixels=2**31)
        self._pictures = [
            image_file.square(image_file.read(source.read_bytes(), limits=limits).pixels, HIGH_PX) for source in sources
        ]
        self._codec = Codec.load()
        self.streams = [self._codec.encode(one, quality=self._codec.default_quality) for one in self._pictures]
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def measure(self) -> None:
        for size in SIZES_PX:
            rows = [self._one(stream, size) for stream in self.streams]
            for stage in rows[0]:
                self._seconds[size, stage].append(median(row[stage] for row in rows))

    def ms(self) -> dict[str, dict[str, float]]:
        """Medians over the rounds but the first, by size and stage."""
        store_ms = 1000 * self._store_read_s()
        table: dict[str, dict[str, float]] = {size: {"store": store_ms} for size in SIZES_PX}
        for (size, stage), seconds in self._seconds.items():
            table[size][stage] = 1000 * median(seconds[1:] or seconds)
        for row in table.values():
            row["sum"] = sum(row.values())
        return table

    @property
    def kernels(self) -> str:
        return str(self._codec.kernels)

    def encode_ms(self) -> float:
        """Of a miss."""
        times = []
        for picture in self._pictures[:ENCODES]:
            started_s = time.thread_time()
            self._codec.encode(picture, quality=self._codec.default_quality)
            times.append(1000 * (time.thread_time() - started_s))
        return median(times)

    def _one(self, stream: bytes, size: str) -> dict[str, float]:
        clock = time.thread_time
        began_s = clock()
        symbols = self._codec.read(stream)
        read_s = clock()
        pixels = self._codec.synthesize([symbols], size_px=SIZES_PX[size])[0]
        made_s = clock()
        image_file.write(pixels, "image/jpeg")
        return {"entropy": read_s - began_s, "synthesis": made_s - read_s, "file": clock() - made_s}

    def _store_read_s(self) -> float:
        async def read_all(url: str) -> float:
            connection = Connection(url, timeouts=Timeouts(timeout_s=5, retry_s=0), observer=NoAlarm())
            store, lease = LatentStore(connection), Token(b"bench", b"token")
            keys = [b"bench:%d" % number for number in range(len(self.streams))]
            for key, stream in zip(keys, self.streams, strict=True):
                await store.take(lease, ttl_ms=60_000)
                await store.put(key, stream, ttl_s=600, under=lease)
            started_s = time.process_time()
            for number in range(STORE_READS):
                await store.get(keys[number % len(keys)])
            spent_s = time.process_time() - started_s
            await connection.close()
            return spent_s / STORE_READS

        with EmbeddedValkey(limit_bytes=2**26) as valkey, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(read_all(valkey.url))
