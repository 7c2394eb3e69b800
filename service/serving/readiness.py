"""Ready marks: files by which each worker tells the admin process that it is ready, and which codec it uses.

A mark is a file in the folder of the metrics. Its worker holds a lock on it. If the worker dies, for whatever reason,
the kernel releases the lock, and the mark no longer counts.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from service.web.stats import CodecFigures

_SUFFIX = ".ready"


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a ready worker tells the admin process."""

    codec: CodecFigures
    store_trouble: str = ""
    """Why the store fails at the moment, as in edge_store_errors_total; empty if it works."""


UPDATE_S = 1.0  # seconds between updates of a mark (assumed): /readyz shows the loss of the decoder that much later


class ReadyMark:
    """The ready mark of one worker: a locked file that tells the admin process that the worker is ready."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}{_SUFFIX}"
        self._locked: IO[str] | None = None
        self._written: WorkerState | None = None
        self._cleared = False

    def set(self, state: WorkerState) -> None:
        """Write the mark, which says that this worker is ready and has this state.

        Does nothing after `clear`. Raises OSError if the file cannot be written.
        """
        if self._cleared or state == self._written:
            return
        locked = self._write(state)
        if self._locked is not None:
            self._locked.close()
        self._locked, self._written = locked, state

    def _write(self, state: WorkerState) -> IO[str]:
        unfinished = self._path.with_suffix(".tmp")
        with ExitStack() as undo:  # closes the file unless everything succeeds
            locked = undo.enter_context(unfinished.open("w", encoding="utf-8"))
            fcntl.flock(locked, fcntl.LOCK_EX)
            locked.write(json.dumps(asdict(state)))
            locked.flush()
            unfinished.replace(self._path)
            undo.pop_all()
        return locked

    def withdraw(self) -> None:
        """Remove the mark for now, because this worker cannot decode at the moment."""
        self._written = None
        self._path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the mark for good, because this worker accepts no more requests."""
        self._cleared = True
        self._path.unlink(missing_ok=True)
        if self._locked is not None:
            self._locked.close()


@asynccontextmanager
async def keep_announced(mark: ReadyMark, state: Callable[[], WorkerState | None]) -> AsyncIterator[None]:
    """Keep the mark up to date during this block, and clear it afterwards.

    `state` returns the state of this worker, or None while its decoder process is away.
    """
    announcing = asyncio.create_task(_update(mark, state))
    try:
        yield
    finally:
        announcing.cancel()
        mark.clear()


async def _update(mark: ReadyMark, state: Callable[[], WorkerState | None]) -> None:
    failing = False
    while True:
        try:
            if (now := state()) is not None:
                mark.set(now)
            else:
                mark.withdraw()
            failing = False
        except OSError as error:  # such as a full disk: try again at the next update
            if not failing:
                logging.getLogger(__name__).warning("cannot write the ready mark of this worker: %s", error)
            failing = True
        await asyncio.sleep(UPDATE_S)


def ready_worker(folder: Path) -> WorkerState | None:
    """Return the state of any worker that is ready, or None if no worker is ready."""
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            with path.open(encoding="utf-8") as mark:
                if _is_locked(mark):
                    told = json.load(mark)
                    return WorkerState(CodecFigures(**told["codec"]), told["store_trouble"])
        except FileNotFoundError:  # the worker has removed its mark since the listing
            continue
    return None


def _is_locked(mark: IO[str]) -> bool:
    try:
        fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
