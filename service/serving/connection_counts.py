"""How many connections each worker has: a number that every worker writes for itself and all others read.

Each has a file beside the metrics, mapped into memory, with the time at which it was written. A worker that has died,
hangs or is still starting writes nothing, and its number is ignored.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

_SUFFIX = ".connections"
_NUMBER = struct.Struct("=dq")
"""When it was written, by the monotonic clock of the machine, and the number."""
SILENT_S = 1.0
"""Assumed: a worker whose event loop has not turned for so long takes no connections."""


class ConnectionCounts:
    """The count of one worker, and those of its peers."""

    def __init__(self, folder: Path, *, name: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._path = folder / f"{name or os.getpid()}{_SUFFIX}"
        self._clock = clock
        self._peers: dict[Path, mmap.mmap] = {}
        self._own = self._made()

    def tell(self, count: int) -> None:
        """Write how many there are now."""
        _NUMBER.pack_into(self._own, 0, self._clock(), count)

    def look_for_peers(self) -> None:
        """Find the workers that have started or ended since the last look."""
        paths = set(self._folder.glob(f"*{_SUFFIX}")) - {self._path}
        for gone in self._peers.keys() - paths:
            self._peers.pop(gone).close()
        for new in paths - self._peers.keys():
            self._peers[new] = _mapped(new)

    def least_of_peers(self) -> int | None:
        """Return the smallest count among the peers that have written lately, or None."""
        written_since_s = self._clock() - SILENT_S
        numbers = (_NUMBER.unpack_from(peer) for peer in self._peers.values())
        return min((count for written_s, count in numbers if written_s >= written_since_s), default=None)

    def close(self) -> None:
        """Withdraw the number: this worker takes no more connections."""
        self._path.unlink(missing_ok=True)
        for one in (self._own, *self._peers.values()):
            one.close()
        self._peers.clear()

    def _made(self) -> mmap.mmap:
        unfinished = self._path.with_suffix(".tmp")
        unfinished.write_bytes(_NUMBER.pack(float("-inf"), 0))
        unfinished.replace(self._path)  # so that no peer ever maps an empty file
        return _mapped(self._path)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _NUMBER.size)
