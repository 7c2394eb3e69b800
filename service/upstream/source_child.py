"""`python -m service.upstream.source_child NUMBERS`: read large files for an edge, one after the other.

A decoder on a thread cannot be interrupted, and its memory cannot be limited. This process has a limited address space,
and the kernel kills it when a file takes too much CPU time. It has a low priority (nice), so that other work runs
first. When the edge ends, the process exits, because its stdin ends; on Linux it is killed at once.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from service.render.heap import give_back_freed_memory
from service.render.image_file import ImageLimits
from service.render.opened_picture import load_decoders, raise_pillow_limit
from service.render.parent_death import die_with_parent
from service.upstream.source import Prepared, prepare
from service.upstream.source_messages import OUT_OF_MEMORY, QUESTION, pack_answer

_NICENESS = 10


def main(parent_pid: int, source_pixels: int, memory_bytes: int, cpu_s: int, *background: int) -> None:
    """Read files from stdin until it ends. For each, write the prepared picture or an error to stdout."""
    # SIGINT and SIGTERM go to the whole process group. They are ignored, because the edge itself stops this process.
    for leave in (signal.SIGINT, signal.SIGTERM):
        signal.signal(leave, signal.SIG_IGN)
    die_with_parent(parent_pid, signal.SIGKILL)
    os.nice(_NICENESS)
    load_decoders()
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        _answer_all(_preparation(source_pixels, background), cpu_s)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


def _preparation(source_pixels: int, background: tuple[int, ...]) -> Callable[[bytes], Prepared]:
    raise_pillow_limit(source_pixels)
    red, green, blue = background
    return lambda file: prepare(file, ImageLimits(source_pixels), (red, green, blue))


def _answer_all(prepare_file: Callable[[bytes], Prepared], cpu_s: int) -> None:
    while (file := _next(sys.stdin.buffer)) is not None:
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + cpu_s)
        sys.stdout.buffer.write(pack_answer(prepare_file, file))
        sys.stdout.buffer.flush()
        del file
        give_back_freed_memory()


def _next(questions: BinaryIO) -> bytes | None:
    head = questions.read(QUESTION.size)
    return questions.read(*QUESTION.unpack(head)) if head else None


def _limit(what: int, most: int) -> None:
    with suppress(OSError, ValueError):  # a lower limit is already in force, or the system does not have this limit
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
