"""Share the number of connections of each worker with the other workers (its peers), through memory-mapped files.

Each worker has a file in the folder of the metrics, with its number of connections and the time of the last update. A
worker that has died, hangs or is still starting does not update its file, and its peers ignore the number in it.
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
"""The content of a file: the time of its update in seconds of the monotonic clock, and the number of connections."""
SILENT_S = 1.0
"""Seconds after which a worker's last number is ignored (assumed): its event loop is blocked, so it accepts nothing."""


class ConnectionCounts:
    """Publishes the number of connections of one worker, and reads the numbers of its peers."""

    def __init__(self, folder: Path, *, name: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._path = folder / f"{name or os.getpid()}{_SUFFIX}"
        self._clock = clock
        self._peers: dict[Path, mmap.mmap] = {}
        self._own = self._create_file()

    def publish(self, count: int) -> None:
        """Write the present number of connections of this worker into its file."""
        _NUMBER.pack_into(self._own, 0, self._clock(), count)

    def find_peers(self) -> None:
        """Open the files of workers that have started, and close the files of workers that have ended."""
        paths = set(self._folder.glob(f"*{_SUFFIX}")) - {self._path}
        for gone in self._peers.keys() - paths:
            self._peers.pop(gone).close()
        for new in paths - self._peers.keys():
            self._peers[new] = _map_file(new)

    def lowest_peer_count(self) -> int | None:
        """Return the smallest number of connections of a live peer, or None if there is no live peer."""
        written_since_s = self._clock() - SILENT_S
        numbers = (_NUMBER.unpack_from(peer) for peer in self._peers.values())
        return min((count for written_s, count in numbers if written_s >= written_since_s), default=None)

    def close(self) -> None:
        """Remove this worker's file, because it accepts no more connections, and close the files of all peers."""
        self._path.unlink(missing_ok=True)
        for one in (self._own, *self._peers.values()):
            one.close()
        self._peers.clear()

    def _create_file(self) -> mmap.mmap:
        unfinished = self._path.with_suffix(".tmp")
        unfinished.write_bytes(_NUMBER.pack(float("-inf"), 0))
        unfinished.replace(self._path)  # a rename, so that no peer maps an empty file
        return _map_file(self._path)


def _map_file(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _NUMBER.size)
