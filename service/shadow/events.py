"""Pass requests for sampled pictures from the workers to the process that keeps the baseline.

Each worker has a ring of events in a mapped file. Only this worker writes it, and neither side waits for the other. If
the reader is absent until the ring is full, the oldest events are lost and counted.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

CAPACITY = 8192
"""The number of events in a ring. Assumed: one worker samples fewer requests in the seconds between two reads."""
_HEAD = struct.Struct("<Q")
_EVENT = struct.Struct("<QIIIIBB2x")
_RING_BYTES = _HEAD.size + CAPACITY * _EVENT.size
_THRESHOLD_BYTES = _HEAD.size
ALL = 2**64 - 1
"""A threshold above (nearly) every hash, so that all pictures are sampled."""


class Event(NamedTuple):
    """A request for a sampled picture."""

    picture: int
    """The hash of the image id, 64 bits."""
    jpeg_bytes: int
    avif_bytes: int
    counted: int
    """The number of requests that count in the hit ratio, sampled or not, since the previous event of this worker."""
    hits: int
    """The number of hits among `counted`."""
    size: int
    """The index of the rendition's size."""
    own_hit: int
    """Whether the latents had the picture: 1 or 0."""


class EventRing:
    """The events of one worker, in a file or, with None, in the memory of this process."""

    def __init__(self, file: Path | None) -> None:
        self._memory = _map(file, _RING_BYTES)
        self._head = self._tail = _HEAD.unpack_from(self._memory)[0]

    def put(self, event: Event) -> None:
        """Add an event. The oldest one is overwritten if the ring is full."""
        _EVENT.pack_into(self._memory, _HEAD.size + self._head % CAPACITY * _EVENT.size, *event)
        self._head += 1
        _HEAD.pack_into(self._memory, 0, self._head)

    def take(self) -> tuple[list[Event], int]:
        """Return the events since the last call, and the number of lost events."""
        head = _HEAD.unpack_from(self._memory)[0]
        lost = max(0, head - self._tail - CAPACITY)
        places = range(self._tail + lost, head)
        events = [Event(*_EVENT.unpack_from(self._memory, _HEAD.size + one % CAPACITY * _EVENT.size)) for one in places]
        self._tail = head
        return events, lost

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


class Threshold:
    """The hash below which a picture is sampled: one number that all workers read and one process lowers."""

    def __init__(self, folder: Path | None) -> None:
        self._memory = _map(None if folder is None else folder / "shadow.threshold", _THRESHOLD_BYTES)

    @property
    def value(self) -> int:
        """The threshold. A new file holds zero, which stands for all pictures."""
        return int(_HEAD.unpack_from(self._memory)[0]) or ALL

    @value.setter
    def value(self, threshold: int) -> None:
        _HEAD.pack_into(self._memory, 0, threshold)

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()


def _map(file: Path | None, size_bytes: int) -> mmap.mmap:
    if file is None:
        return mmap.mmap(-1, size_bytes)
    try:
        with file.open("a+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, size_bytes)  # without blocks, the kernel may end the process
            return mmap.mmap(opened.fileno(), size_bytes)
    except OSError as error:
        logging.getLogger(__name__).warning("the shadow baseline misses this process: %s", error)
        return mmap.mmap(-1, size_bytes)
