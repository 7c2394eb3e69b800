"""`python -m service.upstream.source_child LIMITS`: reads large files for an edge, one after the other.

A decoder cannot be interrupted on a thread, and its memory has no limit there. This process gets so much address space
and no more, and the kernel ends it when a file takes too much processor time. It is nice, so that other work comes
first. It ends with the edge: its input ends then, and on Linux it is killed at once.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from typing import BinaryIO

from service.render.heap import give_back_freed_memory
from service.render.image_file import ImageLimits
from service.render.parent_death import die_with_parent
from service.upstream.source import prepare
from service.upstream.source_messages import QUESTION, read_with

_NICENESS = 10


def main(parent_pid: int, source_pixels: int, memory_bytes: int, processor_s: int) -> None:
    """Answer until the input ends."""
    for leave in (signal.SIGINT, signal.SIGTERM):  # meant for the edge, which may still need this one
        signal.signal(leave, signal.SIG_IGN)
    die_with_parent(parent_pid, signal.SIGKILL)
    os.nice(_NICENESS)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    limits = ImageLimits(source_pixels)
    while (file := _next(sys.stdin.buffer)) is not None:
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + processor_s)
        sys.stdout.buffer.write(read_with(lambda file: prepare(file, limits), file))
        sys.stdout.buffer.flush()
        del file
        give_back_freed_memory()


def _next(questions: BinaryIO) -> bytes | None:
    head = questions.read(QUESTION.size)
    return questions.read(*QUESTION.unpack(head)) if head else None


def _limit(what: int, most: int) -> None:
    with suppress(OSError, ValueError):  # a lower limit is set already, or the system has none of this kind
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
