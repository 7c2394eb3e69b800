"""Files with reserved blocks, through which workers share their figures. Nothing in here raises OSError.

prometheus_client maps sparse files into memory. If the disk is full, the kernel ends a worker with SIGBUS as soon as it
counts something new. Here each file gets its blocks before it is mapped. A worker that gets none counts in its own
memory. It tries again from time to time, and then writes the complete counts to the shared file.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

FIRST_BYTES = 2**16
"""The initial size of a file, as in prometheus_client. A full file is doubled."""
ENTRY_BYTES = 4 + 8 + 16
"""The maximum number of bytes of one value, without its key."""
RETRY_S = 10.0  # assumed: a scrape or two later


class FigureFiles:
    """The files of one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._retry_at_s = float("-inf")
        self._logged = False

    def open(self, path: str) -> FigureFile:
        """Return the values of a file, which are kept nowhere else."""
        return FigureFile(path, self)

    def attempt(self, enlarge: Callable[[], None]) -> bool:
        """Enlarge a file, and return whether that was possible. Log the first failure."""
        if self._clock() < self._retry_at_s:
            return False
        try:
            enlarge()
        except OSError as error:
            self._retry_at_s = self._clock() + RETRY_S
            if not self._logged:
                logging.getLogger(__name__).warning("the figures of this worker are not shared: %s", error)
            self._logged = True
            return False
        return True


class FigureFile(MmapedDict):
    """A dictionary of figures in a mapped file. It drops values for which the file has no room."""

    def __init__(self, path: str, files: FigureFiles) -> None:
        self._path = Path(path)
        self._files = files
        self._capacity = 0
        """The mapped bytes; 0 while nothing is mapped."""
        self._used = 0
        self._positions: dict[str, int] = {}

    def read_value(self, key: str) -> tuple[float, float]:
        """Return the value of a key and its time; zeros for a new key."""
        if not self._has_room(key):
            return 0.0, 0.0
        value, written_s = super().read_value(key)  # type: ignore[no-untyped-call]
        return value, written_s

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set the value of a key, if there is room for it."""
        if self._has_room(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Unmap the file."""
        if self._capacity:
            super().close()  # type: ignore[no-untyped-call]

    def _has_room(self, key: str) -> bool:
        if key in self._positions:
            return True
        needed_bytes = len(key.encode()) + ENTRY_BYTES
        while not self._capacity or self._used + needed_bytes > self._capacity:
            if not self._files.attempt(self._enlarge):
                return False
        return True

    def _enlarge(self) -> None:
        _reserve(self._path, 2 * self._capacity or FIRST_BYTES)
        self.close()
        self._capacity, self._used, self._positions = 0, 0, {}
        super().__init__(str(self._path))  # type: ignore[no-untyped-call]  # maps the file as it is now


def share_figures() -> None:
    """Let prometheus_client keep the figures of this process in files with reserved blocks."""
    # It has no setting for this. The name is looked up each time that it opens a file.
    values.MmapedDict = FigureFiles().open  # type: ignore[assignment,attr-defined]


def _reserve(path: Path, size_bytes: int) -> None:
    """Give a file blocks for this size. Raises OSError. A new file appears only once it has them: others read it."""
    if path.exists():
        _allocate(path, size_bytes)
        return
    unfinished = path.with_suffix(".new")
    try:
        _allocate(unfinished, size_bytes)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _allocate(path: Path, size_bytes: int) -> None:
    with path.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
