"""The figures of the last hour, in a memory of fixed size that all processes of an edge share.

A row holds the totals at one moment, not the changes since the row before, so a missing row only makes an interval
longer. There is one row for each second of the last five minutes, and one for each minute of the last hour. One process
writes: the process that holds the lock. If it dies, the kernel frees the lock, and another process continues.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SECONDS = 300
MINUTES = 60
_MINUTE_S = 60
_SPARE = 1
"""A change needs one row more than there are intervals."""


class Row(NamedTuple):
    """The totals at one moment."""

    at_s: int
    """Seconds since the epoch."""
    values: tuple[float, ...]


class History:
    """A ring of seconds and a ring of minutes, in a file in `folder` or, with None, in the memory of this process."""

    def __init__(self, width: int, folder: Path | None) -> None:
        """Open the rings for rows of `width` values."""
        # The moment is written before and after the values, so that a reader sees when a row is half written.
        self._layout = struct.Struct(f"<{width + 2}d")
        slots = SECONDS + MINUTES + 2 * _SPARE
        self._lock = None if folder is None else _open_lock(folder)
        self._memory = _map(slots * self._layout.size, folder)
        self._seconds = range(SECONDS + _SPARE)
        self._minutes = range(SECONDS + _SPARE, slots)

    def close(self) -> None:
        """Unmap the memory, and let another process write."""
        self._memory.close()
        if self._lock is not None:
            os.close(self._lock)

    def leads(self) -> bool:
        """Return whether this process is the one that writes."""
        if self._lock is None:
            return True
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def write(self, at_s: int, values: Sequence[float]) -> None:
        """Write the totals of this second, and the first ones of each minute also as those of the minute."""
        self._write(self._seconds[at_s % len(self._seconds)], at_s, values)
        minute = at_s // _MINUTE_S
        slot = self._minutes[minute % len(self._minutes)]
        known = self._read(slot)
        if known is None or known.at_s // _MINUTE_S != minute:
            self._write(slot, at_s, values)

    def seconds(self, now_s: float) -> list[Row]:
        """Return the rows of the last five minutes, in order."""
        return self._rows(self._seconds, now_s - SECONDS - 1)

    def minutes(self, now_s: float) -> list[Row]:
        """Return the first row of each minute of the last hour, in order."""
        return self._rows(self._minutes, now_s - (MINUTES + 1) * _MINUTE_S)

    def _rows(self, slots: range, since_s: float) -> list[Row]:
        rows = (row for slot in slots if (row := self._read(slot)) is not None)
        return sorted(row for row in rows if row.at_s > since_s)

    def _write(self, slot: int, at_s: int, values: Sequence[float]) -> None:
        self._layout.pack_into(self._memory, slot * self._layout.size, at_s, *values, at_s)

    def _read(self, slot: int) -> Row | None:
        at_s, *values, again_s = self._layout.unpack_from(self._memory, slot * self._layout.size)
        return Row(int(at_s), tuple(values)) if at_s == again_s and at_s else None


def _open_lock(folder: Path) -> int:
    return os.open(folder / "history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _map(size_bytes: int, folder: Path | None) -> mmap.mmap:
    """Map the file of the rings. Without room for it on the disk, this process sees only what it wrote itself."""
    if folder is None:
        return mmap.mmap(-1, size_bytes)
    try:
        with (folder / "history").open("a+b") as file:
            # A mapped file needs its blocks: without them the kernel ends the process with SIGBUS (see figure_files).
            os.posix_fallocate(file.fileno(), 0, size_bytes)
            return mmap.mmap(file.fileno(), size_bytes)
    except OSError as error:
        logging.getLogger(__name__).warning("the figures of the last hour are not shared: %s", error)
        return mmap.mmap(-1, size_bytes)
