"""Run the encodes of one round: pictures with a fixed quality in one batch, pictures with a target score one by one.

A bad picture never fails the others: if a batch fails, its pictures are tried again one by one. Only the codec's thread
uses this module.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.errors import DamagedBitstream
from service.render.decode_round import OnDevice
from service.render.failed_jobs import fail_jobs
from service.render.jobs import DemoteJob, EncodeJob
from service.settings.quality import TargetScore

if TYPE_CHECKING:
    from models.codec import Codec
    from service.render.loaded_codecs import LoadedCodecs


class Encoding:
    """Runs the encode jobs of a round, and delivers each bitstream or error to its waiter."""

    def __init__(self, on_device: OnDevice) -> None:
        self._on_device = on_device

    def encode(self, jobs: Sequence[EncodeJob]) -> None:
        """Encode and answer all jobs of a round."""
        together = [job for job in jobs if not isinstance(job.quality, TargetScore)]
        if together:
            self._encode(together)
        for job in jobs:
            if isinstance(job.quality, TargetScore):
                self._encode([job])

    def demote(self, job: DemoteJob) -> None:
        """Make and answer the medium bitstream of one job."""
        from models.bitstream import BitstreamError

        try:
            bitstream = self._on_device(lambda codecs: _demote(codecs, job))
        except BitstreamError as error:
            job.fail(DamagedBitstream(str(error)))
        except Exception as error:  # noqa: BLE001  (an error of one picture must not fail the thread)
            fail_jobs([job], error)
        else:
            job.succeed(bitstream)

    def _encode(self, jobs: Sequence[EncodeJob]) -> None:
        try:
            bitstreams = self._on_device(lambda codecs: _encode_jobs(codecs.current, jobs))
        except Exception as error:  # noqa: BLE001  (an error of one picture must fail neither others nor the thread)
            self._retry_alone(jobs, error)
            return
        for job, bitstream in zip(jobs, bitstreams, strict=True):
            job.succeed(bitstream)

    def _retry_alone(self, jobs: Sequence[EncodeJob], error: Exception) -> None:
        if len(jobs) == 1:
            fail_jobs(jobs, error)
            return
        logging.getLogger(__name__).warning(
            "a batch of %d encodes failed; they are tried one by one: %s", len(jobs), error
        )
        for job in jobs:
            self._encode([job])


def _demote(codecs: LoadedCodecs, job: DemoteJob) -> bytes:
    if codecs.demoted is None:
        raise ValueError("the weights in use have no upscaler, so they do not demote")
    return codecs.demoted.demote(job.bitstream, quality=job.quality)


def _encode_jobs(codec: Codec, jobs: Sequence[EncodeJob]) -> list[bytes]:
    """Return the bitstreams of jobs that all have a fixed quality, or of one job with a target score."""
    qualities = [job.quality for job in jobs if not isinstance(job.quality, TargetScore)]
    if qualities:
        return codec.encode_together([job.pixels for job in jobs], qualities=qualities)
    return [codec.encode_to_score(job.pixels, ssimulacra2=_score(job)) for job in jobs]


def _score(job: EncodeJob) -> float:
    assert isinstance(job.quality, TargetScore), "a batch has either qualities or one target score"
    return job.quality.ssimulacra2
