"""A round of encodes: pictures of given qualities together, pictures that have to reach a score one by one.

One bad picture fails alone: the pictures of a failed batch are tried once more, one by one. Used by the codec's thread
alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from service.render.decode_round import OnDevice
from service.render.failed_jobs import fail_jobs
from service.render.jobs import EncodeJob
from service.settings.quality import TargetScore

if TYPE_CHECKING:
    from models.codec import Codec


class Encoding:
    """Does encode jobs and answers them."""

    def __init__(self, on_device: OnDevice) -> None:
        self._on_device = on_device

    def encode(self, jobs: Sequence[EncodeJob]) -> None:
        """Encode what waited together."""
        together = [job for job in jobs if not isinstance(job.quality, TargetScore)]
        if together:
            self._encode(together)
        for job in jobs:
            if isinstance(job.quality, TargetScore):
                self._encode([job])

    def _encode(self, jobs: Sequence[EncodeJob]) -> None:
        try:
            bitstreams = self._on_device(partial(_encoded, jobs=jobs))
        except Exception as error:  # noqa: BLE001  (one picture's failure is never another's, nor the thread's)
            self._failed(jobs, error)
            return
        for job, bitstream in zip(jobs, bitstreams, strict=True):
            job.succeed(bitstream)

    def _failed(self, jobs: Sequence[EncodeJob], error: Exception) -> None:
        if len(jobs) == 1:
            fail_jobs(jobs, error)
            return
        logging.getLogger(__name__).warning("a batch of %d failed; each goes on alone: %s", len(jobs), error)
        for job in jobs:
            self._encode([job])


def _encoded(codec: Codec, jobs: Sequence[EncodeJob]) -> list[bytes]:
    """Encode jobs that all have a quality, or one that has a score to reach."""
    qualities = [job.quality for job in jobs if not isinstance(job.quality, TargetScore)]
    if qualities:
        return codec.encode_together([job.pixels for job in jobs], qualities=qualities)
    return [codec.encode_to_score(job.pixels, ssimulacra2=_score(job)) for job in jobs]


def _score(job: EncodeJob) -> float:
    assert isinstance(job.quality, TargetScore), "a batch is of one kind"
    return job.quality.ssimulacra2
