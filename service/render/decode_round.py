"""Run the decodes of one round of the codec's thread, in these steps.

    entropy-decode each bitstream -> synthesise all pictures of a size in one batch -> write the cheap files -> answer

A bad picture never fails the others. A damaged bitstream fails before the batch is formed. If a batch fails, its
pictures are tried again one by one. Only the codec's thread uses this module.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeVar

from models.picture_array import Pixels
from service.errors import DamagedBitstream
from service.render.codec_options import Observer
from service.render.failed_jobs import fail_jobs
from service.render.jobs import Decoded, DecodeJob

if TYPE_CHECKING:
    from models.codec import Symbols
    from service.render.loaded_codecs import LoadedCodecs, PictureDecoder

Result = TypeVar("Result")


class OnDevice(Protocol):
    """A function that calls `call` with the codecs, and once more with those on the CPU if the accelerator fails."""

    def __call__(self, call: Callable[[LoadedCodecs], Result]) -> Result:
        """Return what `call` returns."""


@dataclass(frozen=True, slots=True)
class _ReadJob:
    """A decode job whose bitstream has been entropy-decoded to symbols."""

    job: DecodeJob
    symbols: Symbols
    queue_s: float
    entropy_s: float

    @property
    def kind(self) -> tuple[int, bytes]:
        """Return the picture size in px and the stream id. Only jobs with the same pair can share a batch."""
        return self.job.size_px, self.job.stream_id


class Decoding:
    """Runs the decode jobs of a round, and delivers each result or error to its waiter."""

    def __init__(self, on_device: OnDevice, observer: Observer) -> None:
        self._on_device = on_device
        self._observer = observer

    def decode(self, jobs: Sequence[DecodeJob]) -> None:
        """Decode and answer all jobs of a round. Pictures of one size and stream id are synthesised in one batch."""
        read = [one for one in map(self._read, jobs) if one is not None]
        for _, group in groupby(sorted(read, key=attrgetter("kind")), key=attrgetter("kind")):
            self._synthesize(list(group))

    def _read(self, job: DecodeJob) -> _ReadJob | None:
        """Entropy-decode the latent of a job to symbols. On an error, fail the job and return None."""
        from models.bitstream import BitstreamError

        started_s = time.perf_counter()
        try:
            symbols = self._symbols(job.latent, job.stream_id)
        except BitstreamError as error:
            job.fail(DamagedBitstream(str(error)))
        except Exception as error:  # noqa: BLE001  (an error of one picture must fail neither others nor the thread)
            fail_jobs([job], error)
        else:
            ended_s = time.perf_counter()
            return _ReadJob(job, symbols, queue_s=started_s - job.submitted_s, entropy_s=ended_s - started_s)
        return None

    def _symbols(self, latent: bytes | Symbols, stream_id: bytes) -> Symbols:
        if isinstance(latent, bytes):
            return self._on_device(lambda codecs: codecs.decoder_for(stream_id).read(latent))
        return self._on_device(lambda codecs: _check_channels(codecs.by_stream[stream_id], latent))

    def _synthesize(self, batch: list[_ReadJob]) -> None:
        started_s = time.perf_counter()
        pictures = self._pictures(batch)
        synthesis_s = time.perf_counter() - started_s
        for one, pixels in zip(batch, pictures, strict=True):
            if isinstance(pixels, Exception):
                fail_jobs([one.job], pixels)
            else:
                timed = Decoded(pixels, queue_s=one.queue_s, entropy_s=one.entropy_s, synthesis_s=synthesis_s)
                _finish(one.job, timed)

    def _pictures(self, batch: list[_ReadJob]) -> Sequence[Pixels | Exception]:
        symbols, (size_px, stream_id) = [one.symbols for one in batch], batch[0].kind
        try:
            pictures = self._on_device(
                lambda codecs: codecs.decoder_for(stream_id).synthesize(symbols, size_px=size_px)
            )
        except Exception as error:  # noqa: BLE001  (an error of one picture must not fail the others)
            if len(batch) == 1:
                return [error]
            logging.getLogger(__name__).warning(
                "a batch of %d decodes failed; they are tried one by one: %s", len(batch), error
            )
            return [picture for one in batch for picture in self._pictures([one])]
        self._observer.count_batch(size_px=size_px, items=len(batch))
        return pictures


def _check_channels(codec: PictureDecoder, symbols: Symbols) -> Symbols:
    """Return symbols of another process if their shapes fit the codec, whose compiled loops check no bounds.

    Raises ValueError for another number of channels.
    """
    channels = (symbols.h1.shape[1], symbols.q.shape[1])
    if channels != codec.symbol_channels(symbols.quality):
        raise ValueError(f"symbols with {channels} channels do not fit quality {symbols.quality} of this codec")
    return symbols


def _finish(job: DecodeJob, decoded: Decoded) -> None:
    if job.write is None or job.gone:
        job.succeed(decoded)
        return
    started_s = time.perf_counter()
    try:
        file = job.write(decoded.pixels)
    except Exception as error:  # noqa: BLE001  (an error of one file must fail neither others nor the thread)
        fail_jobs([job], error)
    else:
        job.succeed(replace(decoded, file=file, file_s=time.perf_counter() - started_s))
