"""The garbage collector during the start of an application, whose objects nearly all stay until the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_start() -> Iterator[None]:
    """Collect no garbage during this block, and exempt the objects that it creates from later collections.

    Collections take a seventh of a worker's start, and a full collection of these objects would take 0.2 s later on
    (measured). A process that an edge starts has turned collections off before its first import (`watched_process`).
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def end_start() -> None:
    """Exempt all objects of this process from garbage collection, and begin to collect."""
    gc.freeze()
    gc.enable()
