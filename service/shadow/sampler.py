"""Note the requests for sampled pictures in one worker. It runs on every hit, so it does little."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from service.metrics.outcomes import COUNTED, HITS, Outcome
from service.records.record import Record
from service.rendition import RENDITIONS
from service.shadow.events import Event, EventRing, Threshold
from service.shadow.file_sizes import FileSizes

RING_PATTERN = "shadow-*.events"
_NUMBERS = {rendition.size_px: number for number, rendition in enumerate(RENDITIONS)}


class Sampler:
    """Puts the requests for sampled pictures into the ring of this worker."""

    def __init__(self, sizes: FileSizes, folder: Path | None) -> None:
        self._sizes = sizes
        self.ring = EventRing(None if folder is None else folder / f"shadow-{os.getpid()}.events")
        self.threshold = Threshold(folder)
        self._counted = self._hits = 0

    def note(self, image_id: str, *, size_px: int, outcome: Outcome, record: Record | None) -> None:
        """Count a request, and note it if its picture is in the sample. `record` is that of the response, if any."""
        if outcome not in COUNTED:
            return
        own_hit = outcome in HITS
        self._counted += 1
        self._hits += own_hit
        picture = hash_picture(image_id)
        if picture >= self.threshold.value:
            return
        size = _NUMBERS[size_px]
        files = self._sizes.guess(size) if record is None else self._sizes.find(record, size)
        if files is None:
            return
        jpeg_bytes, avif_bytes = round(files.jpeg), round(files.avif)
        self.ring.put(Event(picture, jpeg_bytes, avif_bytes, self._counted, self._hits, size, int(own_hit)))
        self._counted = self._hits = 0

    def close(self) -> None:
        """Unmap the shared memory."""
        self.ring.close()
        self.threshold.close()


# Cached like the keys of the store: clients ask for the same pictures again and again.
@lru_cache(maxsize=4096)
def hash_picture(image_id: str) -> int:
    """Return a 64-bit hash of an image id that is the same in all workers."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest())
