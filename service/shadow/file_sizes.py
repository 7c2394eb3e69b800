"""Measure how large the JPEG and AVIF files of a sampled picture would be, in each size, at the score of its latent.

A file is written from the decoded picture, in the background while the codec is idle. EDGE_SHADOW_CPU bounds the CPU
time, about 60 ms a picture. Until its own files are measured, a picture counts with the JPEG size that its record has
from the fill, times the mean factor of the pictures that are measured.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from models.picture_array import Pixels
from service.errors import CodecFailed, DamagedBitstream, DecoderAway, QueueFull
from service.records.record import Record
from service.render.conventional_files import AVIF, FACTORS, JPEG, SCREEN_AS_LATENT_QUALITY, file_bytes
from service.render.picture_codec import PictureCodec
from service.rendition import RENDITIONS

MOST_KNOWN = 8192
MOST_WAITING = 64
IDLE_CHECK_S = 1.0
MEDIA_TYPES = (JPEG, AVIF)


class FileBytes(NamedTuple):
    """The sizes of one picture's files in one size."""

    jpeg: float
    avif: float


@dataclass(slots=True)
class _Factor:
    """The mean of file bytes over the conventional JPEG bytes of the same pictures."""

    files: float
    conventional: float

    def of(self, conventional_bytes: int) -> float:
        return conventional_bytes * self.files / self.conventional


class FileSizes:
    """The measured sizes of files, and estimates where nothing is measured. `run` measures."""

    def __init__(
        self,
        worker: PictureCodec,
        threads: Executor,
        *,
        cpu_share: float,
        is_busy: Callable[[], bool],
        on_measured: Callable[[], None] = lambda: None,
    ) -> None:
        self._worker = worker
        self._threads = threads
        # After each picture, the task pauses for this multiple of the time that the picture took.
        self._rests = 1 / cpu_share - 1 if cpu_share else math.inf
        self._is_busy = is_busy
        self._on_measured = on_measured
        self._known: OrderedDict[bytes, tuple[FileBytes, ...]] = OrderedDict()
        self._waiting: deque[Record] = deque(maxlen=MOST_WAITING)
        self._arrived = asyncio.Event()
        self._latest: dict[int, FileBytes] = {}
        self._factors = {
            (size, media_type): _Factor(FACTORS[media_type, rendition.size_px], 1.0)
            for size, rendition in enumerate(RENDITIONS)
            for media_type in MEDIA_TYPES
        }

    def find(self, record: Record, size: int) -> FileBytes:
        """Return the bytes of the files in the size of this index. Estimate unmeasured ones, and schedule them."""
        known = self._known.get(record.latent_digest)
        if known is not None:
            return known[size]
        if self._rests < math.inf:
            self._waiting.append(record)
            self._arrived.set()
        conventional = _conventional_bytes(record)[size]
        self._latest[size] = FileBytes(*(self._factors[size, one].of(conventional) for one in MEDIA_TYPES))
        return self._latest[size]

    def guess(self, size: int) -> FileBytes | None:
        """Return the bytes of the latest picture, as a guess for one without a record; None if there is none."""
        return self._latest.get(size)

    async def run(self) -> None:
        """Measure the pictures that wait, the latest first, until this task is cancelled."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(IDLE_CHECK_S if self._is_busy() else self._rests * await self._measure_next())

    async def _measure_next(self) -> float:
        if not self._waiting:
            self._arrived.clear()
            return 0.0
        record = self._waiting.pop()
        return 0.0 if record.latent_digest in self._known else await self.measure(record)

    async def measure(self, record: Record) -> float:
        """Measure the files of a picture in all sizes, and return the seconds that this took."""
        started_s = time.perf_counter()
        sizes = []
        for rendition in RENDITIONS:
            try:
                decoded = await self._worker.decode(record.bitstream, size_px=rendition.size_px)
            except (QueueFull, DamagedBitstream, CodecFailed, DecoderAway):
                return time.perf_counter() - started_s  # the next request for the picture schedules it again
            sizes.append(await self._write(decoded.pixels, _latent_quality(record)))
        self._learn(record, tuple(sizes))
        return time.perf_counter() - started_s

    async def _write(self, pixels: Pixels, quality: int) -> FileBytes:
        run = asyncio.get_running_loop().run_in_executor
        return FileBytes(*[await run(self._threads, file_bytes, pixels, one, quality) for one in MEDIA_TYPES])

    def _learn(self, record: Record, sizes: tuple[FileBytes, ...]) -> None:
        self._known[record.latent_digest] = sizes
        self._on_measured()
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        for size, (measured, conventional) in enumerate(zip(sizes, _conventional_bytes(record), strict=True)):
            for media_type, one in zip(MEDIA_TYPES, measured, strict=True):
                factor = self._factors[size, media_type]
                factor.files += one
                factor.conventional += conventional


def _latent_quality(record: Record) -> int:
    """Return the quality of the record's latent. That of a screen stream is the tolerance of its encoder."""
    return SCREEN_AS_LATENT_QUALITY if record.is_screen else record.quality


def _conventional_bytes(record: Record) -> tuple[int, int]:
    return record.conventional_high_bytes, record.conventional_medium_bytes
