"""What a worker tells the process that answers for all of them: that it is ready, and what decodes there.

A file beside the metrics, locked as long as its worker lives: the kernel unlocks it, whatever the worker died of.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from service.web.stats import CodecFigures

_SUFFIX = ".ready"
LOOK_S = 1.0  # assumed: a decoder that is away may be shown that late


class ReadyMark:
    """The file of one worker."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}{_SUFFIX}"
        self._locked: IO[str] | None = None
        self._told: CodecFigures | None = None
        self._cleared = False

    def set(self, codec: CodecFigures) -> None:
        """This worker takes requests, and decodes so."""
        if self._cleared or codec == self._told:
            return
        locked = self._written(codec)
        if self._locked is not None:
            self._locked.close()
        self._locked, self._told = locked, codec

    def _written(self, codec: CodecFigures) -> IO[str]:
        unfinished = self._path.with_suffix(".tmp")
        with ExitStack() as undo:  # closes the file unless everything succeeds
            locked = undo.enter_context(unfinished.open("w", encoding="utf-8"))
            fcntl.flock(locked, fcntl.LOCK_EX)
            locked.write(json.dumps(asdict(codec)))
            locked.flush()
            unfinished.replace(self._path)
            undo.pop_all()
        return locked

    def withdraw(self) -> None:
        """This worker cannot decode now."""
        self._told = None
        self._path.unlink(missing_ok=True)

    def clear(self) -> None:
        """No more requests, for good."""
        self._cleared = True
        self._path.unlink(missing_ok=True)
        if self._locked is not None:
            self._locked.close()


@asynccontextmanager
async def announced(mark: ReadyMark, codec: Callable[[], CodecFigures | None]) -> AsyncIterator[None]:
    """The mark is there as long as this block lasts, and tells the truth of a device that fails."""
    announcing = asyncio.create_task(_announce(mark, codec))
    try:
        yield
    finally:
        announcing.cancel()
        mark.clear()


async def _announce(mark: ReadyMark, codec: Callable[[], CodecFigures | None]) -> None:
    failing = False
    while True:
        try:
            if (now := codec()) is not None:
                mark.set(now)
            else:
                mark.withdraw()
            failing = False
        except OSError as error:  # such as a full disk: the worker is not announced until it can be
            if not failing:
                logging.getLogger(__name__).warning("this worker cannot announce that it is ready: %s", error)
            failing = True
        await asyncio.sleep(LOOK_S)


def ready_worker(folder: Path) -> CodecFigures | None:
    """What decodes in one of those that are ready; None if there is none."""
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            with path.open(encoding="utf-8") as mark:
                if _is_locked(mark):
                    return CodecFigures(**json.load(mark))
        except FileNotFoundError:  # cleared just now
            continue
    return None


def _is_locked(mark: IO[str]) -> bool:
    try:
        fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
