"""Read large files in a child process, which can be killed when a file takes too much time or memory.

The first large file starts the child, which then waits for more files. `prepare` blocks, so it must be called on a
thread, and only once at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from signal import SIGKILL, SIGXCPU
from threading import Event, Timer
from typing import IO, Self

from service.errors import DamagedPicture, PictureTooLarge, QueueFull, SourceError
from service.render.shown_part import WHITE, Colour
from service.upstream.source import Prepared
from service.upstream.source_messages import ANSWER, ANSWER_CAP_BYTES, OUT_OF_MEMORY, QUESTION, unpack_answer

BYTES_PER_PIXEL = 20
"""Peak memory of a decode per pixel. WebP takes 17 bytes, other formats up to 10 (measured with 62 megapixels)."""
WAIT_PER_CPU = 4
"""Seconds of wall-clock time allowed per second of CPU time (assumed). The child has a low priority and has to wait."""
BASE_BYTES = 256 * 2**20
"""Address space of the child for Python, numpy and Pillow (119 MiB measured), and for the file itself."""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """The limits of time and memory of the child process for reading one file."""

    source_pixels: int
    """The maximum number of pixels of a picture, width times height."""
    cpu_s: int
    """The maximum CPU time in seconds. Unlike wall-clock time, it does not depend on the load of the machine."""
    wait_s: float
    """The maximum wall-clock time in seconds. Beyond it, the edge assumes that the CPUs are busy, and kills the
    child."""
    memory_bytes: int
    """The maximum address space of the child (RLIMIT_AS)."""

    @classmethod
    def for_pixels(cls, source_pixels: int, *, cpu_s: int) -> Self:
        """Return limits for pictures of up to `source_pixels`, with enough memory for every format."""
        return cls(source_pixels, cpu_s, WAIT_PER_CPU * cpu_s, BASE_BYTES + BYTES_PER_PIXEL * source_pixels)


class ChildReader:
    """Starts the child, sends it files and reads its answers."""

    def __init__(self, limits: ChildLimits, background: Colour = WHITE) -> None:
        self._limits = limits
        self._background = background
        self._child: subprocess.Popen[bytes] | None = None

    def prepare(self, file: bytes) -> Prepared:
        """Decode and resize a file in the child. Raises a SourceError, or QueueFull if the machine is overloaded."""
        child, is_late = self._start_if_missing(), Event()
        timer = Timer(self._limits.wait_s, _end_late, (child, is_late))
        timer.start()
        try:
            return unpack_answer(*_ask(child, file))
        except (EOFError, OSError) as error:
            self.close()
            raise self._classify_exit(child.returncode, is_late=is_late.is_set()) from error
        except ValueError as error:
            self.close()
            raise DamagedPicture(f"the child that decoded the file sent an invalid answer: {error}") from error
        finally:
            timer.cancel()
            timer.join()
            if is_late.is_set():  # the timer may have killed the child just after it had answered
                self.close()

    def interrupt(self) -> None:
        """Kill the child. A thread that waits for its answer gets an error."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """Kill the child, and wait until it has exited."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()  # waits until the child has exited, and closes its pipes even if they are full

    def _start_if_missing(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            try:
                self._child = _start(self._limits, self._background)
            except OSError as error:
                raise QueueFull(f"cannot start a child process to read a large file: {error}") from error
        return self._child

    def _classify_exit(self, exit_code: int, *, is_late: bool) -> SourceError | QueueFull:
        """Return the error for a child that exited: either the file is at fault, or this machine is overloaded."""
        if is_late:
            return QueueFull("a large file was not read in time, because the CPUs were busy")
        if exit_code == -SIGXCPU:
            return PictureTooLarge(f"the file was not decoded within {self._limits.cpu_s} s of CPU time")
        if exit_code == OUT_OF_MEMORY:
            return PictureTooLarge("the child ran out of memory while it received the file or sent its answer")
        if exit_code == -SIGKILL:  # killed by an operator, or by Linux because the machine or container lacks memory
            return QueueFull("the child that read a large file was killed")
        if exit_code < 0:
            return DamagedPicture(f"the child that decoded the file was killed by signal {-exit_code}")
        return QueueFull(f"the child that reads large files exited with status {exit_code}")


def _end_late(child: subprocess.Popen[bytes], is_late: Event) -> None:
    is_late.set()
    child.kill()


def _start(limits: ChildLimits, background: Colour) -> subprocess.Popen[bytes]:
    numbers = (os.getpid(), limits.source_pixels, limits.memory_bytes, limits.cpu_s, *background)
    return subprocess.Popen(  # noqa: S603  (this interpreter, with numbers)
        [sys.executable, "-m", "service.upstream.source_child", *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # The *_NUM_THREADS variables stop numpy from starting threads, which would take address space and have no work.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )


def _ask(child: subprocess.Popen[bytes], file: bytes) -> tuple[int, bytes]:
    assert child.stdin is not None, "Popen was called with PIPE"
    assert child.stdout is not None, "Popen was called with PIPE"
    child.stdin.write(QUESTION.pack(len(file)))
    child.stdin.write(file)
    child.stdin.flush()
    outcome, length = ANSWER.unpack(_read_exactly(child.stdout, ANSWER.size))
    if length > ANSWER_CAP_BYTES:
        raise ValueError(f"the answer has {length} bytes; the limit is {ANSWER_CAP_BYTES}")
    return outcome, _read_exactly(child.stdout, length)


def _read_exactly(answers: IO[bytes], length: int) -> bytes:
    answer = answers.read(length)
    if len(answer) < length:
        raise EOFError
    return answer
