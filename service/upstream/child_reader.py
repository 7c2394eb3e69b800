"""Lets a child read large files: it ends when it takes too long or too much memory, and the edge goes on.

The child is started with the first large file and stays. Blocking: for a thread, one call at a time.
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
from service.upstream.source import Prepared
from service.upstream.source_messages import ANSWER, ANSWER_CAP_BYTES, QUESTION, unpack_answer

BYTES_A_PIXEL = 20
"""WebP takes 17, the other formats up to 10 (measured with 62 megapixels)."""
PATIENCE = 4
"""Assumed: other work goes first, so a file may take so many times its processor time."""
OWN_BYTES = 256 * 2**20
"""Address space of Python, numpy and Pillow (119 MiB measured), and a file."""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one file may cost."""

    source_pixels: int
    processor_s: int
    """Processor time, so that the verdict on a file does not depend on what else the machine does."""
    wait_s: float
    """How long the edge waits for it, whatever else has the processors."""
    memory_bytes: int
    """The address space that the child gets."""

    @classmethod
    def within(cls, source_pixels: int, *, processor_s: int) -> Self:
        """Return the limits for pictures of so many pixels, with memory enough for every format."""
        return cls(source_pixels, processor_s, PATIENCE * processor_s, OWN_BYTES + BYTES_A_PIXEL * source_pixels)


class ChildReader:
    """The parent's end of the child."""

    def __init__(self, limits: ChildLimits) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None

    def prepare(self, file: bytes) -> Prepared:
        """Raises a SourceError, or QueueFull if this machine cannot do it at present."""
        child, is_late = self._started(), Event()
        timer = Timer(self._limits.wait_s, _end, (child, is_late))
        timer.start()
        try:
            return unpack_answer(*_asked(child, file))
        except (EOFError, OSError) as error:
            self.close()
            raise self._verdict(child.returncode, is_late=is_late.is_set()) from error
        except ValueError as error:
            self.close()
            raise DamagedPicture(f"its decoder gave no answer that can be: {error}") from error
        finally:
            timer.cancel()
            timer.join()
            if is_late.is_set():  # perhaps just behind its answer
                self.close()

    def interrupt(self) -> None:
        """End the child while another thread waits for it, which gets an error then."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child, and wait for its end."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()  # waits, and closes the pipes, whatever is in them

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            try:
                self._child = _start(self._limits)
            except OSError as error:
                raise QueueFull(f"no child to read a large file: {error}") from error
        return self._child

    def _verdict(self, ended_with: int, *, is_late: bool) -> SourceError | QueueFull:
        """Return what the end of a child says of its file, or of this machine."""
        if is_late:
            return QueueFull("a large file was not read in time, as the processors were busy")
        if ended_with == -SIGXCPU:
            return PictureTooLarge(f"not read within {self._limits.processor_s} s of a processor")
        if ended_with == -SIGKILL:  # Linux does so when a machine or a container is out of memory
            return PictureTooLarge("killed while it was read")
        if ended_with < 0:
            return DamagedPicture(f"its decoder was ended by signal {-ended_with}")
        return QueueFull(f"the child that reads large files ended with {ended_with}")


def _end(child: subprocess.Popen[bytes], is_late: Event) -> None:
    is_late.set()
    child.kill()


def _start(limits: ChildLimits) -> subprocess.Popen[bytes]:
    numbers = (os.getpid(), limits.source_pixels, limits.memory_bytes, limits.processor_s)
    return subprocess.Popen(  # noqa: S603  (this interpreter, with numbers)
        [sys.executable, "-m", "service.upstream.source_child", *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Threads that numpy would start take address space, and there is nothing for them to do.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )


def _asked(child: subprocess.Popen[bytes], file: bytes) -> tuple[int, bytes]:
    assert child.stdin is not None, "it has a pipe"
    assert child.stdout is not None, "it has a pipe"
    child.stdin.write(QUESTION.pack(len(file)))
    child.stdin.write(file)
    child.stdin.flush()
    outcome, length = ANSWER.unpack(_exactly(child.stdout, ANSWER.size))
    if length > ANSWER_CAP_BYTES:
        raise EOFError(f"an answer of {length} bytes")
    return outcome, _exactly(child.stdout, length)


def _exactly(answers: IO[bytes], length: int) -> bytes:
    answer = answers.read(length)
    if len(answer) < length:
        raise EOFError
    return answer
